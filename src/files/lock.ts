// Locks: files that name their owner, free again once it is gone. Two uses: held for a process's life (a supervisor, taken at
// once, before its socket), and held for one update of a file (waited for).
import { randomBytes } from 'node:crypto';
import {
  linkSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { lstat, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { TunnelError } from '../errors.ts';
import { stopThread } from '../model/stop-thread.ts';
import { reasonOf } from './errno.ts';

// A lock for a process's life is safe among any number of starters, with nothing but link(2), which NFS does atomically too:
// 1. The lock file appears whole, by link(2): it holds the pid, the launch time and a nonce of its holder.
// 2. Its holder removes it, or lets another process take its place (`takeLockOver`). Otherwise only whoever holds the *right to break* that very nonce may, and looks once more
//    that it is still that nonce after getting the right.
// 3. The right to break nonce N is a file `lock.broken.N`, taken like the lock itself: so one process has it at a
//    time, and a breaker that died can be broken in turn.

/** How long the breaker of a lock is given before another look. */
const momentMs = 2;

/** A process that holds a lock for its life. */
export interface Holder {
  readonly pid: number;
  readonly launched: string;
  readonly nonce: string;
}

export type LockOutcome =
  | { readonly kind: 'taken'; readonly nonce: string; readonly release: () => void }
  /** A living process has it. */
  | { readonly kind: 'held'; readonly pid: number };

/** Takes the lock for this process, or says who has it. Throws a system error where the folder cannot be written. */
export function takeLock(path: string, platform: NodeJS.Platform, pid: number = process.pid): LockOutcome {
  const own = newHolder(pid, platform);
  const outcome = takeOrBreak(path, path, own, platform);
  if (outcome.kind === 'taken') removeLeftovers(path);
  return outcome;
}

/**
 * Takes the lock from a living holder that agreed, by its nonce: in one step, so that it is never free in between. By rule 2
 * whoever takes that holder for dead meanwhile cannot get in between either.
 */
export function takeLockOver(path: string, nonce: string, platform: NodeJS.Platform): LockOutcome {
  const own = newHolder(process.pid, platform);
  const right = takeOrBreak(`${path}.broken.${nonce}`, path, own, platform);
  if (right.kind === 'held') return right;
  try {
    const found = readHolder(path);
    if (found?.nonce !== nonce) return { kind: 'held', pid: found?.pid ?? 0 };
    const whole = `${path}.${own.nonce}`;
    writeFileSync(whole, JSON.stringify(own), { mode: 0o600, flag: 'wx' });
    renameSync(whole, path);
    return taken(path, own);
  } finally {
    right.release();
  }
}

function newHolder(pid: number, platform: NodeJS.Platform): Holder {
  return { pid, launched: launchTimeOf(pid, platform) ?? '', nonce: randomBytes(8).toString('hex') };
}

function taken(path: string, own: Holder): LockOutcome {
  return { kind: 'taken', nonce: own.nonce, release: () => removeOwn(path, own.nonce) };
}

/** The living holder of a lock; null when it is free or its holder is gone. */
export function lockHolder(path: string, platform: NodeJS.Platform): number | null {
  const found = readHolder(path);
  return found !== null && isAlive(found, platform) ? found.pid : null;
}

/** `path` is the lock itself or a right to break; rights are named after `lock`. */
function takeOrBreak(path: string, lock: string, own: Holder, platform: NodeJS.Platform): LockOutcome {
  for (;;) {
    if (makeWhole(path, own)) return taken(path, own);
    const found = readHolder(path);
    if (found === null) continue; // released in the meantime
    if (isAlive(found, platform)) return { kind: 'held', pid: found.pid };
    const breaking = takeOrBreak(`${lock}.broken.${found.nonce}`, lock, own, platform);
    if (breaking.kind === 'held') {
      stopThread(momentMs);
      continue; // a living process is at it and needs a moment
    }
    removeOwn(path, found.nonce);
    breaking.release();
  }
}

/** Makes the file with its content in one step. False: it exists. */
function makeWhole(path: string, own: Holder): boolean {
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
    return makeInPlace(path, content);
  } finally {
    rmSync(whole, { force: true });
  }
}

/** For file systems without hard links (FAT, some FUSE): a reader may see the file before its content. */
function makeInPlace(path: string, content: string): boolean {
  try {
    writeFileSync(path, content, { mode: 0o600, flag: 'wx' });
    return true;
  } catch (thrown) {
    if (hasCode(thrown, 'EEXIST')) return false;
    throw thrown;
  }
}

function readHolder(path: string): Holder | null {
  try {
    const text = readFileSync(path, 'utf8');
    return parseHolder(text) ?? unreadableHolder(path);
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return null;
    throw thrown;
  }
}

function parseHolder(text: string): Holder | null {
  try {
    const value = JSON.parse(text) as Partial<Holder> | null;
    const { pid, launched, nonce } = value ?? {};
    if (typeof pid !== 'number' || typeof launched !== 'string' || !/^[0-9a-f]{16}$/.test(nonce ?? ''))
      return null;
    return { pid, launched, nonce: nonce ?? '' };
  } catch {
    return null; // being written (see makeInPlace), or cut off by a full disk
  }
}

/** Content that is no holder's: believed to be under way for 5 s, then of nobody. */
function unreadableHolder(path: string): Holder {
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
function removeOwn(path: string, nonce: string): void {
  if (readHolder(path)?.nonce !== nonce) return;
  try {
    unlinkSync(path);
  } catch (thrown) {
    if (!hasCode(thrown, 'ENOENT')) throw thrown;
  }
}

/**
 * Removes the rights and half-made locks of starters that died. While we hold the lock no right can matter, since each is
 * about an earlier holder, and whoever loses a half-made lock tries again.
 */
function removeLeftovers(path: string): void {
  const folder = dirname(path);
  for (const name of readdirSync(folder)) {
    if (name.startsWith(`${basename(path)}.`)) rmSync(join(folder, name), { force: true });
  }
}

function hasCode(thrown: unknown, ...codes: string[]): boolean {
  return codes.includes((thrown as NodeJS.ErrnoException).code ?? '');
}

// A lock for an update stands beside the file, which may be in a home that several machines share: so it names the machine
// too, and is a link whose target is the owner's text.

/** How long one owner may keep it; the work under it takes milliseconds, a busy disk may make it seconds. */
const heldLimitMs = 15_000;
/** Age at which a lock is stale whose owner cannot be looked up (another machine on the same home). */
const foreignAgeMs = 60_000;

interface LockOwner {
  readonly pid: number;
  readonly host: string;
  /** Clock ticks since boot at which the owner started, to tell it from a later process with its pid; '' where unknown. */
  readonly born: string;
  readonly token: string;
}

/**
 * Runs `work` while holding PATH.lock. Throws INTERNAL when one owner keeps it for 15 s, or when it cannot be made;
 * a lock that goes from hand to hand is waited for.
 */
export async function underLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  const mine = ownerText();
  await acquire(lock, mine);
  try {
    return await work();
  } finally {
    // Not one that somebody made after taking us for dead.
    if ((await readLock(lock)) === mine) await rm(lock, { force: true });
  }
}

function ownerText(): string {
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    born: birthOf(process.pid),
    token: randomBytes(8).toString('hex'),
  };
  return JSON.stringify(owner);
}

async function acquire(lock: string, mine: string): Promise<void> {
  let holding = '';
  let since = performance.now();
  while (!(await makeLink(lock, mine))) {
    const seen = (await readLock(lock)) ?? '';
    if (seen !== holding) since = performance.now();
    holding = seen;
    await breakStale(lock, mine);
    if (performance.now() - since > heldLimitMs)
      throw new TunnelError('INTERNAL', `lock failed, on ${lock}: it is held by ${await holder(lock)}`, {
        hint: `rm ${lock}    # when no tunnel command is running`,
      });
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
  }
}

/**
 * False when it is there already. A link whose target is the owner's text comes into being as a whole: a file could be
 * left empty by a process that dies between making and writing it, and nobody could tell whose it was.
 */
async function makeLink(lock: string, content: string): Promise<boolean> {
  try {
    await symlink(content, lock);
    return true;
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (noLinks.includes(code)) return makeFile(lock, content);
    throw new TunnelError('INTERNAL', `lock failed, on ${lock}: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

/** Errors of a file system without links; EPERM also of Windows, for users who may not make them. */
const noLinks = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN'];

async function makeFile(lock: string, content: string): Promise<boolean> {
  try {
    await writeFile(lock, content, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new TunnelError('INTERNAL', `lock failed, on ${lock}: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

/**
 * Removes a lock whose owner is gone. Only the holder of a second lock may do so, after a second look: else two
 * that wait could each remove what the other has just made.
 */
async function breakStale(lock: string, mine: string): Promise<void> {
  const seen = await readLock(lock);
  if (seen === null || !(await isStale(lock, seen))) return;
  const breaking = `${lock}.break`;
  if (!(await makeLink(breaking, mine))) {
    const other = await readLock(breaking);
    if (other !== null && (await isStale(breaking, other))) await rm(breaking, { force: true });
    return;
  }
  try {
    if ((await readLock(lock)) === seen) await rm(lock, { force: true });
  } finally {
    await rm(breaking, { force: true });
  }
}

async function isStale(lock: string, content: string): Promise<boolean> {
  const owner = parseOwner(content);
  if (owner === null || owner.host !== hostname()) return (await ageMs(lock)) > foreignAgeMs;
  if (!isRunning(owner.pid)) return true;
  return owner.born !== '' && birthOf(owner.pid) !== owner.born;
}

async function readLock(lock: string): Promise<string | null> {
  try {
    return await readlink(lock);
  } catch (thrown) {
    // a file, where there are no links
    return (thrown as NodeJS.ErrnoException).code === 'ENOENT'
      ? null
      : readFile(lock, 'utf8').catch(() => null);
  }
}

function parseOwner(content: string): LockOwner | null {
  try {
    const owner = JSON.parse(content) as Partial<LockOwner> | null;
    return typeof owner?.pid === 'number' && typeof owner.host === 'string' && typeof owner.born === 'string'
      ? (owner as LockOwner)
      : null;
  } catch {
    return null; // a file that is not written yet, or whose maker died before it was
  }
}

async function ageMs(path: string): Promise<number> {
  try {
    // Either way: the clock may have been set since, or be another machine's.
    return Math.abs(Date.now() - (await lstat(path)).mtimeMs);
  } catch {
    return 0; // gone: not stale
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** '' where there is no /proc, or the process is gone. */
function birthOf(pid: number): string {
  try {
    return processStat(pid).started ?? '';
  } catch {
    return '';
  }
}

async function holder(lock: string): Promise<string> {
  const owner = parseOwner((await readLock(lock)) ?? '');
  return owner === null ? 'an unknown process' : `process ${owner.pid} on ${owner.host}`;
}

/**
 * When a running process was launched, as text, equal for as long as it lives: with its pid it names a process for
 * good, since pids come back and launch times do not. Null: no such process, or only its
 * zombie. Linux: boot id and start time from /proc (proc(5), field 22); elsewhere what ps(1) says.
 */
export function launchTimeOf(pid: number, platform: NodeJS.Platform): string | null {
  if (platform === 'linux') return fromProc(pid);
  if (platform === 'win32') return isRunning(pid) ? 'running' : null;
  return fromPs(pid);
}

function fromProc(pid: number): string | null {
  try {
    const { state, started } = processStat(pid);
    if (started === undefined || state === 'Z' || state === 'X') return null;
    return `${bootId()}:${started}`;
  } catch (thrown) {
    return absent(thrown);
  }
}

/** State and start time in clock ticks since boot: fields 3 and 22 of /proc/PID/stat (proc(5)). Throws the system's error. */
function processStat(pid: number): {
  readonly state: string | undefined;
  readonly started: string | undefined;
} {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The command's name stands in parentheses and may hold anything: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], started: fields[19] };
}

/** Null when the process is not there. Anything else is not known, and must not pass for "it is gone". */
function absent(thrown: unknown): null {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ESRCH') return null;
  throw thrown;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM') return ''; // a sandbox hides it
    throw thrown;
  }
}

function fromPs(pid: number): string | null {
  const output = outputNow('/bin/ps', ['-o', 'stat=,lstart=', '-p', String(pid)], 5000);
  if (output === 1) return null; // no such process
  if (typeof output === 'number') throw new Error(`ps ended with ${output}`);
  const [state, ...started] = output.trim().split(/\s+/);
  return state === undefined || state === '' || state.startsWith('Z') ? null : started.join(' ');
}

/** The output of a program, or its exit code where that is not 0. Throws where it cannot be started or takes too long. */
function outputNow(program: string, args: readonly string[], limitMs: number): string | number {
  // Not imported: `status` passes here on Linux too, and loading it costs 3 ms there for nothing.
  const { execFileSync } = process.getBuiltinModule('node:child_process');
  try {
    return execFileSync(program, args, {
      encoding: 'utf8',
      env: { LC_ALL: 'C', TZ: 'UTC' },
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: limitMs,
    });
  } catch (thrown) {
    const { status } = thrown as { status?: unknown };
    if (typeof status === 'number') return status;
    throw thrown;
  }
}
