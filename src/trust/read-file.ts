// Reads a known_hosts file: absent is empty, anything else that goes wrong is an error (fail closed, SPEC 5).
import { TunnelError } from '../errors.ts';
import { readForeignFile, UnreadableFile, type ForeignFile } from '../files/foreign-file.ts';
import { foreignWriter } from '../files/owned.ts';
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
  const stats = { uid: Number(file.stats.uid), mode: Number(file.stats.mode) };
  const writer = ownership === 'strict' ? foreignWriter(stats, uid) : null;
  if (writer !== null)
    throw unreadable(
      path,
      writer.why,
      undefined,
      writer.who === 'owner' ? undefined : `chmod 600 ${shellWord(path)}`,
    );
  return file.bytes.toString('utf8');
}

function unreadable(path: string, why: string, cause?: unknown, hint?: string): TunnelError {
  return new TunnelError('HOST_KEY_UNKNOWN', `host key check failed, on ${path}: ${why}`, {
    hint: hint ?? `ls -l ${shellWord(path)}`,
    facts: { file: path },
    cause,
  });
}
