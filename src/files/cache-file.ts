// Files that only spare work, in one folder below the state folder (SPEC 1). What is in them is believed as our own code is, so they are
// read only where nobody else could have written them; whatever is wrong with one, it is as if it were not there, and nobody hears of it.
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { PlaceFacts } from '../paths.ts';

export type CacheOwner = Pick<PlaceFacts, 'uid' | 'platform'>;

/** A link in the place of the file is no file of ours; a pipe must not be waited for. */
const noLink = (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** More files than that are of programs and Nodes that are gone. */
const mostFiles = 16;

/** Null: there is none, or none that can be believed. */
export function readCacheFile(path: string, owner: CacheOwner, limitBytes: number): Buffer | null {
  let descriptor: number | null = null;
  try {
    if (!isOursAlone(dirname(path), owner)) return null;
    descriptor = openSync(path, constants.O_RDONLY | noLink);
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.uid !== owner.uid || (stats.mode & 0o022) !== 0) return null;
    if (stats.size === 0 || stats.size > limitBytes) return null;
    const bytes = Buffer.allocUnsafeSlow(stats.size);
    return readSync(descriptor, bytes, 0, stats.size, 0) === stats.size ? bytes : null;
  } catch {
    return null; // not there, a link, not ours to read
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** Writes beside the file and renames. The state folder must be there: nothing is begun for a cache. */
export function writeCacheFile(path: string, pieces: readonly Uint8Array[], owner: CacheOwner): void {
  const folder = dirname(path);
  const half = `${path}.${process.pid}`;
  try {
    if (!isOurFolder(dirname(folder), owner)) return;
    try {
      mkdirSync(folder, { mode: 0o700 });
    } catch {
      // it is there, or is looked at next
    }
    if (!isOursAlone(folder, owner)) return;
    writeHalf(half, pieces);
    renameSync(half, path);
    removeOldest(folder);
  } catch {
    removeHalf(half); // a full or read-only disk: then the next one does the work again
  }
}

function removeHalf(half: string): void {
  try {
    rmSync(half, { force: true });
  } catch {
    // it cannot be removed where it could not be written
  }
}

function writeHalf(half: string, pieces: readonly Uint8Array[]): void {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | noLink;
  const descriptor = openSync(half, flags, 0o600);
  try {
    for (const piece of pieces) writeFileSync(descriptor, piece); // behind the one before: no copy of them all in memory
  } finally {
    closeSync(descriptor);
  }
}

/** Of other versions, and what killed writers left: as all here, it is bounded. */
function removeOldest(folder: string): void {
  const names = readdirSync(folder);
  if (names.length <= mostFiles) return;
  const ages = names.map((name) => ({ name, at: lstatSync(join(folder, name)).mtimeMs }));
  for (const { name } of ages.sort((one, other) => other.at - one.at).slice(mostFiles))
    rmSync(join(folder, name), { force: true, recursive: true });
}

/** The cache folder and the state folder around it. Modes say nothing on Windows: there are no caches there. */
function isOursAlone(folder: string, owner: CacheOwner): boolean {
  return isOurFolder(folder, owner) && isOurFolder(dirname(folder), owner);
}

/** A link is refused too: in a shared place somebody else could have laid it. */
function isOurFolder(path: string, { uid, platform }: CacheOwner): boolean {
  if (platform === 'win32') return false;
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && stats.isDirectory() && stats.uid === uid && (stats.mode & 0o022) === 0;
}
