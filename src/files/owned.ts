// Who may have written a file or folder, and who may read it (SPEC 1, 2). Three rules: for a
// config or ssh_config, for what we keep ourselves, and for a secret. Folders of ours: see folders.ts.
import { lstatSync, statSync, type BigIntStats, type Stats } from 'node:fs';
import { readForeignFileNow, UnreadableFile, type ForeignFile } from './foreign-file.ts';
import { passwdGroups, passwdUsers } from './passwd.ts';
import { shellWord } from '../model/shell-word.ts';
import type { PlaceFacts } from '../paths.ts';

/** A sentence that says why the file cannot be believed; null when it can. Throws what stat throws. */
export function ownershipProblem(file: string, facts: Pick<PlaceFacts, 'uid' | 'platform'>): string | null {
  return problemOf(statSync(file, { bigint: true }), file, facts);
}

/**
 * The text of a file that may be believed, or why it may not. Judged and read through one descriptor: a file that is
 * swapped in between must not be read under the other's name. Throws what open and read throw.
 */
export function readOwned(
  file: string,
  facts: Pick<PlaceFacts, 'uid' | 'platform'>,
  limitBytes: number,
): { readonly text: string } | { readonly problem: string } {
  let read: ForeignFile;
  try {
    read = readForeignFileNow(file, limitBytes);
  } catch (thrown) {
    // A pipe could be read once only, and the file is read again on a change.
    if (!(thrown instanceof UnreadableFile) || (thrown.code !== null && thrown.code !== 'EISDIR'))
      throw thrown;
    return { problem: thrown.message.replace(/^it /, '') };
  }
  const problem = problemOf(read.stats, file, facts);
  return problem === null ? { text: read.bytes.toString('utf8') } : { problem };
}

function problemOf(
  stats: BigIntStats,
  file: string,
  facts: Pick<PlaceFacts, 'uid' | 'platform'>,
): string | null {
  if (facts.platform === 'win32') return null; // modes say nothing there
  const [uid, gid, mode] = [Number(stats.uid), Number(stats.gid), Number(stats.mode)];
  if (!stats.isFile()) return 'is not a regular file';
  if (uid !== facts.uid && uid !== 0)
    return `belongs to another user (uid ${uid}): it must be yours or root's`;
  if ((mode & 0o002) !== 0) return 'can be written by everybody';
  if ((mode & 0o020) !== 0 && !isPrivateGroup({ uid, gid })) return 'can be written by its group';
  const link = lstatSync(file);
  if (link.isSymbolicLink() && link.uid !== facts.uid && link.uid !== 0)
    return `is a link that belongs to another user (uid ${link.uid})`;
  return null;
}

/** A command that mends it. */
export function ownershipHint(file: string, problem: string): string | null {
  return problem.startsWith('can be written') ? `chmod go-w ${shellWord(file)}` : null;
}

/** Where every user has a group of the same name and nobody else in it (umask 002), the group is the user. */
function isPrivateGroup(stats: { readonly uid: number; readonly gid: number }): boolean {
  if (stats.gid === 0 && stats.uid === 0) return true;
  const users = passwdUsers();
  const owner = users.find(({ uid }) => uid === stats.uid);
  const group = passwdGroups().find(({ gid }) => gid === stats.gid);
  // no such files (macOS keeps users elsewhere): then the group is others
  if (owner === undefined || group === undefined || group.name !== owner.name) return false;
  const isAlone = group.members.every((name) => name === owner.name);
  return isAlone && users.every(({ gid, uid }) => gid !== stats.gid || uid === stats.uid);
}

/** Somebody else than us (or root) who could have written a file or a folder of ours. */
export interface ForeignWriter {
  readonly who: 'owner' | 'others';
  /** A sentence. */
  readonly why: string;
}

/** Null: nobody, or there are no user ids (`uid` null). */
export function foreignWriter(stats: Pick<Stats, 'uid' | 'mode'>, uid: number | null): ForeignWriter | null {
  if (uid === null) return null;
  if (stats.uid !== uid && stats.uid !== 0) return { who: 'owner', why: `it belongs to user ${stats.uid}` };
  return (stats.mode & 0o022) === 0 ? null : { who: 'others', why: 'others may write it' };
}

/** The user who reads a secret. */
export interface Reader {
  readonly uid: number;
  readonly groups: readonly number[];
}

/** A sentence on who else could read the file; null when nobody could. */
export function exposureOf(stat: Pick<Stats, 'uid' | 'gid' | 'mode'>, reader: Reader): string | null {
  const mode = stat.mode & 0o777;
  const octal = mode.toString(8).padStart(4, '0');
  if (stat.uid !== reader.uid && stat.uid !== 0) return `it belongs to user ${stat.uid}`;
  if ((mode & 0o007) !== 0) return `its mode ${octal} lets everybody in`;
  if ((mode & 0o070) === 0) return null;
  const byRoot = stat.uid === 0 && (mode === 0o440 || mode === 0o640);
  if (byRoot && reader.groups.includes(stat.gid)) return null;
  return `its mode ${octal} lets group ${stat.gid} in`;
}
