// What a command is to the command line: its words for --help, its options for the parser. Pure types.
import type { Context } from '../client/context.ts';

export interface OptionSpec {
  readonly name: string;
  readonly alias?: string;
  /** The word for its value in --help; a flag has none. */
  readonly value?: string;
  readonly about: string;
}

export interface CommandSpec {
  readonly name: string;
  /** Words after the name, as in --help: '[SEL…]'. Empty: it takes none. */
  readonly words: string;
  /** How many of those words there may be. */
  readonly takes: { readonly least: number; readonly most: number };
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
  flag(name: string): boolean;
  text(name: string): string | undefined;
  /** A duration with a unit, in milliseconds. Throws USAGE. */
  durationMs(name: string, otherwise: number): number;
}
