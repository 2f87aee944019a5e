// Reads a known_hosts file: absent is empty, anything else that goes wrong is an error (fail closed, SPEC 5).
import { TunnelError } from '../errors.ts';
import { errnoWords } from '../files/errno.ts';
import { readForeignFile, UnreadableFile, type ForeignFile } from '../files/foreign-file.ts';
import { shellWord } from '../model/shell-word.ts';

/** What no key list comes near; more would only stall every login. */
export const knownHostsLimitBytes = 64 * 1024 * 1024;

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
  let file: ForeignFile;
  try {
    file = await readForeignFile(path, knownHostsLimitBytes);
  } catch (thrown) {
    if (!(thrown instanceof UnreadableFile)) throw thrown; // a shortage of this process: no fault of the list
    if (thrown.code === 'ENOENT') return '';
    throw unreadable(path, thrown.message, thrown.cause ?? thrown);
  }
  const [owner, mode] = [Number(file.stats.uid), Number(file.stats.mode)];
  if (ownership === 'strict' && uid !== null) {
    if (owner !== uid && owner !== 0) throw unreadable(path, `it belongs to user ${owner}`);
    if ((mode & 0o022) !== 0)
      throw unreadable(path, 'others may write it', undefined, `chmod 600 ${shellWord(path)}`);
  }
  return file.bytes.toString('utf8');
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
  return errnoWords(code) ?? code ?? message;
}
