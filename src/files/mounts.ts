// Mounts that may be dead: a file on one can hang whoever touches it, for ever and past any signal but the last, and takes
// the thread with it. So a child touches it first. Linux tells what is mounted; elsewhere nothing is known beforehand.
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { runProgram } from './child.ts';

/** File systems that somebody else must answer for: another machine, or another process. */
const farAway =
  /^(nfs\d?|cifs|smb\d|smbfs|9p|afs|autofs|beegfs|ceph|coda|davfs|fuse|fuseblk|glusterfs|gpfs|lustre|virtiofs)(?=[. ]|$)/;

/** Mount points of such file systems: proc_pid_mountinfo(5). Not `/`: where that is dead nothing is left to be done. */
export function farMounts(mountinfo: string): ReadonlySet<string> {
  const points = new Map<string, boolean>();
  for (const line of mountinfo.split('\n')) {
    const [front = '', back = ''] = line.split(' - ');
    const point = front
      .split(' ')[4]
      ?.replace(/\\(\d{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
    if (point !== undefined) points.set(point, farAway.test(back)); // the last one mounted there is what is seen
  }
  return new Set([...points].flatMap(([point, far]) => (far && point !== '/' ? [point] : [])));
}

const mostLinks = 40;

/** The far mount that a path leads to, without a touch of what is on it; null for none. */
export function farMountOf(path: string, far: ReadonlySet<string>): string | null {
  if (far.size === 0) return null;
  let at = '/';
  let links = 0;
  const parts = resolve(path).split('/').filter(Boolean);
  for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
    const next = part === '..' ? dirname(at) : join(at, part);
    if (far.has(next)) return next;
    const target = part === '..' ? null : linkOf(next);
    if (target === null) at = next;
    else if ((links += 1) > mostLinks) return null;
    else {
      if (target.startsWith('/')) at = '/';
      parts.unshift(...target.split('/').filter((each) => each !== '' && each !== '.'));
    }
  }
  return null;
}

/** Null: no link, or nothing there. */
function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

let mounted: { readonly atMs: number; readonly far: ReadonlySet<string> } | null = null;

/** As of the last second: a thousand tunnels name more files than that. */
function mountedNow(): ReadonlySet<string> {
  const now = performance.now();
  if (mounted !== null && now - mounted.atMs < 1000) return mounted.far;
  let far: ReadonlySet<string> = new Set();
  try {
    far = farMounts(readFileSync('/proc/self/mountinfo', 'latin1'));
  } catch {
    // not Linux
  }
  mounted = { atMs: now, far };
  return far;
}

/** Whether a file is there, at once. What is far away is taken to be: whoever reads it finds out, and nobody waits here. */
export function existsNearby(path: string): boolean {
  return farMountOf(path, mountedNow()) !== null || existsSync(path);
}

const answerLimitMs = 3_000;
/** For so long an answer is believed: a login reads several files. */
const believedMs = 10_000;
const probes = new Map<string, { readonly atMs: number; readonly answers: Promise<boolean> }>();

/** False: the file is on a file system that does not answer now. */
export function fileSystemAnswers(path: string): Promise<boolean> {
  const mount = process.platform === 'linux' ? farMountOf(path, mountedNow()) : null;
  if (mount === null) return Promise.resolve(true);
  const known = probes.get(mount);
  const now = performance.now();
  if (known !== undefined && now - known.atMs < believedMs) return known.answers;
  const answers = probe(path);
  probes.set(mount, { atMs: now, answers });
  return answers;
}

/** Reads a byte: what is known of a file may be remembered here while its server is long gone. */
async function probe(path: string): Promise<boolean> {
  const argv = ['sh', '-c', 'test -f "$1" && head -c 1 -- "$1"', 'sh', path];
  const { ending } = await runProgram(argv, {
    env: process.env,
    deadlineMs: answerLimitMs,
    outputLimitBytes: 16,
  });
  return ending.how !== 'late';
}
