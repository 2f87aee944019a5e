// The pictures in docs/pictures: README and the pages show them all, the script makes them all, and they are light.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { pictures } from '../../docs/pictures.ts';
import { smallPng } from '../../docs/small-png.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { tmuxMissing } from '../helpers/tmux.ts';
import { finished, type Ran } from '../helpers/world.ts';
import { allOf, readXml } from '../helpers/xml.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = join(root, 'docs', 'pictures');
const made = Object.values(pictures).flat().toSorted();

/** Paths of pictures that a page shows, from the root. */
function shownIn(document: string): readonly string[] {
  const text = readFileSync(join(root, document), 'utf8');
  const links = [...text.matchAll(/!\[[^\]]*\]\(([^)]+)\)|(?:src|srcset)="([^"]+)"/g)];
  return links.map(([, link, source]) => relative(root, resolve(root, document, '..', link ?? source ?? '')));
}

describe('the pictures', () => {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
  const shown = ['README.md', ...pages.map((name) => `docs/${name}`)].flatMap(shownIn);

  test('are those that the script makes, and all are shown', () => {
    expect(readdirSync(folder).toSorted()).toEqual(made);
    expect([...new Set(shown.filter((path) => path.startsWith('docs/pictures/')))].toSorted()).toEqual(
      made.map((name) => `docs/pictures/${name}`),
    );
  });

  test.each(made)('%s is light', (name) => {
    expect(readFileSync(join(folder, name)).length).toBeLessThan(name.endsWith('.svg') ? 60_000 : 120_000);
  });

  test.each(made.filter((name) => name.endsWith('.svg')))('%s is an SVG that names nobody', (name) => {
    const text = allOf(readXml(readFileSync(join(folder, name), 'utf8')), 'text').map(
      (element) => element.text,
    );
    expect(text.length).toBeGreaterThan(10);
    const words = text.join('\n');
    expect(words).not.toContain(root);
    const [users, paths] = [
      words.match(/[\w.-]+(?=@[a-z])/g) ?? [],
      words.match(/(?<![\w.])\/\w+(?:\/[\w.-]+)*/g) ?? [],
    ];
    expect(users.filter((user) => user !== 'me' && user !== 'tunnelkeeper')).toEqual([]);
    expect(paths.filter((path) => !/^\/(?:home\/me|tmp\/tunnel-demo-\w+)\//.test(`${path}/`))).toEqual([]);
  });
});

/** Runs the script to its end. */
const take = (...words: string[]): Promise<Ran> =>
  finished(spawn(process.execPath, ['--import', 'tsx', 'docs/pictures.ts', ...words], { cwd: root }));

test('the script says which picture it does not know', async () => {
  const ran = await take('frob');
  expect(ran).toMatchObject({ code: 2, stdout: '' });
  expect(ran.stderr).toMatch(/^there is no picture "frob"\nusage: /);
});

test.skipIf(tmuxMissing() !== null)('the script records the demo as it runs here', async () => {
  const to = temporaryFolder('shown');
  expect(await take('demo', '--built', '--to', to)).toMatchObject({ code: 0, stderr: '' });
  expect(readdirSync(to).toSorted()).toEqual(['demo-still.svg', 'demo.svg']);
  const last = allOf(readXml(readFileSync(join(to, 'demo-still.svg'), 'utf8')), 'text').map(
    ({ text }) => text,
  );
  expect(last.slice(-2)).toEqual([expect.stringContaining('nothing of it is left.'), '$']);
  const drawing = readXml(readFileSync(join(to, 'demo.svg'), 'utf8'));
  const words = allOf(drawing, 'text').map(({ text }) => text);
  for (const seen of ['THIS IS A TEST', 'The server is killed', 'IS ANYBODY THERE?'])
    expect(words.filter((text) => text === seen)).toHaveLength(1);
  expect(words.filter((text) => text.startsWith('$ tunnel d')).at(-1)).toBe('$ tunnel demo');
});

describe('a small PNG', () => {
  /** The content of a chunk, by its type. */
  function chunkOf(png: Buffer, type: string): Buffer {
    const at = png.indexOf(type, 0, 'latin1');
    return png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4));
  }
  const coloursOf = (png: Buffer, width: number, height: number): readonly string[] => {
    const [palette, rows] = [chunkOf(png, 'PLTE'), inflateSync(chunkOf(png, 'IDAT'))];
    return Array.from({ length: width * height }, (_, index) => {
      const place = rows[index + Math.floor(index / width) + 1] ?? 0;
      return palette.subarray(3 * place, 3 * place + 3).toString('hex');
    });
  };

  test('has each colour in its place', () => {
    const rgba = Buffer.from(
      'ff0000ff 00ff00ff 0000ffff 00ff00ff 010203ff ff0000ff'.replaceAll(' ', ''),
      'hex',
    );
    const png = smallPng({ width: 3, height: 2, rgba });
    expect(chunkOf(png, 'IHDR').toString('hex')).toBe('00000003000000020803000000');
    expect(coloursOf(png, 3, 2)).toEqual(['ff0000', '00ff00', '0000ff', '00ff00', '010203', 'ff0000']);
  });

  test('gives up the rarest of too many colours for their neighbours', () => {
    const often = Array.from({ length: 256 }, (_, index) => [index, 0, 0, 255, index, 0, 0, 255]);
    const rgba = Buffer.from([...often.flat(), 7, 1, 0, 255]);
    expect(coloursOf(smallPng({ width: 513, height: 1, rgba }), 513, 1).at(-1)).toBe('070000');
  });
});
