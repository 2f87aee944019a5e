// A lock file between processes of one user: taken by exclusive creation, given back by removal, broken only when its owner is gone.
import { randomBytes } from 'node:crypto';
import { open, readFile, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { TunnelError } from '../errors.ts';
import { reasonOf } from './read-file.ts';

/** The work under the lock takes milliseconds; a busy disk may make it seconds. */
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

/** Runs `work` while holding PATH.lock. Throws INTERNAL when it cannot be had within 15 s or cannot be made. */
export async function underLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = `${path}.lock`;
  await acquire(lock);
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function acquire(lock: string): Promise<void> {
  const owner: LockOwner = {
    pid: process.pid,
    host: hostname(),
    born: await birthOf(process.pid),
    token: randomBytes(8).toString('hex'),
  };
  const deadline = Date.now() + patienceMs;
  while (!(await create(lock, JSON.stringify(owner)))) {
    await breakStale(lock);
    if (Date.now() > deadline)
      throw new TunnelError('INTERNAL', `lock failed, on ${lock}: it is held by ${await holder(lock)}`, {
        hint: `rm ${lock}    # when no tunnel command is running`,
      });
    await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 20));
  }
}

/** False when it is there already. */
async function create(lock: string, content: string): Promise<boolean> {
  try {
    const file = await open(lock, 'wx', 0o600);
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
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
async function breakStale(lock: string): Promise<void> {
  const seen = await readLock(lock);
  if (seen === null || !(await isStale(lock, seen))) return;
  const breaking = `${lock}.break`;
  if (!(await create(breaking, ''))) {
    if ((await ageMs(breaking)) > foreignAgeMs) await rm(breaking, { force: true });
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
    return await readFile(lock, 'utf8');
  } catch {
    return null; // given back in the meantime
  }
}

function parseOwner(content: string): LockOwner | null {
  try {
    const owner = JSON.parse(content) as Partial<LockOwner> | null;
    return typeof owner?.pid === 'number' && typeof owner.host === 'string' && typeof owner.born === 'string'
      ? (owner as LockOwner)
      : null;
  } catch {
    return null; // made a moment ago and not written yet, or its maker died in between
  }
}

async function ageMs(path: string): Promise<number> {
  try {
    return Date.now() - (await stat(path)).mtimeMs;
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
