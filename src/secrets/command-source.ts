// Secrets from commands (`command:[pass, show, db]`): run without a shell, in a group of its own that is killed when its time is over.
import { spawn, type ChildProcess } from 'node:child_process';
import { TunnelError } from '../errors.ts';
import { cleanText } from '../model/clean.ts';
import type { Secret } from '../model/secret.ts';
import { secretFromBytes, secretLimitBytes } from './text.ts';

export interface CommandOptions {
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** How long output may trickle in after the command's own end: a daemon it left behind may hold the pipe for ever. */
const afterExitMs = 500;
const stderrLimitBytes = 4096;

/** What the command printed, one line end dropped. Throws SECRET_MISSING with the first line of its stderr. */
export async function readSecretCommand(argv: readonly string[], options: CommandOptions): Promise<Secret> {
  const [program, ...args] = argv;
  if (program === undefined) throw failure('command', 'it is empty');
  if (options.signal?.aborted === true) throw failure(program, 'it is no longer wanted');
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      env: options.environment,
      // As a supervisor is: an empty word in PATH must not mean the folder somebody stands in.
      cwd: process.platform === 'win32' ? undefined : '/',
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: process.platform !== 'win32', // a group of its own, to be killed as a whole
      windowsHide: true,
    });
  } catch {
    // A NUL in an argument, too many files open …; Node's words would quote the argument.
    throw failure(program, 'it cannot be started');
  }
  const { output, said, ending } = await finished(child, options);
  if (ending !== null) throw failure(program, said === '' ? ending : `${ending}: ${said}`);
  return secretFromBytes(output, (why) => failure(program, why.replace(/^it/, 'its output')));
}

interface Finished {
  readonly output: Buffer;
  /** First line of stderr, clean. */
  readonly said: string;
  /** How it failed, null for success. */
  readonly ending: string | null;
}

function finished(child: ChildProcess, options: CommandOptions): Promise<Finished> {
  return new Promise((resolve) => {
    const output = collect(child.stdout, secretLimitBytes, () => stop(`it printed more than a secret`));
    const said = collect(child.stderr, stderrLimitBytes, () => undefined);
    let late: NodeJS.Timeout | undefined;
    const settle = (ending: string | null): void => {
      clearTimeout(timer);
      clearTimeout(late);
      options.signal?.removeEventListener('abort', abort);
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve({ output: Buffer.concat(output), said: firstLine(Buffer.concat(said)), ending });
    };
    const stop = (ending: string): void => {
      killGroup(child);
      settle(ending);
    };
    const abort = (): void => stop('it is no longer wanted');
    const timer = setTimeout(
      () => stop(`it took longer than ${Math.round(options.timeoutMs / 1000)}s`),
      options.timeoutMs,
    );
    options.signal?.addEventListener('abort', abort, { once: true });
    child.once('error', (error: NodeJS.ErrnoException) => settle(startReason(error)));
    child.once('exit', (code, signal) => {
      const ending =
        code === 0 ? null : signal === null ? `it ended with ${code}` : `it was ended by ${signal}`;
      child.once('close', () => settle(ending));
      late = setTimeout(() => settle(ending), afterExitMs);
    });
  });
}

function collect(stream: ChildProcess['stdout'], limitBytes: number, over: () => void): Buffer[] {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on('data', (chunk: Buffer) => {
    length += chunk.length;
    if (length <= limitBytes) chunks.push(chunk);
    else over();
  });
  stream?.on('error', () => undefined); // the end of the process tells what there is to tell
  return chunks;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill('SIGKILL');
    else process.kill(-child.pid, 'SIGKILL');
  } catch {
    // all of the group have ended by themselves
  }
}

function firstLine(bytes: Buffer): string {
  const line = bytes
    .toString('utf8')
    .split('\n')
    .map(cleanText)
    .find((text) => text !== '');
  return (line ?? '').slice(0, 200);
}

function startReason(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'there is no such program';
  if (error.code === 'EACCES') return 'it may not be run';
  return error.code ?? error.message;
}

/** Only the program is named: an argument may be a secret itself. */
function failure(program: string, why: string): TunnelError {
  return new TunnelError('SECRET_MISSING', `secret command failed, on ${cleanText(program)}: ${why}`, {
    hint: 'run the command by hand and see what it prints',
    facts: { source: 'command', program: cleanText(program) },
  });
}
