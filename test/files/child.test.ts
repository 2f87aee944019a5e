// Children: what the system refuses is an answer, a deadline settles, and what must end ends with all that it started.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, test, vi } from 'vitest';
import { runProgram, startProgram, type RunOptions } from '../../src/files/child.ts';
import { launchTimeOf } from '../../src/files/lock.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const env = { PATH: process.env['PATH'] };
const generous: RunOptions = { env, deadlineMs: 60_000, outputLimitBytes: 1000 };
const sh = (script: string, options: Partial<RunOptions> = {}): ReturnType<typeof runProgram> =>
  runProgram(['sh', '-c', script], { ...generous, ...options });
const gone = (pid: number): Promise<void> =>
  expect.poll(() => launchTimeOf(pid, process.platform), { timeout: 10_000 }).toBeNull();
const source = (file: string): string => JSON.stringify(resolve(import.meta.dirname, '../../src', file));

/** A process of its own from source. `before`: shell words in front of it. */
function nodeProcess(script: string, before = ''): ReturnType<typeof spawn> {
  const words = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script];
  return spawn('sh', ['-c', `${before} exec "$@"`, 'sh', ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: resolve(import.meta.dirname, '../..'),
  });
}

describe('a program', () => {
  test('answers what it printed, what it complained of and how it ended', async () => {
    const run = await sh('cat; echo bad >&2; exit 3', { input: 'given' });
    expect(run.ending).toEqual({ how: 'exited', code: 3 });
    expect([run.output.toString(), run.said.toString()]).toEqual(['given', 'bad\n']);
    expect((await sh('kill -9 $$')).ending).toEqual({ how: 'killed', by: 'SIGKILL' });
  });

  test.each([
    ['is not there', ['no-such-program', 'planted'], 'ENOENT', 'there is no such program'],
    ['may not be run', ['/etc/passwd', 'planted'], 'EACCES', 'it may not be run'],
    [
      'is handed too much',
      ['true', 'planted'.repeat(1e6)],
      'E2BIG',
      /arguments and environment are too long/,
    ],
    ['is handed a NUL', ['true', 'planted\0'], null, 'it cannot be started'],
    ['has no name', [], null, 'it cannot be started'],
  ])('that %s is told as such, and no argument is named', async (_, argv, code, words) => {
    const { ending } = await runProgram(argv, generous);
    expect(ending).toMatchObject({ how: 'not-started', why: { code } });
    const message = ending.how === 'not-started' ? ending.why.message : '';
    expect(message).toMatch(words);
    expect(message).not.toContain('planted');
  });

  test('that leaves before it read its input is no error', async () => {
    expect((await sh('exec true', { input: 'x'.repeat(1e6) })).ending).toEqual({ how: 'exited', code: 0 });
  });

  test('is ended at its deadline with what it started, also when that keeps its pipes', async () => {
    const { ending, output } = await sh('sleep 1000 & echo $!; wait', { deadlineMs: 300 });
    expect(ending).toEqual({ how: 'late' });
    await gone(Number(output.toString()));
  });

  test('is not late because this process was stopped or its machine slept', async () => {
    const fifo = join(temporaryFolder('late'), 'fifo');
    spawnSync('mkfifo', [fifo]);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      const run = sh(`read -r line < '${fifo}'; echo "$line"`);
      while (vi.getTimerCount() === 0) await new Promise(setImmediate);
      vi.advanceTimersToNextTimer(); // the one that was due first comes after the pause
      await writeFile(fifo, 'in time\n');
      const { ending, output } = await run;
      expect([ending, output.toString()]).toEqual([{ how: 'exited', code: 0 }, 'in time\n']);
    } finally {
      vi.useRealTimers();
    }
  });

  test('is ended when it prints without end', async () => {
    const { ending, output } = await sh('sleep 1000 & echo $!; exec yes');
    expect([ending, output.length]).toEqual([{ how: 'too-much' }, 1000]);
    await gone(Number(output.toString().split('\n')[0]));
  });

  test('is ended when nobody wants it any more, and not begun when nobody does already', async () => {
    const file = join(temporaryFolder('child'), 'pid');
    const wanted = new AbortController();
    const run = sh(`sleep 1000 & echo $! > ${file}.new; mv ${file}.new ${file}; wait`, {
      signal: wanted.signal,
    });
    await expect.poll(() => existsSync(file), { timeout: 10_000 }).toBe(true);
    wanted.abort();
    expect((await run).ending).toEqual({ how: 'unwanted' });
    await gone(Number(readFileSync(file, 'utf8')));
    expect((await sh(`rm ${file}`, { signal: wanted.signal })).ending).toEqual({ how: 'unwanted' });
    expect(existsSync(file)).toBe(true);
  });

  test('that has ended is not waited for because a daemon of its keeps the pipe, and the daemon lives', async () => {
    const { ending, output } = await sh('setsid sleep 1000 & echo $!');
    expect(ending).toEqual({ how: 'exited', code: 0 });
    const pid = Number(output.toString());
    expect(launchTimeOf(pid, process.platform)).not.toBeNull();
    process.kill(pid);
  });

  test.skipIf(process.platform !== 'linux')('that finds no descriptor left is told as such', async () => {
    const child = nodeProcess(
      `import { openSync } from 'node:fs';
       import { runProgram } from ${source('files/child.ts')};
       process.stdout.write(''); // opens it
       const log = (run) => process.stdout.write(JSON.stringify(run.ending.why?.message ?? run.ending));
       const once = () => runProgram(['true'], { env: process.env, deadlineMs: 60000, outputLimitBytes: 9, input: 'x' });
       try { for (;;) openSync('/dev/null'); } catch {}
       log(await once());`,
      'ulimit -n 100;',
    );
    expect(await text(child.stdout!)).toBe('"too many files are open"');
  });

  test.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)(
    'that would be a process too many is told as such',
    async () => {
      const child = nodeProcess(
        `import { execFileSync } from 'node:child_process';
         import { runProgram } from ${source('files/child.ts')};
         execFileSync('prlimit', ['--pid', String(process.pid), '--nproc=1:1']); // root has none
         process.setuid(54321);
         const run = await runProgram(['true'], { env: process.env, deadlineMs: 60000, outputLimitBytes: 9 });
         console.log(run.ending.how, run.ending.why?.code, run.ending.why?.message);`,
      );
      expect(await text(child.stdout!)).toMatch(/^not-started EAGAIN [a-z ]+\n$/);
    },
  );

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('ends with us when %s ends us', async (signal) => {
    const child = nodeProcess(
      `import { startProgram } from ${source('files/child.ts')};
       const child = await startProgram(['sh', '-c', 'sleep 1000 & echo $!; wait'],
         { env: process.env, stdio: ['ignore', 'inherit', 'inherit'] });`,
    );
    const [line] = (await once(child.stdout!, 'data')) as [Buffer];
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([null, signal]);
    await gone(Number(line.toString()));
  });

  test('that ends leaves this process as it was: no handler of a signal stays', async () => {
    const before = ['exit', 'SIGINT'].map((name) => process.listenerCount(name));
    const child = await startProgram(['true'], { env, stdio: 'ignore' });
    await once(child, 'close');
    await runProgram(['no-such-program'], generous);
    await runProgram(['a\0'], generous);
    expect(['exit', 'SIGINT'].map((name) => process.listenerCount(name))).toEqual(before);
  });
});
