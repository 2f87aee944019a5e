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

/** Every test that a row names: its file, and its title where one is given, behind the file it belongs to. */
function namedIn(row: string): { file: string; title: string | null }[] {
  const found: { file: string; title: string | null }[] = [];
  for (const [, file, title] of row.matchAll(/`(test\/[\w./-]+)`|"([^"]+)"/g)) {
    if (file !== undefined) found.push({ file, title: null });
    else found.push({ file: found.at(-1)?.file ?? '', title: title ?? '' });
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
  for (const { file, title } of named) {
    expect(existsSync(join(root, file)), file).toBe(true);
    if (title !== null) expect(titlesOf(file), file).toContain(title);
  }
});

test('README leads to SECURITY.md, and each who is promised something is in it', () => {
  expect(readFileSync(join(root, 'README.md'), 'utf8')).toContain('](SECURITY.md)');
  expect(rows.length).toBeGreaterThan(20);
});
