// The context of a command: where things are, who is there, and the streams. With main.ts the only reader of `process`.
import { visibleText } from '../model/clean.ts';
import { asTunnelError, type ErrorReport, type TunnelError } from '../errors.ts';
import { processFacts } from '../files/process-facts.ts';
import { placesOf } from '../paths.ts';
import { colorLevel, paintOf, type Paint } from '../render/color.ts';
import { documentText, hintText, renderError } from '../render/error.ts';
import { count } from '../render/units.ts';
import { isTerminal, printStream, standardError, standardOutput } from './output.ts';
import {
  Interrupted,
  widthOf,
  type Context,
  type GlobalOptions,
  type Interruption,
  type Prompter,
  type TerminalHold,
  type TerminalTerms,
} from '../client/context.ts';

/** `prompter` makes the one at the terminal, where a command may ask. `print` takes the text of the result. */
export async function createContext(
  options: GlobalOptions,
  prompter: (context: Context) => Prompter,
  print: (text: string) => void = printStream,
): Promise<Context> {
  const facts = processFacts();
  const paintFor = (descriptor: 1 | 2): Promise<Paint> =>
    paintOf(colorLevel(process.env, isTerminal(descriptor), options.color));
  const [paint, talkPaint] = [await paintFor(1), await paintFor(2)];
  const context: Context = {
    facts,
    places: placesOf(facts),
    options,
    program: [process.execPath, process.argv[1] ?? ''],
    interactive: isTerminal(0) && isTerminal(2),
    prompter: () => prompter(context),
    paint,
    talkPaint,
    // Getters: making a stream takes time, and `status` needs but one.
    get stdin() {
      return process.stdin;
    },
    get stdout() {
      return standardOutput();
    },
    get stderr() {
      return standardError();
    },
    get columns() {
      return isTerminal(1) ? widthOf(standardOutput()) : Infinity;
    },
    out: (line) => print(`${visibleText(line)}\n`),
    json: (document) => print(`${documentText(document, 2)}\n`),
    say,
    talk: (line) => {
      if (!options.quiet) say(hintText(line, options.config));
    },
    complain: (error) => renderError(error, talkPaint, options.config).forEach(say),
    now: () => Date.now(),
    interruption: catchSignals,
    untilUnread: catchUnread,
    holdTerminal,
  };
  return context;
}

function say(line: string): void {
  standardError().write(`${visibleText(line)}\n`);
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
  standardOutput().on('error', unread);
  return {
    ...interruption,
    [Symbol.dispose]() {
      standardOutput().off('error', unread);
      interruption[Symbol.dispose]();
    },
  };
}

/** How long a stop may take to begin: a job that no shell could let go on is not stopped at all. */
const stopMs = 300;

function holdTerminal({ take, give }: TerminalTerms): TerminalHold {
  let held = false;
  let over = false;
  const giveBack = (): void => {
    if (held) give();
    held = false;
  };
  /** After a stop, by whatever signal: the shell has had the terminal. */
  const again = (): void => {
    giveBack();
    held = true;
    process.off('SIGTSTP', stop).on('SIGTSTP', stop);
    take();
  };
  const stop = (): void => {
    giveBack();
    process.off('SIGTSTP', stop);
    process.kill(0, 'SIGTSTP'); // the whole job, as the terminal itself does (termios(3))
    setTimeout(() => {
      if (!held && !over) again();
    }, stopMs);
  };
  again();
  process.on('SIGCONT', again).on('exit', giveBack);
  return {
    stop,
    [Symbol.dispose]() {
      over = true;
      process.off('SIGCONT', again).off('SIGTSTP', stop).off('exit', giveBack);
      giveBack();
    },
  };
}

/** Shows what was thrown; the exit code is the caller's business. The stack only for a bug of ours or with --verbose. */
export function complainOf(context: Context, thrown: unknown): TunnelError {
  const error = asTunnelError(thrown);
  const issues = error.facts.issues;
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
