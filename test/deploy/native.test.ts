// Machine code of the single-file executable: it is a file only while it is loaded, and never one that somebody else could have laid there.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadNative } from '../../deploy/linux/inside/native.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const bytes = Buffer.from('machine code');
let state = '';
let shared = '';

beforeEach(() => {
  state = temporaryFolder('state');
  shared = temporaryFolder('tmp');
  vi.stubEnv('TUNNEL_HOME', state);
  vi.stubEnv('TMPDIR', shared);
});
afterEach(() => void vi.unstubAllEnvs());

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

/** Where it was loaded from; it was whole there, and is gone. */
function loadedFrom(): string {
  const seen: { file: string; text: string; modes: string[] }[] = [];
  loadNative(bytes, 'x.node', (file) => {
    seen.push({ file, text: readFileSync(file, 'utf8'), modes: [modeOf(file), modeOf(dirname(file))] });
  });
  expect(seen).toMatchObject([{ text: 'machine code', modes: ['600', '700'] }]);
  const [{ file } = { file: '' }] = seen;
  expect(existsSync(file)).toBe(false);
  return file;
}

test('is loaded from the state folder, and then gone from there', () => {
  expect(dirname(loadedFrom())).toBe(join(state, 'cache'));
  expect(readdirSync(join(state, 'cache'))).toEqual([]);
  expect(readdirSync(shared)).toEqual([]);
});

test('is loaded from a fresh folder in the temporary one, where the state folder is none of ours alone', () => {
  mkdirSync(join(state, 'cache'), { mode: 0o700 });
  writeFileSync(join(state, 'cache', `${process.pid}-x.node`), 'of somebody else');
  chmodSync(state, 0o777);
  expect(dirname(dirname(loadedFrom()))).toBe(shared);
  expect(readdirSync(shared)).toEqual([]);
});

test('is loaded from there too where the state folder does not let it', () => {
  const tried: string[] = [];
  loadNative(bytes, 'x.node', (file) => {
    tried.push(file);
    if (file.startsWith(state)) throw new Error('noexec');
  });
  expect(tried).toHaveLength(2);
  expect(tried.filter((file) => existsSync(file))).toEqual([]);
});

test('is not loaded from a temporary folder in which somebody else could change it', () => {
  chmodSync(state, 0o777);
  chmodSync(shared, 0o777);
  const dlopen = vi.fn<(file: string) => void>();
  expect(() => loadNative(bytes, 'x.node', dlopen)).toThrow('somebody else could have changed what is in');
  expect(dlopen).not.toHaveBeenCalled();
  chmodSync(shared, 0o1777);
  loadNative(bytes, 'x.node', dlopen);
  expect(dlopen).toHaveBeenCalledOnce();
});
