// The package inside the single-file executable, as the program sees it: files, modules and machine code below a path that no disk has.
import fs from 'node:fs';
import Module from 'node:module';
import { pathToFileURL } from 'node:url';
import { beforeAll, expect, test } from 'vitest';
import { openArchive, type Load } from '../../deploy/linux/inside/archive.ts';

const root = '/nowhere/tunnel';
const files: Record<string, string> = {
  'dist/cli.cjs': 'exports.at = [__filename, __dirname];',
  'dist/page.html': '<p>ü</p>',
  'node_modules/one/package.json': '{"main": "lib", "version": "1.2.3"}',
  'node_modules/one/lib/index.js':
    "exports.part = require('./part'); exports.two = require('two'); exports.own = require('node:os') === require('os');",
  'node_modules/one/lib/part.js': "exports.half = 1; require('./index.js').part; exports.whole = 2;",
  'node_modules/two/index.js':
    'try { module.exports = require("./build/two.node"); } catch { module.exports = null; }',
  'node_modules/two/build/two.node': 'machine code',
};
const loaded: string[] = [];
let load: Load;

// For good, in a process of its own: what it changes of Node is changed there.
beforeAll(() => {
  load = openArchive(
    root,
    (name) => (Object.hasOwn(files, name) ? Buffer.from(files[name] ?? '') : null),
    (bytes, name) => void loaded.push(`${name}: ${bytes.toString()}`),
  );
});

test('its files are read by path and by URL, and those of the disk as ever', () => {
  expect(fs.readFileSync(`${root}/dist/page.html`, 'utf8')).toBe('<p>ü</p>');
  const here = pathToFileURL(`${root}/dist/cli.cjs`).href;
  expect(fs.readFileSync(new URL('./page.html', here), { encoding: 'utf8' })).toBe('<p>ü</p>');
  expect(fs.readFileSync(`${root}/dist/page.html`)).toEqual(Buffer.from('<p>ü</p>'));
  expect(() => fs.readFileSync(`${root}/dist/none`)).toThrow(/ENOENT/);
  expect(fs.readFileSync(import.meta.filename, 'utf8')).toContain('of the disk as ever');
});

test('its modules load each other, circles included, with packages, built-in parts and JSON', () => {
  const require = Module.createRequire(pathToFileURL(`${root}/dist/cli.cjs`));
  expect(require('one')).toEqual({ part: { half: 1, whole: 2 }, two: {}, own: true });
  expect(require('one/package.json')).toMatchObject({ version: '1.2.3' });
  expect(require.resolve('one')).toBe(`${root}/node_modules/one/lib/index.js`);
  expect(require.cache[`${root}/node_modules/one/lib/part.js`]?.exports).toEqual({ half: 1, whole: 2 });
  expect(() => require('three')).toThrow(expect.objectContaining({ code: 'MODULE_NOT_FOUND' }) as Error);
  expect(loaded).toEqual(['two.node: machine code']);
  delete require.cache[`${root}/node_modules/one/lib/part.js`];
  expect(require('one/lib/part')).toEqual({ half: 1, whole: 2 });
});

test('its code is told where it stands', () => {
  const { at } = load('dist/cli.cjs') as { at: string[] };
  expect(at).toEqual([`${root}/dist/cli.cjs`, `${root}/dist`]);
});
