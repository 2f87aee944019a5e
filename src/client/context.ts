// What a command has: where things are, who is there, and the streams. cli/context makes it.
import type { ErrorReport, Hint } from '../errors.ts';
import type { PendingQuestion } from '../model/question.ts';
import type { PlaceFacts, Places } from '../paths.ts';
import type { Paint } from '../render/color.ts';

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
  /** Who answers questions: the person at the terminal, or somebody in a person's stead (the demo). */
  prompter(): Prompter;
  /** Paints for stdout and stderr. */
  readonly paint: Paint;
  readonly talkPaint: Paint;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Of the terminal that the result goes to; Infinity for a file or a pipe, where nothing is shortened. */
  readonly columns: number;
  /** A line of the result, on stdout. This and the three below are the doors for text to a terminal: they show it alone. */
  out(line: string): void;
  /** The result as a JSON document, on stdout. */
  json(document: unknown): void;
  /** A line of talk that --quiet does not keep back, on stderr. */
  say(line: string): void;
  /** A line of talk, on stderr; not with --quiet. Commands of ours in it name the config in use. */
  talk(line: Hint): void;
  /** An error and its hint, on stderr. */
  complain(error: ErrorReport): void;
  readonly now: () => number;
  /** Catches Ctrl-C and SIGTERM until disposed: `signal` is aborted with an `Interrupted`. */
  interruption(): Interruption;
  /** The same, and it ends too when nobody reads stdout any more: for commands that go on for ever. */
  untilUnread(): Interruption;
  /** The whole terminal is ours until disposed, and is given back however this process ends or is stopped. */
  holdTerminal(terms: TerminalTerms): TerminalHold;
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

export interface TerminalTerms {
  /** Makes the terminal ours, also after the program was stopped; what stood on it is gone. */
  readonly take: () => void;
  /** Gives it back. Must do it at once: the process may end with this call. */
  readonly give: () => void;
}

export interface TerminalHold extends Disposable {
  /** Ctrl-Z: gives the terminal back and stops, until a shell lets us go on. */
  stop(): void;
}

/** What became of a question. `declined`: the person said no, or nothing at all. */
export type Outcome =
  | { readonly kind: 'answered'; readonly value: string }
  | { readonly kind: 'declined' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'withdrawn' };

export interface Prompter {
  /** Puts a question of a login to the person. `heading` stands above a host key instead of "… is new here". */
  question(question: PendingQuestion, signal?: AbortSignal, heading?: string): Promise<Outcome>;
  /** A question of our own with a default, shown in brackets. */
  line(text: string, otherwise: string | null): Promise<Outcome>;
  /** Yes or no, no by default. */
  confirm(text: string): Promise<Outcome>;
}
