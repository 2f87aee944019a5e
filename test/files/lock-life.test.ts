// The lock with real processes: racing starters, killed holders, pids that came back.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';
import { launchTimeOf, lockHolder, takeLock, takeLockOver } from '../../src/files/lock.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const racer = resolve(import.meta.dirname, '../helpers/lock-racer.ts');
const children: ChildProcess[] = [];
afterEach(async () => {
  await Promise.all(children.splice(0).map(kill));
});

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

interface Racer {
  readonly child: ChildProcess;
  /** Tells it to go; resolves with what it says it got. */
  race(): Promise<string>;
}

async function startRacer(path: string): Promise<Racer> {
  const child = spawn(process.execPath, ['--import', 'tsx', racer, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    child,
    async race() {
      child.stdin.write('go\n');
      return (await lines.next()).value as string;
    },
  };
}

describe('the lock', () => {
  test('is held by one of ten that race for it, also when they race to take over a dead one', async () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const racers = await Promise.all(Array.from({ length: 10 }, () => startRacer(path)));
    for (let living = racers; living.length > 0;) {
      const results = await Promise.all(living.map((one) => one.race()));
      const winner = living.find((_, index) => results[index] === 'taken');
      const pid = winner?.child.pid;
      expect(results.toSorted(), 'one has it, all others know who').toEqual([
        ...Array.from({ length: living.length - 1 }, () => `held ${pid}`),
        'taken',
      ]);
      expect(lockHolder(path, process.platform)).toBe(pid);
      if (winner !== undefined) await kill(winner.child);
      expect(lockHolder(path, process.platform)).toBe(null);
      living = living.filter((one) => one !== winner);
    }
    expect(readdirSync(join(path, '..'))).toEqual(['lock']);
  });

  test('is free after its release, and only its holder releases it', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const first = takeLock(path, process.platform);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(takeLock(path, process.platform)).toEqual({ kind: 'held', pid: process.pid });
    if (first.kind === 'taken') first.release();
    expect(readdirSync(join(path, '..'))).toEqual([]);
    expect(takeLock(path, process.platform).kind).toBe('taken');
    if (first.kind === 'taken') first.release();
    expect(lockHolder(path, process.platform)).toBe(process.pid);
  });

  test('of a pid that now belongs to another process is free', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const holder = { pid: process.pid, launched: 'another boot:1', nonce: '0123456789abcdef' };
    writeFileSync(path, JSON.stringify(holder));
    expect(lockHolder(path, process.platform)).toBe(null);
    expect(takeLock(path, process.platform).kind).toBe('taken');
  });

  test('is taken over even where a breaker died before it was done', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const dead = (nonce: string): string => JSON.stringify({ pid: 2 ** 22, launched: 'x:1', nonce });
    writeFileSync(path, dead('000000000000000a'));
    writeFileSync(`${path}.broken.000000000000000a`, dead('000000000000000b'));
    writeFileSync(`${path}.broken.000000000000000b`, dead('000000000000000c'));
    expect(takeLock(path, process.platform).kind).toBe('taken');
    expect(readdirSync(join(path, '..'))).toEqual(['lock']);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid });
  });

  test('with unreadable content is of nobody once it is old', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    writeFileSync(path, '');
    utimesSync(path, 1, 1);
    expect(takeLock(path, process.platform).kind).toBe('taken');
  });

  test('throws where nothing can be written', () => {
    expect(() => takeLock('/proc/no/lock', process.platform)).toThrow('ENOENT');
  });
});

describe('a launch time', () => {
  test('is the same for as long as the process lives, and null afterwards', async () => {
    const child = spawn('sleep', ['60']);
    children.push(child);
    await once(child, 'spawn');
    const pid = child.pid ?? 0;
    const launched = launchTimeOf(pid, process.platform);
    expect(launched).not.toBe(null);
    expect(launchTimeOf(pid, process.platform)).toBe(launched);
    await kill(child);
    expect(launchTimeOf(pid, process.platform)).toBe(null);
  });

  test.runIf(process.platform === 'linux')('is null for a zombie', async () => {
    // The shell's child ends at once and is never waited for, since the shell became a sleep.
    const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(parent);
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    await expect.poll(() => launchTimeOf(Number(line.toString()), 'linux')).toBe(null);
  });

  test.runIf(process.platform !== 'win32')('is read by ps too', () => {
    expect(launchTimeOf(process.pid, 'darwin')).toMatch(/\d{4}$/);
    expect(launchTimeOf(2 ** 22, 'darwin')).toBe(null);
  });
});

describe('a lock for life that changes hands', () => {
  test('is its new owner’s at once, and the old one’s release and second try leave it alone', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const old = takeLock(path, process.platform);
    if (old.kind !== 'taken') throw new Error('it is free');
    const now = takeLockOver(path, old.nonce, process.platform);
    if (now.kind !== 'taken') throw new Error('it was not given');
    old.release();
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ nonce: now.nonce });
    expect(takeLockOver(path, old.nonce, process.platform)).toEqual({ kind: 'held', pid: process.pid });
    expect(readdirSync(dirname(path))).toEqual(['lock']);
    now.release();
    expect(readdirSync(dirname(path))).toEqual([]);
  });

  test('is not taken while somebody has the right to break it', () => {
    const path = join(temporaryFolder('lock'), 'lock');
    const old = takeLock(path, process.platform);
    if (old.kind !== 'taken') throw new Error('it is free');
    const right = takeLock(`${path}.broken.${old.nonce}`, process.platform);
    expect(takeLockOver(path, old.nonce, process.platform)).toEqual({ kind: 'held', pid: process.pid });
    if (right.kind === 'taken') right.release();
    expect(takeLockOver(path, old.nonce, process.platform).kind).toBe('taken');
  });
});
