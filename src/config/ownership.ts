// Who may have written a file: it must be ours or root's, and nobody else may write to it (SPEC 1).
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readFileSync,
  statSync,
  type Stats,
} from 'node:fs';
import { shellWord } from '../model/shell-word.ts';
import type { PlaceFacts } from '../paths.ts';

/** A sentence that says why the file cannot be believed; null when it can. Throws what stat throws. */
export function ownershipProblem(file: string, facts: Pick<PlaceFacts, 'uid' | 'platform'>): string | null {
  return facts.platform === 'win32' ? null : problemOf(statSync(file), file, facts); // modes say nothing there
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
  // O_NONBLOCK: a pipe in its place is refused, not waited for.
  const descriptor = openSync(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const stats = fstatSync(descriptor);
    const problem = facts.platform === 'win32' ? null : problemOf(stats, file, facts);
    if (problem !== null) return { problem };
    if (stats.size > limitBytes) return { problem: `is larger than ${limitBytes / 1024 / 1024} MiB` };
    return { text: readFileSync(descriptor, 'utf8') };
  } finally {
    closeSync(descriptor);
  }
}

function problemOf(stats: Stats, file: string, facts: Pick<PlaceFacts, 'uid'>): string | null {
  if (!stats.isFile()) return 'is not a file'; // a pipe could be read once only, and the file is read again on a change
  if (stats.uid !== facts.uid && stats.uid !== 0)
    return `belongs to another user (uid ${stats.uid}): it must be yours or root's`;
  if ((stats.mode & 0o002) !== 0) return 'can be written by everybody';
  if ((stats.mode & 0o020) !== 0 && !isPrivateGroup(stats)) return 'can be written by its group';
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
function isPrivateGroup(stats: Stats): boolean {
  if (stats.gid === 0 && stats.uid === 0) return true;
  try {
    const users = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
    const owner = users.find((fields) => fields[2] === String(stats.uid));
    const group = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find((fields) => fields[2] === String(stats.gid));
    if (owner === undefined || group === undefined || group[0] !== owner[0]) return false;
    const members = (group[3] ?? '').split(',').filter((name) => name !== '' && name !== owner[0]);
    const others = users.filter(
      (fields) => fields[3] === String(stats.gid) && fields[2] !== String(stats.uid),
    );
    return members.length === 0 && others.length === 0;
  } catch {
    return false; // no such files (macOS keeps users elsewhere): then the group is others
  }
}
