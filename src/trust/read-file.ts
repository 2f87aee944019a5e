// Reads a known_hosts file: absent is empty, anything else that goes wrong is an error (fail closed, SPEC 5).
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';

/** What no key list comes near; more would only stall every login. */
const sizeLimitBytes = 64 * 1024 * 1024;

/** Who may own a file we believe. `strict` is for our own store, which nobody else may write. */
export type FileOwnership = 'any' | 'strict';

/**
 * The text of the file, '' when it does not exist (or is /dev/null).
 * Throws HOST_KEY_UNKNOWN: a key cannot be believed when a list that could revoke it is out of reach.
 */
export async function readKnownHostsFile(
  path: string,
  ownership: FileOwnership,
  uid: number | null,
): Promise<string> {
  if (path === '/dev/null') return '';
  let file: FileHandle | null = null;
  try {
    // O_NONBLOCK: a FIFO in its place must not hang every login.
    file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    return await readChecked(file, path, ownership, uid);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw thrown instanceof TunnelError ? thrown : unreadable(path, reasonOf(thrown), thrown);
  } finally {
    await file?.close();
  }
}

async function readChecked(
  file: FileHandle,
  path: string,
  ownership: FileOwnership,
  uid: number | null,
): Promise<string> {
  const stat = await file.stat();
  if (!stat.isFile()) throw unreadable(path, 'it is not a regular file');
  if (stat.size > sizeLimitBytes) throw unreadable(path, `it has ${stat.size} bytes`);
  if (ownership === 'strict' && uid !== null) {
    if (stat.uid !== uid && stat.uid !== 0) throw unreadable(path, `it belongs to user ${stat.uid}`);
    if ((stat.mode & 0o022) !== 0)
      throw unreadable(path, 'others may write it', undefined, `chmod 600 ${shellWord(path)}`);
  }
  return file.readFile('utf8');
}

function unreadable(path: string, why: string, cause?: unknown, hint?: string): TunnelError {
  return new TunnelError('HOST_KEY_UNKNOWN', `host key check failed, on ${path}: ${why}`, {
    hint: hint ?? `ls -l ${shellWord(path)}`,
    facts: { file: path },
    cause,
  });
}

/** EACCES and friends in words. */
export function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  if (code === 'EROFS') return 'the file system is read-only';
  if (code === 'ENOSPC') return 'no space left on the device';
  if (code === 'EISDIR') return 'it is a folder';
  return code ?? message;
}
