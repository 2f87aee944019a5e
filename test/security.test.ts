// SECURITY.md tells only what a test holds: every row of a promise names one, and every test that is named exists.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const document = readFileSync(join(root, 'SECURITY.md'), 'utf8');
const rows = document
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .filter((line) => !/^\| (promise|-+) /.test(line));

/** Every file that a row names, with the titles that stand behind it. */
function namedIn(row: string): { file: string; titles: string[] }[] {
  const found: { file: string; titles: string[] }[] = [];
  for (const [, file, title = ''] of row.matchAll(/`(test\/[\w./-]+)`|"([^"]+)"/g)) {
    if (file !== undefined) found.push({ file, titles: [] });
    else found.at(-1)?.titles.push(title);
  }
  return found;
}

/** The first argument of every call that is a text and not the last: titles of tests are among them. */
function titlesOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1,/g)].map(([, , title = '']) => title);
}

test.each(rows)('the promise %s is held by a test that exists', (row) => {
  const [, promise = '', heldBy = ''] = row.split(' | ');
  const named = namedIn(heldBy === '' ? promise : heldBy);
  expect(named.length).toBeGreaterThan(0);
  for (const { file, titles } of named) {
    expect(existsSync(join(root, file)), file).toBe(true);
    expect(titles.length, `a title in ${file}`).toBeGreaterThan(0);
    expect(titlesOf(file), file).toEqual(expect.arrayContaining(titles));
  }
});

test('README leads to SECURITY.md, and each who is promised something is in it', () => {
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain('](SECURITY.md)');
  expect(rows.length).toBeGreaterThan(20);
});
