// What a command is to the command line: its words for --help, its options for the parser; and what several commands share.
import { TunnelError, type Hint } from '../errors.ts';
import type { Context } from '../client/context.ts';

export interface OptionSpec {
  readonly name: string;
  readonly alias?: string;
  /** The word for its value in --help; a flag has none. */
  readonly value?: string;
  readonly about: string;
  /** A flag that can be said no to: --no-NAME. */
  readonly refusable?: true;
}

/** What a word of a command line can be completed to: names that are looked up, files, or these very words. */
export type WordKind =
  | 'selector'
  | 'tunnel'
  | 'tag'
  | 'host'
  /** A host whose key is in our own store. */
  | 'trusted'
  | 'file'
  | 'nothing'
  | readonly string[];

export interface CommandSpec {
  readonly name: string;
  /** Words after the name, as in --help: '[SEL…]'. Empty: it takes none. */
  readonly words: string;
  /** What it means without SEL, where that is not all tunnels: behind 'Without SEL: '. Null: it needs one. */
  readonly without?: string | null;
  /** Words of another way to use it, as in --help: '-L … HOST'. */
  readonly otherWords?: string;
  /** What its capitals (NAME, HOST …), of its options too, stand for where that is not the usual (cli/at-cursor). */
  readonly stands?: Readonly<Record<string, WordKind>>;
  /** How many of those words there may be. */
  readonly takes: { readonly least: number; /** Absent: any number. */ readonly most?: number };
  /** Runs a command of the user's: the words behind `--` are that one's. */
  readonly runs?: true;
  /** Takes forwards and servers in ssh's own letters: `-L 5432:db:5432`. */
  readonly ssh?: true;
  readonly about: string;
  /** Further sentences for its own --help. */
  readonly more?: readonly string[];
  readonly options: readonly OptionSpec[];
  readonly examples: readonly (readonly [line: string, about: string])[];
}

/** Answers the exit code; throws TunnelError for what it cannot do. */
export type Run = (context: Context, args: Args) => Promise<number>;

/** What stood on the command line, after the parser. */
export interface Args {
  readonly words: readonly string[];
  /** The words behind `--`, of a command that runs them. */
  readonly behind: readonly string[];
  /** Options in ssh's own letters, with their values, of a command that takes them. */
  readonly sshWords: readonly string[];
  /** All that stood behind `tunnel`, for a hint that says it again with one word put right (cli/typed-line). */
  readonly typed: readonly string[];
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** A duration with a unit, in milliseconds. Throws USAGE. */
  durationMs(name: string, otherwise: number): number;
}

export const globalOptions: readonly OptionSpec[] = [
  { name: 'config', alias: 'c', value: 'FILE', about: 'use this config file' },
  { name: 'json', about: 'print data as JSON' },
  { name: 'quiet', alias: 'q', about: 'no talk on stderr, errors only' },
  { name: 'verbose', alias: 'v', about: 'more talk, and stack traces of errors' },
  { name: 'color', refusable: true, about: 'color, or --no-color for none' },
  { name: 'version', alias: 'V', about: 'print the version' },
  { name: 'help', alias: 'h', about: 'print this help' },
];

export const selectorWords = '[SEL…]';
export const anyWords = { least: 0 };
export const noWords = { least: 0, most: 0 };
export const timeoutOption: OptionSpec = {
  name: 'timeout',
  value: 'DURATION',
  about: 'how long to wait (default 30s)',
};
export const drainOption: OptionSpec = {
  name: 'drain',
  value: 'DURATION',
  about: 'let running connections end for that long first (default 0s)',
};

export const selectorHelp = 'SEL is a tunnel name, a glob (db-*) or tag:NAME; several are allowed.';

/** What is wrong with a command line, as one sentence. */
export function usage(sentence: string, hint: Hint): TunnelError {
  return new TunnelError('USAGE', sentence, { hint });
}
