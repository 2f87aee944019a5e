// Signals of a supervisor's process: what is taken, given back, and never given back.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { refuseDebugger, takeSignals } from '../../src/daemon/signals.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { isAlive } from '../helpers/world.ts';

afterEach(() => void process.removeAllListeners('SIGUSR1'));

const nothing = (): void => undefined;

test.skipIf(process.platform === 'win32')(
  'the debugger stays shut after the other signals were given back',
  () => {
    const before = process.listenerCount('SIGTERM');
    refuseDebugger();
    const giveBack = takeSignals({
      end: nothing,
      endNow: nothing,
      reload: nothing,
      strange: nothing,
      bug: nothing,
    });
    expect(process.listenerCount('SIGTERM')).toBe(before + 1);
    giveBack();
    refuseDebugger();
    expect([process.listenerCount('SIGTERM'), process.listenerCount('SIGUSR1')]).toEqual([before, 1]);
  },
);

describe('the last moment of a process', () => {
  const source = (file: string): string => JSON.stringify(resolve(import.meta.dirname, '../../src', file));

  /** Starts a child, begins `work` and leaves with 3. Answers how it ended, and the pid of the child. */
  async function leaving(work: string): Promise<{ ended: unknown[]; child: number }> {
    const script = `
      import { readFile } from 'node:fs';
      import { startProgram } from ${source('files/child.ts')};
      import { leave } from ${source('daemon/signals.ts')};
      const child = await startProgram(['sleep', '1000'], { env: process.env, stdio: 'ignore' });
      process.stdout.write(String(child.pid));
      ${work}
      setImmediate(() => leave(3));`;
    const node = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: resolve(import.meta.dirname, '../..'),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [pid] = (await once(node.stdout, 'data')) as [Buffer];
    return { ended: await once(node, 'exit'), child: Number(pid.toString()) };
  }

  test('is the end, with its code, and its children go with it', async () => {
    const { ended, child } = await leaving('');
    expect(ended).toEqual([3, null]);
    await expect.poll(() => isAlive(child)).toBe(false);
  });

  test('is the end also where a thread hangs in a file', async () => {
    const pipe = join(temporaryFolder('leave'), 'pipe');
    execFileSync('mkfifo', [pipe]);
    const { ended, child } = await leaving(`readFile(${JSON.stringify(pipe)}, () => {});`);
    expect(ended).toEqual([null, 'SIGKILL']);
    await expect.poll(() => isAlive(child)).toBe(false);
  });
});
