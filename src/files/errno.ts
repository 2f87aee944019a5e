// What the system refused, in words: the one table of errno(3). Pure.

/** ENOENT is left out: what it means depends on what was looked for. */
const words: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EIO: 'the disk answers with an error',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  ELOOP: 'its links go in a circle',
  EMFILE: 'too many files are open',
  ENFILE: 'too many files are open on this machine',
  ENAMETOOLONG: 'a name in it is too long',
  EAGAIN: 'too many processes are running',
  ENOMEM: 'there is not enough memory',
  E2BIG: 'its arguments and environment are too long',
  ENOEXEC: 'it is no program for this machine',
};

/** What mkdir(2), open(2) and rename(2) answer where a folder is read-only, not ours, or cannot be (HOME=/dev/null). */
const unwritable = ['EROFS', 'EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'];
const full = ['ENOSPC', 'EDQUOT'];

/** Nothing can be written there, now or later. */
export function isUnwritable(code: string | undefined): boolean {
  return unwritable.includes(code ?? '');
}

/** There is no room, now. */
export function isFull(code: string | undefined): boolean {
  return full.includes(code ?? '');
}

/** Null: not in the table. */
export function errnoWords(code: string | undefined): string | null {
  return words[code ?? ''] ?? null;
}
