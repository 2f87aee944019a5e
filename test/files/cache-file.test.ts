// Files that only spare work are read where nobody else could have written them, and never stand in the way.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readCacheFile, writeCacheFile } from '../../src/files/cache-file.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const owner = { uid: process.getuid?.() ?? 0, platform: 'linux' as const };
const stranger = 54_321;
const isRoot = owner.uid === 0;

/** In a state folder of its own, written and believed. */
function cacheFile(): string {
  const file = join(temporaryFolder('cache'), 'cache', 'code');
  writeCacheFile(file, [Buffer.from('one '), Buffer.from('two')], owner);
  expect(readCacheFile(file, owner, 100)?.toString()).toBe('one two');
  return file;
}

const faults: readonly [string, boolean, (file: string) => void][] = [
  ['its group may write', true, (file) => chmodSync(file, 0o660)],
  ['everybody may write', true, (file) => chmodSync(file, 0o606)],
  ['belongs to somebody else', isRoot, (file) => chownSync(file, stranger, stranger)],
  ['lies in a folder that its group may write', true, (file) => chmodSync(dirname(file), 0o770)],
  ['lies in a folder of somebody else', isRoot, (file) => chownSync(dirname(file), stranger, stranger)],
  ['lies in a state folder that others may write', true, (file) => chmodSync(dirname(dirname(file)), 0o707)],
  [
    'lies in a state folder of somebody else',
    isRoot,
    (file) => chownSync(dirname(dirname(file)), stranger, stranger),
  ],
  [
    'is a link',
    true,
    (file) => {
      renameSync(file, `${file}-target`);
      symlinkSync(`${file}-target`, file);
    },
  ],
  [
    'lies behind a link',
    true,
    (file) => {
      renameSync(dirname(file), `${dirname(file)}-target`);
      symlinkSync(`${dirname(file)}-target`, dirname(file));
    },
  ],
  ['is larger than what was ever written', true, (file) => writeFileSync(file, Buffer.alloc(101))],
  ['is empty', true, (file) => writeFileSync(file, '')],
  [
    'is a pipe',
    true,
    (file) => {
      rmSync(file);
      execFileSync('mkfifo', [file]);
    },
  ],
  [
    'is a folder',
    true,
    (file) => {
      rmSync(file);
      mkdirSync(file);
    },
  ],
];

describe('a cache that', () => {
  test.each(faults.filter(([, possible]) => possible))('%s is as if it were not there', (_, _2, spoil) => {
    const file = cacheFile();
    spoil(file);
    expect(readCacheFile(file, owner, 100)).toBeNull();
  });

  test('can be looked at by modes that say nothing is none', () =>
    expect(readCacheFile(cacheFile(), { ...owner, platform: 'win32' }, 100)).toBeNull());

  test('somebody could have written is replaced by ours, 0600, where the folder is ours', () => {
    const file = cacheFile();
    chmodSync(file, 0o666);
    writeCacheFile(file, [Buffer.from('new')], owner);
    expect(readCacheFile(file, owner, 100)?.toString()).toBe('new');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(dirname(file)).mode & 0o777).toBe(0o700);
    expect(readdirSync(dirname(file))).toEqual(['code']);
  });

  test('a link leads elsewhere with is written in place of the link', () => {
    const file = cacheFile();
    const other = join(temporaryFolder('other'), 'file');
    writeFileSync(other, 'theirs');
    rmSync(file);
    symlinkSync(other, file);
    writeCacheFile(file, [Buffer.from('new')], owner);
    expect(readFileSync(other, 'utf8')).toBe('theirs');
    expect(readCacheFile(file, owner, 100)?.toString()).toBe('new');
  });

  test.each(faults.filter(([what, possible]) => possible && / folder | behind /.test(what)))(
    '%s is not written either',
    (_, _2, spoil) => {
      const file = cacheFile();
      spoil(file);
      writeCacheFile(file, [Buffer.from('new')], owner);
      expect(readFileSync(file, 'utf8')).toBe('one two');
    },
  );

  test('has no state folder is not begun, and one that cannot be written is no fault', () => {
    const state = join(temporaryFolder('cache'), 'state');
    writeCacheFile(join(state, 'cache', 'code'), [Buffer.from('new')], owner);
    expect(existsSync(state)).toBe(false);
    writeFileSync(state, 'a file');
    writeCacheFile(join(state, 'cache', 'code'), [Buffer.from('new')], owner);
    expect(readFileSync(state, 'utf8')).toBe('a file');
    writeCacheFile('/proc/1/cache/code', [Buffer.from('new')], owner);
  });

  test('other versions left is removed, the oldest first: their number is bounded', () => {
    const file = cacheFile();
    const names = Array.from({ length: 40 }, (_, index) => `code-${index}`);
    for (const [index, name] of names.entries()) {
      writeFileSync(join(dirname(file), name), 'old');
      utimesSync(join(dirname(file), name), 1_000_000 + index, 1_000_000 + index);
    }
    writeCacheFile(file, [Buffer.from('new')], owner);
    expect(readdirSync(dirname(file)).sort()).toEqual(['code', ...names.slice(-15)].sort());
  });
});
