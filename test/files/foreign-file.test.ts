// Files of others: what stands in the place of a file hangs nobody, whether it is a pipe, a device, without end, or far away.
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readForeignFile, readForeignFileNow, readForeignTextNow } from '../../src/files/foreign-file.ts';
import { farMountOf, farMounts } from '../../src/files/mounts.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const folder = temporaryFolder('foreign');
const at = (name: string): string => join(folder, name);
writeFileSync(at('text'), 'some text');
writeFileSync(at('long'), 'x'.repeat(2049));
symlinkSync('text', at('link'));
symlinkSync('/dev/null', at('nothing'));
mkdirSync(at('folder'));
execFileSync('mkfifo', [at('pipe'), at('written pipe')]);

/** Both ways of reading say the same. */
async function read(path: string, limit = 2048): Promise<string> {
  const later = await readForeignFile(path, limit).then(
    ({ bytes }) => bytes.toString(),
    (thrown: Error & { code?: string }) => `${thrown.code}: ${thrown.message}`,
  );
  try {
    expect(readForeignFileNow(path, limit).bytes.toString()).toBe(later);
  } catch (thrown) {
    const { code, message } = thrown as Error & { code?: string };
    expect(`${code}: ${message}`).toBe(later);
  }
  return later;
}

describe('a file of somebody else', () => {
  test.each([
    ['is read', 'text', 'some text'],
    ['is read through a link', 'link', 'some text'],
    ['may be the device that holds nothing', 'nothing', ''],
    ['is refused as a folder', 'folder', 'EISDIR: it is a folder'],
    ['is refused as a pipe', 'pipe', 'null: it is not a regular file'],
    ['is refused as a device', '/dev/zero', 'null: it is not a regular file'],
    ['is refused when it is too long', 'long', 'null: it is larger than 2 KiB'],
    ['is told when it is not there', 'absent', 'ENOENT: there is no such file'],
    ['is told when its folder is none', 'text/key', 'ENOTDIR: a part of the path is no folder'],
  ])('%s', async (_, name, found) => {
    expect(await read(name.startsWith('/') ? name : at(name))).toBe(found);
  });

  test('is refused as a pipe also when somebody writes to it', async () => {
    const writer = openSync(at('written pipe'), 'r+');
    appendFileSync(writer, 'a key');
    expect(await read(at('written pipe'))).toBe('null: it is not a regular file');
    closeSync(writer);
  });

  test('that says it holds nothing is read to its end all the same (proc(5))', async () => {
    expect(await read('/proc/version')).toContain('version');
  });

  test.skipIf(process.getuid?.() === 0)('is told when it may not be read', async () => {
    writeFileSync(at('secret'), 'x');
    chmodSync(at('secret'), 0);
    expect(await read(at('secret'))).toBe('EACCES: permission denied');
  });

  test('is not waited for when it is a pipe where a config should be', () => {
    expect(() => readForeignTextNow(at('pipe'))).toThrow('it is not a regular file');
  });
});

describe('mounts', () => {
  const mountinfo = [
    '1 0 0:1 / / rw - fuse.fuse-overlayfs overlay rw',
    '2 1 8:1 / /home rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '3 2 0:40 / /home/me/far\\040away rw shared:2 - nfs4 server:/me rw',
    '4 1 0:41 / /keys rw - fuse.sshfs me@box:/ rw',
    '5 1 0:42 / /tmp rw - tmpfs tmpfs rw',
    '6 4 0:43 / /keys rw - tmpfs tmpfs rw',
    '7 1 0:44 / /smb rw - cifs //box/me rw',
  ].join('\n');

  test('are far away when another machine or process answers for them, and nothing is mounted over them', () => {
    expect([...farMounts(mountinfo)]).toEqual(['/home/me/far away', '/smb']);
  });

  test('are found through links, and nothing on them is touched', () => {
    const far = new Set([at('far')]);
    symlinkSync('far/deeper', at('relative'));
    symlinkSync(at('far'), at('absolute'));
    symlinkSync('../foreign/./absolute/key', at('roundabout'));
    symlinkSync('circle', at('circle'));
    const found = [
      'far',
      'far/x',
      'relative/x',
      'absolute',
      'folder/../absolute/x',
      'text',
      'farther',
      'circle',
      'absent/x',
    ];
    expect(found.filter((name) => farMountOf(at(name), far) !== null)).toEqual(found.slice(0, 5));
  });
});
