// What the quick commands write goes straight to the file: whole, whatever kind of file it is, and a loss is told.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { built, createWorld, finished } from '../helpers/world.ts';

describe('the help', () => {
  test.runIf(process.platform === 'linux')(
    'arrives whole through a full pipe that somebody made non-blocking',
    async () => {
      await using world = createWorld();
      const whole = (await world.run(['--help'])).stdout;
      const fifo = join(temporaryFolder('fifo'), 'fifo');
      execFileSync('mkfifo', [fifo]);
      const pipe = openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK);
      const before = fill(pipe);
      // By way of another descriptor: of the first three libuv makes blocking ones.
      const shell = `exec "${process.execPath}" "${built}" --help >&3 3>&-`;
      const child = spawn('sh', ['-c', shell], {
        env: world.env,
        stdio: ['ignore', 'ignore', 'pipe', pipe],
      });
      const end = finished(child);
      await waiting(child);
      let text = '';
      while (child.exitCode === null || text.length < before + whole.length) {
        const piece = drain(pipe);
        if (piece === '' && child.exitCode !== null) break;
        text += piece;
        await new Promise((resolve) => setImmediate(resolve));
      }
      closeSync(pipe);
      expect(await end).toMatchObject({ code: 0, stderr: '' });
      expect(text.slice(before)).toBe(whole);
    },
  );

  test.skipIf(!existsSync('/dev/full'))('that cannot be written is said in one line, exit 1', async () => {
    await using world = createWorld();
    const ran = await finished(
      spawn('sh', ['-c', `exec "${process.execPath}" "${built}" --help > /dev/full`], { env: world.env }),
    );
    expect(ran).toMatchObject({ code: 1, stdout: '' });
    expect(ran.stderr).toMatch(/^tunnel: writing failed, on the standard output: ENOSPC.*\n$/);
  });

  test('whose reader has left is no fault', async () => {
    await using world = createWorld();
    const child = world.start(['--help']);
    child.stdout?.destroy();
    expect(await finished(child)).toMatchObject({ code: 0, stderr: '' });
  });

  test('is nothing where there is no standard output at all', async () => {
    await using world = createWorld();
    const shell = `exec "${process.execPath}" "${built}" --help >&-`;
    expect(await finished(spawn('sh', ['-c', shell], { env: world.env }))).toMatchObject({
      code: 0,
      stderr: '',
    });
  });
});

test('status, and completion with states, make no stream of their process', async () => {
  await using world = createWorld();
  world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: auto, remote: 5, lazy: true } }');
  expect(await world.run(['up'])).toMatchObject({ code: 0 });
  const [made, trap] = [join(world.folder, 'made'), join(world.folder, 'trap.cjs')];
  writeFileSync(
    trap,
    `for (const name of ['stdin', 'stdout', 'stderr']) {
  const { get } = Object.getOwnPropertyDescriptor(process, name);
  const told = () => (require('fs').appendFileSync(${JSON.stringify(made)}, name + '\\n'), get.call(process));
  Object.defineProperty(process, name, { configurable: true, get: told });
}`,
  );
  const env = { NODE_OPTIONS: `--require=${trap}` };
  expect((await world.run(['status'], { env })).stdout).toMatch(/^db +asleep/m);
  expect((await world.run(['__complete', 'zsh', 'up', ''], { env })).stdout).toContain('db\tasleep');
  expect(existsSync(made)).toBe(false);
  await world.run(['wait'], { env });
  expect(readFileSync(made, 'utf8')).toContain('stdout'); // or the test could not fail
});

/** Writes until the pipe takes no more; answers how much that was. */
function fill(pipe: number): number {
  let bytes = 0;
  try {
    for (;;) bytes += writeSync(pipe, 'x'.repeat(4096));
  } catch {
    return bytes;
  }
}

/** What is there now. */
function drain(pipe: number): string {
  const buffer = Buffer.alloc(65_536);
  try {
    return buffer.toString('utf8', 0, readSync(pipe, buffer));
  } catch {
    return ''; // EAGAIN
  }
}

/** The child's epoll(7) waits for its standard output, or the child has ended. */
async function waiting(child: ChildProcess): Promise<void> {
  const isWaiting = (): boolean => {
    const folder = `/proc/${child.pid}/fdinfo`;
    try {
      return readdirSync(folder).some((name) => /^tfd: +1 /m.test(readFileSync(join(folder, name), 'utf8')));
    } catch {
      return false; // it ends
    }
  };
  while (child.exitCode === null && !isWaiting()) await new Promise((resolve) => setTimeout(resolve, 5));
}
