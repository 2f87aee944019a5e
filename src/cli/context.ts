// The context of a command: where things are, who is there, and the streams. With main.ts the only reader of `process`.
import { jsonText, visibleText } from '../model/clean.ts';
import { isatty } from 'node:tty';
import { asTunnelError, type ErrorReport, type TunnelError } from '../errors.ts';
import { processFacts } from '../files/process-facts.ts';
import { placesOf, type PlaceFacts, type Places } from '../paths.ts';
import { colorLevel, paintOf, type Paint } from '../render/color.ts';
import { renderError } from '../render/error.ts';
import { count } from '../render/units.ts';
import { forConfig } from './hints.ts';
import type { Prompter } from './prompt.ts';

export interface GlobalOptions {
  readonly config: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  readonly color: boolean | undefined;
}

export interface Context {
  readonly facts: PlaceFacts;
  readonly places: Places;
  readonly options: GlobalOptions;
  /** Program and arguments that run this same program: [node, bin/tunnel.js]. */
  readonly program: readonly [string, ...string[]];
  /** True when a person can be asked: stdin and stderr are both terminals (SPEC 4). */
  readonly interactive: boolean;
  /** Answers questions in a person's stead (the demo); null: the person at the terminal. */
  readonly prompter: Prompter | null;
  /** Paints for stdout and stderr. */
  readonly paint: Paint;
  readonly talkPaint: Paint;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** A line of the result, on stdout. This and the three below are the doors for text to a terminal: they show it alone. */
  out(line: string): void;
  /** The result as a JSON document, on stdout. */
  json(document: unknown): void;
  /** A line of talk that --quiet does not keep back, on stderr. */
  say(line: string): void;
  /** A line of talk, on stderr; not with --quiet. */
  talk(line: string): void;
  /** An error and its hint, on stderr. */
  complain(error: ErrorReport): void;
  readonly now: () => number;
  /** Catches Ctrl-C and SIGTERM until disposed: `signal` is aborted with an `Interrupted`. */
  interruption(): Interruption;
  /** The same, and it ends too when nobody reads stdout any more: for commands that go on for ever. */
  untilUnread(): Interruption;
}

/**
 * The user ended the waiting. Exit code 130 for SIGINT, 143 for SIGTERM, 129 for a closed terminal, 0 where whoever reads
 * the output has read enough.
 */
export class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.exitCode = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGPIPE: 0 }[signal as string] ?? 130;
  }
}

/** Columns of a terminal; Infinity for a file or a pipe, where nothing is shortened. */
export function widthOf(stream: NodeJS.WriteStream): number {
  return stream.isTTY && stream.columns > 0 ? stream.columns : Infinity;
}

export interface Interruption extends Disposable {
  readonly signal: AbortSignal;
  /** As if the signal had come: Ctrl-C typed at a question. */
  interrupt(signal: NodeJS.Signals): void;
}

export async function createContext(options: GlobalOptions): Promise<Context> {
  const facts = processFacts();
  const { env } = process;
  const paint = await paintOf(colorLevel(env, isatty(1), options.color));
  const talkPaint = await paintOf(colorLevel(env, isatty(2), options.color));
  return {
    facts,
    places: placesOf(facts),
    options,
    program: [process.execPath, process.argv[1] ?? ''],
    interactive: isatty(0) && isatty(2),
    prompter: null,
    paint,
    talkPaint,
    // Getters: making a stream takes time, and `status` needs but one.
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return process.stdout;
    },
    get stderr() {
      return standardError();
    },
    out: (line) => void process.stdout.write(`${visibleText(line)}\n`),
    json: (document) => void process.stdout.write(`${jsonText(document, 2)}\n`),
    say,
    talk: (line) => {
      if (!options.quiet) say(forConfig(line, options.config));
    },
    complain: ({ message, hint }) => {
      const shown = { message, hint: hint === null ? null : forConfig(hint, options.config) };
      for (const line of renderError(shown, talkPaint)) say(line);
    },
    now: () => Date.now(),
    interruption: catchSignals,
    untilUnread: catchUnread,
  };
}

let listening = false;

function say(line: string): void {
  standardError().write(`${visibleText(line)}\n`);
}

/** Where nobody reads any more, nobody is left to be told. */
function standardError(): NodeJS.WriteStream {
  if (!listening) process.stderr.on('error', () => undefined);
  listening = true;
  return process.stderr;
}

function catchSignals(): Interruption {
  const controller = new AbortController();
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const interrupt = (name: NodeJS.Signals): void => controller.abort(new Interrupted(name));
  for (const name of names) process.on(name, interrupt);
  return {
    signal: controller.signal,
    interrupt,
    [Symbol.dispose]() {
      for (const name of names) process.off(name, interrupt);
    },
  };
}

function catchUnread(): Interruption {
  const interruption = catchSignals();
  const unread = (): void => interruption.interrupt('SIGPIPE');
  process.stdout.on('error', unread);
  return {
    ...interruption,
    [Symbol.dispose]() {
      process.stdout.off('error', unread);
      interruption[Symbol.dispose]();
    },
  };
}

/** Shows what was thrown; the exit code is the caller's business. The stack only for a bug of ours or with --verbose. */
export function complainOf(context: Context, thrown: unknown): TunnelError {
  const error = asTunnelError(thrown);
  const issues = error.facts['issues'];
  if (Array.isArray(issues)) for (const issue of issues) context.say(String(issue));
  context.complain(Array.isArray(issues) ? withCount(error, issues.length) : error);
  if (error.code === 'INTERNAL' || context.options.verbose) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      context.say(cause.stack ?? cause.message);
  }
  return error;
}

/** Every problem has had its line: the sentence need not repeat the first. */
function withCount(error: TunnelError, problems: number): ErrorReport {
  const [what = ''] = error.message.split(': ');
  return { code: error.code, message: `${what}: ${count(problems, 'problem')}`, hint: error.hint };
}
