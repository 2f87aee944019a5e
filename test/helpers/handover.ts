// What the tests of a supervisor's replacement share: other versions of the program, and clients that never stop asking.
import { spawn } from 'node:child_process';
import { temporaryFolder } from './folder.ts';
import { exchange } from './forwards-world.ts';
import { copyPackage, type CopyOptions } from './package-copy.ts';
import { finished, type Ran, type World } from './world.ts';

/** Another version of the program, in a folder of its own. Answers the path of its program. */
export function otherVersion(version: string, more: Partial<CopyOptions> = {}): string {
  return copyPackage(temporaryFolder('package'), { native: true, version, ...more });
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
