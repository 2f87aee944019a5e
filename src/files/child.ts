// Children: the one door for starting programs, and the lines they write. Whatever the system refuses is an answer, never an uncaught error,
// and a child that must end is ended with all that it started.
import { spawn, type ChildProcess, type ChildProcessByStdio, type StdioOptions } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import type { Readable, Writable } from 'node:stream';
import { errnoWords } from './errno.ts';
import { afterRunning } from './running-time.ts';
import type { Cancel } from '../model/clock.ts';
import { cleanText } from '../model/clean.ts';
import { onAbort, type GiveUpSignal } from '../model/give-up.ts';

export interface StartOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdio: StdioOptions;
  /** The program lives on when this process ends: a supervisor. Default false. */
  readonly outlives?: boolean;
}

/** Why a program did not start. Its message never holds an argument: that may be a secret. */
export class NotStarted extends Error {
  /** The system's word: ENOENT, EMFILE …; null when Node itself refused (a NUL in an argument). */
  readonly code: string | null;

  constructor(thrown: unknown) {
    const { code = '' } = thrown as NodeJS.ErrnoException;
    const known =
      code === 'ENOENT' ? 'there is no such program' : code === 'EACCES' ? 'it may not be run' : null;
    super(known ?? errnoWords(code) ?? 'it cannot be started');
    this.code = /^E[A-Z0-9]+$/.test(code) ? code : null;
  }
}

/**
 * Starts a program in `/`, as a supervisor is, so that an empty word in PATH does not mean the folder somebody stands in,
 * and in a group of its own. Throws NotStarted. Once it has answered, the streams that `stdio` asks for are there.
 */
export function startProgram(argv: readonly string[], options: StartOptions): Promise<ChildProcess> {
  const [program = '', ...args] = argv;
  const windows = process.platform === 'win32';
  const watch = options.outlives === true ? null : endWithUs(); // before it runs: the end may come at any moment
  return new Promise((resolve, reject) => {
    const failed = (thrown: unknown): void => {
      watch?.over();
      reject(new NotStarted(thrown));
    };
    let child: ChildProcess;
    try {
      child = spawn(program, args, {
        stdio: options.stdio,
        env: { ...options.env },
        cwd: windows ? undefined : '/',
        detached: !windows || options.outlives === true,
        windowsHide: true,
      });
    } catch (thrown) {
      return failed(thrown); // Node throws what it does not expect of a system: ENOMEM, E2BIG …
    }
    watch?.began(child);
    // For its whole life: a signal that cannot be sent is told here too. Out of descriptors it has no streams at all.
    child.on('error', (error) => {
      for (const stream of (child.stdio as ChildProcess['stdio'] | undefined) ?? []) stream?.destroy();
      if (child.pid === undefined) failed(error);
    });
    child.once('spawn', () => resolve(child));
  });
}

/** A child that is spoken with: its input, its output and what it complains of are pipes. */
export type PipedChild = ChildProcessByStdio<Writable, Readable, Readable>;

/** As `startProgram`. */
export async function startPiped(argv: readonly string[], env: StartOptions['env']): Promise<PipedChild> {
  return (await startProgram(argv, { env, stdio: ['pipe', 'pipe', 'pipe'] })) as PipedChild;
}

/** Signals a child and all that it started, also when it has just ended itself. */
export function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === 'win32') child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // all of the group have ended by themselves
  }
}

/** How a program ended by itself. */
export type OwnEnding = Extract<Ending, { how: 'exited' | 'killed' }>;

/**
 * Runs a program in the place of this one: with its streams, in its folder, among its process group, so that the keys of a terminal
 * reach it. Other signals that come to this process go on to it. Throws NotStarted.
 */
export function runInPlace(argv: readonly string[], env: StartOptions['env']): Promise<OwnEnding> {
  const [program = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    let child: ChildProcess;
    const stop = passSignals((name) => child.kill(name)); // before it runs: it may be told to end at once
    try {
      child = spawn(program, args, { stdio: 'inherit', env: { ...env } });
    } catch (thrown) {
      stop();
      return reject(new NotStarted(thrown));
    }
    child.on('error', (error) => {
      if (child.pid !== undefined) return; // a signal that could not be sent
      stop();
      reject(new NotStarted(error));
    });
    child.once('exit', (code, by) => {
      stop();
      resolve(by === null ? { how: 'exited', code: code ?? 0 } : { how: 'killed', by });
    });
  });
}

const passed = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
/** A terminal gives them to the whole group by itself: a second one would say more than the person did. */
const typed = ['SIGINT', 'SIGQUIT', 'SIGWINCH'] as const;

function passSignals(send: (name: NodeJS.Signals) => void): Cancel {
  const taken = process.platform === 'win32' ? (['SIGINT', 'SIGTERM'] as const) : [...passed, ...typed];
  const pass = (name: NodeJS.Signals): void => {
    if (typed.some((each) => each === name) && isAtTerminal()) return;
    send(name);
  };
  for (const name of taken) process.on(name, pass);
  return () => {
    for (const name of taken) process.off(name, pass);
  };
}

/** Our group is the one that the terminal's keys go to: pgrp and tpgid of proc(5), /proc/PID/stat. */
function isAtTerminal(): boolean {
  try {
    const stat = readFileSync('/proc/self/stat', 'latin1');
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return group === foreground;
  } catch {
    return [0, 1, 2].some((descriptor) => isatty(descriptor)); // no /proc
  }
}

const living = new Set<ChildProcess>();
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
let watches = 0;

/** In a group of its own a child hears nothing of the terminal, nor of the end of this process. */
function endWithUs(): { began(child: ChildProcess): void; over(): void } {
  let watching = true;
  if (watches++ === 0) {
    process.on('exit', endAll);
    for (const name of endings) process.on(name, endBySignal);
  }
  const over = (): void => {
    if (!watching) return;
    watching = false;
    if (--watches > 0) return;
    process.off('exit', endAll);
    for (const name of endings) process.off(name, endBySignal);
  };
  return {
    began(child) {
      living.add(child);
      child.once('close', () => {
        living.delete(child);
        over();
      });
    },
    over,
  };
}

function endAll(): void {
  for (const child of living) signalGroup(child, 'SIGKILL');
}

/** Where nobody else takes the signal it means the end, as it would without us. */
function endBySignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return;
  endAll();
  process.off(signal, endBySignal);
  process.kill(process.pid, signal);
}

export interface RunOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly deadlineMs: number;
  /** The deadline is counted anew from each line of its standard error that begins so. */
  readonly newDeadlineAt?: string;
  /** More on its standard output ends it. Null: nobody reads that. */
  readonly outputLimitBytes: number | null;
  /** How much of its standard error is kept, from its beginning. Default 4 KiB. */
  readonly saidLimitBytes?: number;
  readonly signal?: GiveUpSignal | undefined;
  /** Given on its standard input, which is empty otherwise. */
  readonly input?: string;
}

export type Ending =
  | { readonly how: 'exited'; readonly code: number }
  | { readonly how: 'killed'; readonly by: NodeJS.Signals }
  | { readonly how: 'not-started'; readonly why: NotStarted }
  /** Ended by us: the deadline, more output than allowed, nobody wants it any more. */
  | { readonly how: 'late' | 'too-much' | 'unwanted' };

export interface Run {
  readonly ending: Ending;
  readonly output: Buffer;
  /** The beginning of its standard error. */
  readonly said: Buffer;
}

const saidLimitBytes = 4096;
/** How long output may trickle in after a program's own end: a daemon it left behind may hold the pipe for ever. */
const afterExitMs = 500;

/** Runs a program to its end, or to its deadline: it settles then, whatever still holds its pipes. Never throws. */
export async function runProgram(argv: readonly string[], options: RunOptions): Promise<Run> {
  const nothing = Buffer.alloc(0);
  if (options.signal?.aborted === true)
    return { ending: { how: 'unwanted' }, output: nothing, said: nothing };
  try {
    const stdin = options.input === undefined ? 'ignore' : 'pipe';
    const stdout = options.outputLimitBytes === null ? 'ignore' : 'pipe';
    const child = await startProgram(argv, { env: options.env, stdio: [stdin, stdout, 'pipe'] });
    child.stdin?.on('error', () => undefined); // it ended before it read: its exit tells
    child.stdin?.end(options.input);
    return await finished(child, options);
  } catch (thrown) {
    if (!(thrown instanceof NotStarted)) throw thrown;
    return { ending: { how: 'not-started', why: thrown }, output: nothing, said: nothing };
  }
}

/** What went wrong with a run that had so long, in words; null when it ended well. */
export function endingWords(ending: Ending, deadlineMs: number): string | null {
  switch (ending.how) {
    case 'exited':
      return ending.code === 0 ? null : `it ended with ${ending.code}`;
    case 'killed':
      return `it was ended by ${ending.by}`;
    case 'not-started':
      return ending.why.message;
    case 'late':
      return `it took longer than ${Math.round(deadlineMs / 1000)}s`;
    case 'too-much':
      return 'it printed too much';
    case 'unwanted':
      return 'it is no longer wanted';
  }
}

/** Of what a program said the first line that is not empty, fit to show. */
export const firstLine = (said: Buffer): string => shownLines(said)[0] ?? '';

/** The last one: a program that ends by a failure says there why. */
export const lastLine = (said: Buffer): string => shownLines(said).at(-1) ?? '';

function shownLines(said: Buffer): readonly string[] {
  const lines = said.toString('utf8').split(/[\r\n]+/);
  return lines.map((line) => cleanText(line).trim().slice(0, 200)).filter((text) => text !== '');
}

function finished(child: ChildProcess, options: RunOptions): Promise<Run> {
  return new Promise((resolve) => {
    const cancels: Cancel[] = [];
    const settle = (ending: Ending): void => {
      for (const cancel of cancels) cancel();
      for (const stream of child.stdio) stream?.destroy();
      resolve({ ending, output: Buffer.concat(output), said: Buffer.concat(said) });
    };
    const stop = (how: 'late' | 'too-much' | 'unwanted'): void => {
      signalGroup(child, 'SIGKILL');
      settle({ how });
    };
    const output = collect(child.stdout, options.outputLimitBytes ?? 0, () => stop('too-much'));
    const said = collect(child.stderr, options.saidLimitBytes ?? saidLimitBytes, () => undefined);
    // of a process that was stopped, as of a machine that slept, the child was stopped as well
    const deadline = (): Cancel => afterRunning(options.deadlineMs, () => stop('late'));
    let cancelDeadline = deadline();
    cancels.push(() => cancelDeadline());
    const { newDeadlineAt } = options;
    const renew = (): void => {
      cancelDeadline();
      cancelDeadline = deadline();
    };
    if (newDeadlineAt !== undefined) onLines(child.stderr, newDeadlineAt, renew);
    child.once('exit', (code, by) => {
      const ending: Ending = by === null ? { how: 'exited', code: code ?? 0 } : { how: 'killed', by };
      child.once('close', () => settle(ending));
      const timer = setTimeout(() => settle(ending), afterExitMs);
      cancels.push(() => clearTimeout(timer));
    });
    cancels.push(onAbort(options.signal, () => stop('unwanted')));
  });
}

function collect(stream: Readable | null, limitBytes: number, over: () => void): Buffer[] {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on('data', (chunk: Buffer) => {
    const room = limitBytes - length;
    length += chunk.length;
    if (room > 0) chunks.push(chunk.subarray(0, room));
    if (length > limitBytes) over();
  });
  stream?.on('error', () => undefined); // the end of the process tells what there is to tell
  return chunks;
}

/** Calls `found` for each line that begins with these words, as soon as its end is there. */
function onLines(stream: Readable | null, begin: string, found: () => void): void {
  const lines = boundedLines(begin.length, (line) => {
    if (line.startsWith(begin)) found();
  });
  stream?.on('data', (chunk: Buffer) => lines.feed(chunk.toString('latin1')));
}

export interface BoundedLines {
  feed(chunk: string): void;
  /** Text after the last line end is a line too. */
  end(): void;
}

/** `take` gets each line that is not empty, without its end; what is longer than the limit is cut, and says so. */
export function boundedLines(limit: number, take: (line: string) => void): BoundedLines {
  let line = '';
  let isCut = false;
  const add = (text: string): void => {
    const room = limit - line.length;
    line += text.slice(0, room);
    isCut ||= text.length > room;
  };
  const finish = (): void => {
    if (line !== '') take(isCut ? `${line} … (cut at ${limit} characters)` : line);
    line = '';
    isCut = false;
  };
  return {
    feed(chunk) {
      const [first = '', ...others] = chunk.split(/[\r\n]/);
      add(first);
      for (const text of others) {
        finish();
        add(text);
      }
    },
    end: finish,
  };
}
