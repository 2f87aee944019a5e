// What a reader finds in another program's file: tunnels, and lines that cannot be carried over, each with its reason. Pure.

/** A forward in ssh's letters: `-L 5432:db:5432`. Ranges and `auto` as our own file takes them. */
export interface SshForward {
  readonly letter: 'L' | 'R' | 'D';
  readonly spec: string;
}

export type Setting =
  string | number | boolean | readonly string[] | Readonly<Record<string, string | number>>;

export interface FoundTunnel {
  /** Null: the format has no names. */
  readonly name: string | null;
  /** Where it begins, from 1. */
  readonly line: number;
  /** [user@]host[:port], or an ssh_config alias. */
  readonly host: string;
  readonly forwards: readonly SshForward[];
  /** Further keys of a tunnel as our file writes them. */
  readonly settings: Readonly<Record<string, Setting>>;
}

/** A line, or what it says, that is left behind. */
export interface LeftBehind {
  readonly line: number;
  readonly reason: string;
}

export interface Found {
  readonly tunnels: readonly FoundTunnel[];
  readonly left: readonly LeftBehind[];
}

/** A map of a parsed file; empty for anything else. */
export function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isMap ? (value as Record<string, unknown>) : {};
}

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** Text as it stands, a number as its digits; null for nothing, empty text and anything else. */
export function textOf(value: unknown): string | null {
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : null;
}

/** The line, from 1, of the match number `nth` (from 0) of a pattern; 1 where there is none. */
export function lineOf(text: string, pattern: RegExp, nth = 0): number {
  const match = [...text.matchAll(new RegExp(pattern, 'gm'))][nth];
  if (match === undefined) return 1;
  const blank = match[0].length - match[0].trimStart().length;
  return text.slice(0, match.index + blank).split('\n').length;
}

/** Words of other programs become names of ours: letters, digits, dot, underscore and dash. */
export function nameFrom(written: string | null): string | null {
  const name = (written ?? '').replaceAll(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+|-+$/g, '');
  return name === '' ? null : name;
}
