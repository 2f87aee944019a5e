// A lock file between processes of one user: a link that names its owner, made exclusively, given back by removal, broken only when its owner is gone.
import { randomBytes } from 'node:crypto';
import { lstat, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { TunnelError } from '../errors.ts';
import { errnoWords } from './errno.ts';

/** How long one owner may keep it; the work under it takes milliseconds, a busy disk may make it seconds. */
const patienceMs = 15_000;
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
  const mine = await ownerText();
  await acquire(lock, mine);
  try {
    return await work();
  } finally {
    // Not one that somebody made after taking us for dead.
    if ((await readLock(lock)) === mine) await rm(lock, { force: true });
  }
}

async function ownerText(): Promise<string> {
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    born: await birthOf(process.pid),
    token: randomBytes(8).toString('hex'),
  };
  return JSON.stringify(owner);
}

async function acquire(lock: string, mine: string): Promise<void> {
  let holding = '';
  let since = performance.now();
  while (!(await create(lock, mine))) {
    const seen = (await readLock(lock)) ?? '';
    if (seen !== holding) since = performance.now();
    holding = seen;
    await breakStale(lock, mine);
    if (performance.now() - since > patienceMs)
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
async function create(lock: string, content: string): Promise<boolean> {
  try {
    await symlink(content, lock);
    return true;
  } catch (thrown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (noLinks.includes(code)) return createFile(lock, content);
    throw new TunnelError('INTERNAL', `lock failed, on ${lock}: ${reasonOf(thrown)}`, { cause: thrown });
  }
}

/** What a file system without links says; EPERM also Windows to who may not make them. */
const noLinks = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP', 'EINVAL', 'UNKNOWN'];

async function createFile(lock: string, content: string): Promise<boolean> {
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
  if (!(await create(breaking, mine))) {
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
  if (!isAlive(owner.pid)) return true;
  return owner.born !== '' && (await birthOf(owner.pid)) !== owner.born;
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Field 22 of /proc/PID/stat (proc(5)); '' where there is no such thing. The name before it may hold spaces. */
async function birthOf(pid: number): Promise<string> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return ''; // no /proc here, or the process is gone
  }
}

async function holder(lock: string): Promise<string> {
  const owner = parseOwner((await readLock(lock)) ?? '');
  return owner === null ? 'an unknown process' : `process ${owner.pid} on ${owner.host}`;
}

function reasonOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return errnoWords(code) ?? code ?? message;
}
