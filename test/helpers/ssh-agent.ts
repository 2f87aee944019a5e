// A real ssh-agent in a temp folder, gone with the test.
import { execFileSync, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

export interface TestAgent extends AsyncDisposable {
  readonly socket: string;
  /** ssh-add with these arguments. */
  add(...args: string[]): void;
  stop(): Promise<void>;
}

export async function startAgent(): Promise<TestAgent> {
  const socket = join(temporaryFolder('agent'), 'sock');
  const child = spawn('ssh-agent', ['-D', '-a', socket], { stdio: 'ignore' });
  const gone = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
  });
  while (!(await answers(socket))) await new Promise((resolve) => setTimeout(resolve, 10));
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await gone;
  };
  return {
    socket,
    add(...args) {
      execFileSync('ssh-add', ['-q', ...args], {
        env: { ...process.env, SSH_AUTH_SOCK: socket },
        stdio: 'ignore',
      });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The socket is there a moment before anybody listens on it. */
function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
