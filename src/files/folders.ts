// Folders that are ours alone: made 0700, and refused where somebody else owns them or may look in (SPEC 1).
import { lstatSync, type Stats, existsSync, mkdirSync, accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { isUnwritable, systemFailure } from './errno.ts';
import { shellWord } from '../model/shell-word.ts';
import type { Places, SupervisorPlaces } from '../paths.ts';

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
export function checkOwnFolder(
  path: string,
  owner: Owner,
  rule: FolderRule = 'unwritable',
): TunnelError | null {
  let stats: Stats;
  try {
    stats = lstatSync(path);
  } catch {
    return null; // absent, or not to be looked at: then there is nothing in it that we could connect to
  }
  const complaint = folderComplaint(stats, owner, rule);
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

/**
 * Makes the folder, 0700, and what is missing above it. Throws the system's error. Not by mkdir's `recursive: true`, which
 * never ends where a file system answers ENOENT (/proc, and some read-only ones).
 */
export function makeFolders(path: string): void {
  if (existsSync(path)) return;
  makeFolders(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (thrown) {
    // Somebody else was faster, or a dangling link lies there.
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  }
}

/** The folders of a supervisor, outermost first, each with its rule. */
export function stateFolders(
  places: Places,
  at: SupervisorPlaces,
): readonly (readonly [path: string, rule: FolderRule])[] {
  return [
    [places.stateDir, ruleOfState(places)],
    [places.machineDir, 'private'],
    [at.folder, 'private'],
  ];
}

/** $TUNNEL_HOME is a folder that the user made himself: others may look at it, since what is inside is 0600. */
const ruleOfState = (places: Places): FolderRule =>
  places.stateDir === dirname(places.defaultConfig) ? 'unwritable' : 'private';

/** False: the folder, or the first above it that is there, cannot be written. */
export function canBeWritten(path: string): boolean {
  if (!existsSync(path) && dirname(path) !== path) return canBeWritten(dirname(path));
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false; // whatever the reason, nothing can be kept there
  }
}

/**
 * Makes the state folders of a supervisor. False: they cannot be made or written (a read-only file system), which only
 * a supervisor in the foreground can live with. Throws DAEMON_DOWN when one is not ours alone.
 */
export function prepareStateFolders(places: Places, at: SupervisorPlaces, owner: Owner): boolean {
  return prepareFolders(stateFolders(places, at), 'supervisor start', owner);
}

/** Makes the folder where host keys are kept, for a program without a supervisor. False, and throws, as above. */
export function prepareTrustFolder(places: Places, owner: Owner): boolean {
  return prepareFolders([[places.stateDir, ruleOfState(places)]], 'start', owner);
}

function prepareFolders(
  folders: readonly (readonly [path: string, rule: FolderRule])[],
  deed: string,
  owner: Owner,
): boolean {
  const innermost = folders.at(-1)?.[0] ?? '';
  try {
    for (const [path, rule] of folders) ensureOwnFolder(path, owner, rule);
    accessSync(innermost, constants.W_OK);
    return true;
  } catch (thrown) {
    if (thrown instanceof TunnelError) throw thrown;
    const { code } = thrown as NodeJS.ErrnoException;
    if (isUnwritable(code)) return false;
    throw systemFailure(thrown, deed, innermost);
  }
}

export function readOnlyState(at: SupervisorPlaces): TunnelError {
  return new TunnelError(
    'DAEMON_DOWN',
    `the supervisor cannot start: its folder, ${at.folder}, cannot be written`,
    {
      hint: { command: 'up --foreground', note: 'or set XDG_STATE_HOME to a folder of yours' },
    },
  );
}
