// Who may have written a file, and who may read it: by its owner, group and mode.
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  exposureOf,
  foreignWriter,
  ownershipHint,
  ownershipProblem,
  readOwned,
} from '../../src/files/owned.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const uid = process.geteuid?.() ?? 0;
const facts = { uid, platform: 'linux' as const };
const folder = temporaryFolder('owned');

function fileOf(name: string, mode: number): string {
  const path = join(folder, name);
  writeFileSync(path, 'text');
  chmodSync(path, mode);
  return path;
}

describe('a secret', () => {
  test.each([
    [uid, 7, 0o400, false],
    [uid, 7, 0o600, false],
    [uid, 7, 0o604, true],
    [0, 0, 0o600, false],
    [0, 7, 0o440, false],
    [0, 7, 0o640, false],
    [0, 7, 0o660, true],
    [0, 8, 0o440, true],
    [0, 7, 0o444, true],
    [uid + 4000, 7, 0o600, true],
  ])(
    'of user %i, group %i and mode %i is exposed to a member of group 7: %s',
    (owner, gid, mode, exposed) => {
      const found = exposureOf({ uid: owner, gid, mode: 0o100000 | mode }, { uid, groups: [7] });
      expect(found !== null).toBe(exposed);
    },
  );
});

describe('a file that we keep', () => {
  test.each([
    [uid, 0o600, null],
    [0, 0o644, null],
    [uid, 0o620, 'others may write it'],
    [uid, 0o602, 'others may write it'],
    [uid + 1, 0o600, `it belongs to user ${uid + 1}`],
  ])('of user %i with mode %i has another writer: %s', (owner, mode, why) =>
    expect(foreignWriter({ uid: owner, mode: 0o100000 | mode }, uid)?.why ?? null).toBe(why),
  );

  test('has no other writer where there are no user ids', () =>
    expect(foreignWriter({ uid: 7, mode: 0o777 }, null)).toBeNull());
});

describe('a config', () => {
  test('that nobody else may write is read', () => {
    expect(ownershipProblem(fileOf('mine', 0o644), facts)).toBeNull();
    expect(readOwned(fileOf('mine', 0o644), facts, 100)).toEqual({ text: 'text' });
  });

  test('that everybody may write is not, and the hint mends it', () => {
    const path = fileOf('open', 0o646);
    const problem = 'can be written by everybody';
    expect(readOwned(path, facts, 100)).toEqual({ problem });
    expect(ownershipHint(path, problem)).toBe(`chmod go-w ${path}`);
  });

  test('behind a link of ours is read, a folder is not', () => {
    symlinkSync(fileOf('target', 0o600), join(folder, 'link'));
    expect(ownershipProblem(join(folder, 'link'), facts)).toBeNull();
    mkdirSync(join(folder, 'folder'));
    expect(readOwned(join(folder, 'folder'), facts, 100)).toEqual({ problem: 'is a folder' });
  });
});
