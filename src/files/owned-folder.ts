// Folders that are ours alone: made 0700, and refused when somebody else owns them or may look in (SPEC 1).
import { lstatSync, type Stats } from 'node:fs';
import { TunnelError } from '../errors.ts';
import { makeFolders } from './make-folders.ts';
import { shellWord } from '../model/shell-word.ts';

export interface Owner {
  readonly platform: NodeJS.Platform;
  readonly uid: number;
}

/** `private`: nobody else may look in. `unwritable`: others may look, not write (a folder the user made himself). */
export type FolderRule = 'private' | 'unwritable';

/**
 * Makes the folder (0700, and what is missing above it) when it does not exist, then judges it.
 * Throws DAEMON_DOWN when it is not a folder, not ours, or open to others; a system error when it cannot be made.
 */
export function ensureOwnFolder(path: string, owner: Owner, rule: FolderRule = 'private'): void {
  makeFolders(path);
  const complaint = folderComplaint(lstatSync(path), owner, rule);
  if (complaint === null) return;
  throw new TunnelError('DAEMON_DOWN', `the folder ${path} is not used: ${complaint.why}`, {
    hint: complaint.hint(path),
  });
}

/** Null: the folder exists and is ours alone, or does not exist. For commands, which make nothing. */
export function checkOwnFolder(path: string, owner: Owner): TunnelError | null {
  let stats: Stats;
  try {
    stats = lstatSync(path);
  } catch {
    return null; // absent, or not to be looked at: then there is nothing in it that we could connect to
  }
  const complaint = folderComplaint(stats, owner, 'unwritable');
  if (complaint === null) return null;
  return new TunnelError('DAEMON_DOWN', `the folder ${path} is not used: ${complaint.why}`, {
    hint: complaint.hint(path),
  });
}

interface Complaint {
  readonly why: string;
  readonly hint: (path: string) => string;
}

function folderComplaint(stats: Stats, owner: Owner, rule: FolderRule): Complaint | null {
  const remove = (path: string): string =>
    `ls -ld ${shellWord(path)}    # then remove it, or set TUNNEL_HOME to another place`;
  // A link is refused too: in a shared temp folder somebody else could have laid it.
  if (!stats.isDirectory()) return { why: 'it is not a folder', hint: remove };
  if (owner.platform === 'win32') return null;
  if (stats.uid !== owner.uid)
    return { why: `it belongs to user ${stats.uid}, we are ${owner.uid}`, hint: remove };
  const forbidden = rule === 'private' ? 0o077 : 0o022;
  if ((stats.mode & forbidden) === 0) return null;
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
  return { why: `its mode is ${mode}, it must be 0700`, hint: (path) => `chmod 700 ${shellWord(path)}` };
}
