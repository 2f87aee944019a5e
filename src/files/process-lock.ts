// The lock of one supervisor: taken before its socket, and free again the moment its process is gone, however it went.
//
// Rules that make it safe among any number of starters, with nothing but link(2), which NFS does atomically too:
// 1. The lock file appears whole, by link(2): it holds the pid, the launch time and a nonce of its holder.
// 2. Its holder removes it. Otherwise only whoever holds the *right to break* that very nonce may, and looks once more
//    that it is still that nonce after getting the right.
// 3. The right to break nonce N is a file `lock.broken.N`, taken like the lock itself: so one process has it at a
//    time, and a breaker that died can be broken in turn.
import { randomBytes } from 'node:crypto';
import { linkSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { launchTimeOf } from './launch-time.ts';

/** A process that holds a lock. */
export interface Holder {
  readonly pid: number;
  readonly launched: string;
  readonly nonce: string;
}

export type LockOutcome =
  | { readonly kind: 'taken'; readonly release: () => void }
  /** A living process has it. */
  | { readonly kind: 'held'; readonly pid: number };

/** Takes the lock for this process, or says who has it. Throws a system error where the folder cannot be written. */
export function takeLock(path: string, platform: NodeJS.Platform, pid: number = process.pid): LockOutcome {
  const own: Holder = {
    pid,
    launched: launchTimeOf(pid, platform) ?? '',
    nonce: randomBytes(8).toString('hex'),
  };
  const outcome = take(path, path, own, platform);
  if (outcome.kind === 'taken') removeLeftovers(path);
  return outcome;
}

/** The living holder of a lock; null when it is free or its holder is gone. */
export function lockHolder(path: string, platform: NodeJS.Platform): number | null {
  const found = read(path);
  return found !== null && isAlive(found, platform) ? found.pid : null;
}

/** `path` is the lock itself or a right to break; rights are named after `lock`. */
function take(path: string, lock: string, own: Holder, platform: NodeJS.Platform): LockOutcome {
  for (;;) {
    if (create(path, own)) return { kind: 'taken', release: () => remove(path, own.nonce) };
    const found = read(path);
    if (found === null) continue; // released in the meantime
    if (isAlive(found, platform)) return { kind: 'held', pid: found.pid };
    const breaking = take(`${lock}.broken.${found.nonce}`, lock, own, platform);
    if (breaking.kind === 'held') {
      pause();
      continue; // a living process is at it and needs a moment
    }
    remove(path, found.nonce);
    breaking.release();
  }
}

/** Makes the file with its content in one step. False: it exists. */
function create(path: string, own: Holder): boolean {
  const whole = `${path}.${own.nonce}`;
  const content = JSON.stringify(own);
  writeFileSync(whole, content, { mode: 0o600, flag: 'wx' });
  try {
    linkSync(whole, path);
    return true;
  } catch (thrown) {
    // ENOENT: who got the lock meanwhile cleared our half of it away.
    if (hasCode(thrown, 'EEXIST', 'ENOENT')) return false;
    if (!hasCode(thrown, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw thrown;
    return createInPlace(path, content);
  } finally {
    rmSync(whole, { force: true });
  }
}

/** For file systems without hard links (FAT, some FUSE): a reader may see the file before its content. */
function createInPlace(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
    return true;
  } catch (thrown) {
    if (hasCode(thrown, 'EEXIST')) return false;
    throw thrown;
  }
}

function read(path: string): Holder | null {
  try {
    const text = readFileSync(path, 'utf8');
    return parse(text) ?? unreadable(path);
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return null;
    throw thrown;
  }
}

function parse(text: string): Holder | null {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    const { pid, launched, nonce } = value ?? {};
    if (typeof pid !== 'number' || typeof launched !== 'string' || !/^[0-9a-f]{16}$/.test(nonce ?? ''))
      return null;
    return { pid, launched, nonce: nonce ?? '' };
  } catch {
    return null; // being written (see createInPlace), or cut off by a full disk
  }
}

/** Content that is no holder's: believed to be under way for 5 s, then of nobody. */
function unreadable(path: string): Holder {
  const { mtimeMs, ino } = statSync(path);
  // Either way: the clock may have been set since, or be another machine's.
  const launched = Math.abs(Date.now() - mtimeMs) < 5000 ? underWay : '';
  return { pid: 0, launched, nonce: `unreadable-${ino}-${mtimeMs}` };
}

const underWay = 'under way';

function isAlive(holder: Holder, platform: NodeJS.Platform): boolean {
  if (holder.pid === 0) return holder.launched === underWay;
  return launchTimeOf(holder.pid, platform) === holder.launched;
}

/** Removes the file if it is still the one with this nonce. See rule 2 for why nobody can get in between. */
function remove(path: string, nonce: string): void {
  if (read(path)?.nonce !== nonce) return;
  try {
    unlinkSync(path);
  } catch (thrown) {
    if (!hasCode(thrown, 'ENOENT')) throw thrown;
  }
}

/**
 * What starters that died left: rights and half-made locks. While we hold the lock no right can matter, since each is
 * about an earlier holder, and whoever loses a half-made lock tries again.
 */
function removeLeftovers(path: string): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    if (name.startsWith(`${basename(path)}.`)) rmSync(join(folder, name), { force: true });
  }
}

function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
}

function hasCode(thrown: unknown, ...codes: string[]): boolean {
  return codes.includes((thrown as NodeJS.ErrnoException).code ?? '');
}
