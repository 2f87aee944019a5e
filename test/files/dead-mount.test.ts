// A dead mount, in a file of its own: what is mounted is remembered for a second, and nothing may have looked before it is made.
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readForeignFile, statForeignFile } from '../../src/files/foreign-file.ts';
import { fileSystemAnswers } from '../../src/files/mounts.ts';
import { deadMount, mountMissing } from '../helpers/dead-mount.ts';
import { temporaryFolder } from '../helpers/folder.ts';

describe.skipIf(mountMissing() !== null)('a dead mount', () => {
  test('costs a few seconds, no thread, and nobody else', async () => {
    const folder = temporaryFolder('near');
    const at = (name: string): string => join(folder, name);
    writeFileSync(at('text'), 'some text');
    await using mount = await deadMount();
    symlinkSync(mount.folder, at('home'));
    const paths = [1, 2, 3, 4, 5, 6].map((each) => join(at('home'), `key${each}`));
    const refusals = await Promise.allSettled([
      ...paths.map((path) => readForeignFile(path, 2048)),
      ...paths.map((path) => statForeignFile(path)),
    ]);
    const silent = { status: 'rejected', reason: { message: 'its file system does not answer' } };
    expect(refusals).toMatchObject(refusals.map(() => silent));
    expect(process.getActiveResourcesInfo()).not.toContain('FSReqPromise');
    expect(await fileSystemAnswers(paths[0] ?? '')).toBe(false);
    expect((await readForeignFile(at('text'), 2048)).bytes.toString()).toBe('some text');
  });
});
