// Refusals of the system in words: the one table of errno(3), and the error it makes on a file of ours. Pure.
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';

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

/** The answers of mkdir(2), open(2) and rename(2) where a folder is read-only, not ours, or cannot be (HOME=/dev/null). */
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

/** The words for an error that the system threw, else its code, else its message. */
export function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return errnoWords(code) ?? code ?? message;
}

/**
 * DAEMON_DOWN, as for a state folder that is refused; what it is not about comes back as it is. `on`: what it was about
 * where the system does not say: a write(2) that fails has no path any more.
 */
export function systemFailure(thrown: unknown, what: string, on: string | null = null): unknown {
  if (!(thrown instanceof Error) || thrown instanceof TunnelError) return thrown;
  const { code = '', path: said } = thrown as NodeJS.ErrnoException;
  const why = errnoWords(code);
  const path = said ?? on;
  if (why === null || (path === null && !isFull(code))) return thrown;
  return new TunnelError('DAEMON_DOWN', `${what} failed${path === null ? '' : `, on ${path}`}: ${why}`, {
    hint: hintFor(code, path),
    cause: thrown,
  });
}

function hintFor(code: string, path: string | null): string {
  if (path === null) return 'df -h';
  const folder = shellWord(dirname(path));
  return isFull(code) ? `df -h ${folder}` : `ls -ld ${folder} ${shellWord(path)}`;
}
