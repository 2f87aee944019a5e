// What the tests of a supervisor's replacement share: other versions of the program, and clients that never stop asking.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { exchange } from './forwards-world.ts';
import { copyPackage, type CopyOptions } from './package-copy.ts';
import { eventually } from './ways-in.ts';
import { finished, type Ran, type World } from './world.ts';

/** Another version of the program, in a folder of its own. Answers the path of its program. */
export function otherVersion(version: string, more: Partial<CopyOptions> = {}): string {
  return copyPackage(temporaryFolder('package'), { native: true, version, ...more });
}

/** What a supervisor's process does before it loads the supervisor; no command does it. */
export const beforeSupervisor = (statements: string): readonly [RegExp, string] => [
  /exports\.supervise=\(\)=>\(/,
  `exports.supervise=()=>((()=>{${statements}})(),`,
];

export interface WaitingVersion {
  /** Path of its program. */
  readonly program: string;
  /** Resolves to the pid of its supervisor, which waits before it does anything. */
  started(): Promise<number>;
  goOn(): void;
}

/** Another version of the program, whose supervisor waits at its start until it is told to go on. */
export function waitingVersion(version: string): WaitingVersion {
  const folder = temporaryFolder('waiting');
  const [pidFile, goFile] = [join(folder, 'pid'), join(folder, 'go')];
  const wait = `const fs = process.getBuiltinModule('node:fs');
fs.writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
while (!fs.existsSync(${JSON.stringify(goFile)})) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);`;
  const pidOf = (): number => (existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0);
  return {
    program: otherVersion(version, { changed: [beforeSupervisor(wait)] }),
    async started() {
      await eventually(() => pidOf() > 0);
      return pidOf();
    },
    goOn: () => writeFileSync(goFile, ''),
  };
}

/** Runs a copy of the program in a world, off a terminal. */
export const runOf = (program: string, world: World, args: readonly string[]): Promise<Ran> =>
  finished(
    spawn(process.execPath, [program, ...args], {
      env: world.env,
      cwd: world.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );

export const supervisorOf = async (world: World): Promise<{ pid: number; version: string | null }> => {
  const { pid, version } = (await world.status()).supervisor;
  return { pid: pid ?? 0, version };
};

export interface Asking {
  readonly asked: number;
  /** Answers each way in which a connection ended, once: the answer, or its error. */
  stop(): Promise<readonly string[]>;
}

/** Asks again and again, each time over a connection of its own. */
export function askAgainAndAgain(at: string): Asking {
  const seen = new Set<string>();
  let asked = 0;
  let isOver = false;
  const asking = (async () => {
    while (!isOver) {
      const { text, error } = await exchange(at, 'x');
      seen.add(error ?? text);
      asked += 1;
    }
  })();
  return {
    get asked() {
      return asked;
    },
    async stop() {
      isOver = true;
      await asking;
      return [...seen];
    },
  };
}
