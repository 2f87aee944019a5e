// A world for one end-to-end test: its own home, the built `tunnel`, real child processes. Nothing of the real home is seen.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { StatusDocument, TunnelStatus } from '../../src/model/status.ts';
import { temporaryFolder } from './folder.ts';

/** The program that was built here; TUNNEL_PROGRAM names another, such as the single file of `npm run package`. */
export const built = resolve(
  process.env['TUNNEL_PROGRAM'] ?? join(import.meta.dirname, '../../bin/tunnel.js'),
);

/** What runs it. */
const commandOf = (bin: string): readonly [string, ...string[]] =>
  bin.endsWith('.js') ? [process.execPath, bin] : [bin];

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface World extends AsyncDisposable {
  /** TUNNEL_HOME and, below it, `home` as $HOME. */
  readonly folder: string;
  readonly env: Record<string, string>;
  /** Writes tunnels.yaml. */
  config(text: string): void;
  /** Runs `tunnel ARGS` to its end, without a terminal. */
  run(
    args: readonly string[],
    options?: { input?: string; env?: Record<string, string>; cwd?: string },
  ): Promise<Ran>;
  /** Starts `tunnel ARGS` and leaves it running. */
  start(args: readonly string[], options?: { env?: Record<string, string> }): ChildProcess;
  status(selectors?: readonly string[]): Promise<StatusDocument>;
  tunnel(name: string): Promise<TunnelStatus>;
  /** Waits until a tunnel's status satisfies the condition, following `status --watch --json`. */
  until(name: string, condition: (tunnel: TunnelStatus) => boolean): Promise<TunnelStatus>;
}

/**
 * Makes a world. Dispose it with `await using`: it takes every tunnel down and ends the supervisor.
 * `bin`: another copy of the program than the one that was built here. `uid`: whose processes they are, which takes root.
 */
export function createWorld({ bin = built, uid }: { bin?: string; uid?: number } = {}): World {
  const folder = temporaryFolder('w');
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  const identity = uid === undefined ? {} : { uid, gid: uid };
  if (uid !== undefined) {
    for (const path of [folder, home]) chownSync(path, uid, uid);
    chmodSync(dirname(folder), 0o711); // they look at nothing but their own
  }
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: home,
    TUNNEL_HOME: folder,
    LANG: 'C.UTF-8',
    TMPDIR: process.env['TMPDIR'] ?? '/tmp',
    TUNNEL_WIPE_MEMORY: process.env['TUNNEL_WIPE_MEMORY'] ?? '', // wiped-memory.ts; not in benchmarks
  };
  const [program, ...script] = commandOf(bin);
  const start: World['start'] = (args, options = {}) =>
    spawn(program, [...script, ...args], {
      ...identity,
      env: { ...env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  const run: World['run'] = async (args, options = {}) => {
    const child = spawn(program, [...script, ...args], {
      ...identity,
      env: { ...env, ...options.env },
      cwd: options.cwd ?? folder,
    });
    child.stdin.on('error', () => undefined); // it ended before it read: its exit tells
    child.stdin.end(options.input ?? '');
    return finished(child);
  };
  const status: World['status'] = async (selectors = []) => {
    const ran = await run(['status', '--json', ...selectors]);
    if (ran.code !== 0) throw new Error(`status ended with ${ran.code}: ${ran.stderr}`);
    return JSON.parse(ran.stdout) as StatusDocument;
  };
  const tunnel = async (name: string): Promise<TunnelStatus> => {
    const found = (await status([name])).tunnels.find((each) => each.name === name);
    if (found === undefined) throw new Error(`no tunnel ${name} in status`);
    return found;
  };
  return {
    folder,
    env,
    config(text) {
      const file = join(folder, 'tunnels.yaml');
      writeFileSync(file, text);
      chmodSync(file, 0o600);
      if (uid !== undefined) chownSync(file, uid, uid);
    },
    run,
    start,
    status,
    tunnel,
    // of all: it may be that the file was not read yet in which it stands
    until: (name, condition) => follow(start(['status', '--watch', '--json']), name, condition),
    async [Symbol.asyncDispose]() {
      const pid = (await status().catch(() => null))?.supervisor.pid ?? null;
      await run(['down']);
      if (pid !== null) await processEnd(pid);
    },
  };
}

/** Collects a child's output until it ends. */
export async function finished(child: ChildProcess): Promise<Ran> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((done) =>
    child.once('close', (...end) => done(end)),
  );
  return { code, signal, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() };
}

async function follow(
  child: ChildProcess,
  name: string,
  condition: (tunnel: TunnelStatus) => boolean,
): Promise<TunnelStatus> {
  let text = '';
  let last = '';
  try {
    for await (const chunk of child.stdout ?? []) {
      text += String(chunk);
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines) {
        last = line;
        const found = (JSON.parse(line) as StatusDocument).tunnels.find((tunnel) => tunnel.name === name);
        if (found !== undefined && condition(found)) return found;
      }
    }
  } finally {
    child.kill('SIGKILL');
  }
  throw new Error(`status --watch ended before the condition held; last: ${last}`);
}

/** Resolves when a process is gone; ends it by its pid after 5 s. */
export async function processEnd(pid: number): Promise<void> {
  for (let tries = 0; isAlive(pid); tries += 1) {
    if (tries === 250) process.kill(pid, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** A zombie is gone: it only waits for its parent to look, and a container's init may take its time. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    const stat = process.platform === 'linux' ? readFileSync(`/proc/${pid}/stat`, 'latin1') : '';
    return !/\) [ZX] /.test(stat.slice(stat.lastIndexOf(')')));
  } catch {
    return false;
  }
}
