// Values of one key: from what stands in the YAML to what it means, or a sentence that says what is wrong with it.
import type { Hint, HintCommand } from '../errors.ts';
import { parseDuration } from '../model/duration.ts';
import { isVisible } from '../model/clean.ts';
import { knownPlaceholders, placeholdersOf } from '../model/tunnel-variables.ts';
import { nearest } from './nearest.ts';

/** A problem never repeats the value: it may be a secret. */
export interface Fault {
  readonly problem: string;
  readonly hint?: Hint;
  /** Where in the value; the value itself where it is absent. */
  readonly at?: readonly (string | number)[];
  readonly side?: 'key';
  /** Further ones of the same value, so that one run tells them all. */
  readonly more?: readonly Fault[];
}

/** The answer of a value parser. */
export type Parsed<T> = { readonly value: T } | Fault;

export const ok = <T>(value: T): Parsed<T> => ({ value });
export const wrong = <T>(problem: string, hint?: Hint): Parsed<T> =>
  hint === undefined ? { problem } : { problem, hint };

/** For a secret that stands in the file; parse.ts knows whose it is. */
export const storeSecret: HintCommand = { command: 'secret set' };

/** Control characters, line ends and the marks that turn text around have no place in a name, a path or an address. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

/** Names of hosts, tunnels, forwards and tags (SPEC 2). */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;
export const nameRule = 'must be letters, digits, ".", "_" or "-", and begin with a letter or digit';

export function text(value: unknown): Parsed<string> {
  if (typeof value === 'number' || typeof value === 'boolean')
    return wrong('must be text: put quotes around it');
  if (typeof value !== 'string') return wrong(value === null ? 'is empty' : 'must be text');
  if (value === '') return wrong('is empty');
  if (unprintable.test(value)) return wrong('must be one line of printable text');
  return ok(value);
}

/** Text that some program sees as an argument: one that begins with "-" could be read as an option. */
export function word(value: unknown): Parsed<string> {
  const read = text(value);
  if ('problem' in read) return read;
  if (read.value.startsWith('-')) return wrong('must not begin with "-"');
  if (/\s/.test(read.value)) return wrong('must not contain a space');
  return read;
}

/**
 * A name of a server or a user, which ends up in commands and in hints to paste. ssh refuses the same characters
 * (valid_hostname and valid_ruser in OpenSSH's ssh.c); users may have \ and $, as Windows domains write them.
 */
export function harmless(value: string, of: 'host' | 'user'): boolean {
  return !(of === 'host' ? /['"`$\\;&<>|(){}]/ : /['"`;&<>|(){}]/).test(value);
}

export const harmlessRule = 'must not hold characters that a shell acts on';

export function user(value: unknown): Parsed<string> {
  const read = word(value);
  return 'value' in read && !harmless(read.value, 'user') ? wrong(harmlessRule) : read;
}

/** A name that a line of known_hosts can hold as a plain one. */
export function keyAlias(value: unknown): Parsed<string> {
  const read = word(value);
  if ('problem' in read) return read;
  return /[*?,]|^[!|#@]/.test(read.value) ? wrong('must be a plain name, without * ? and commas') : read;
}

export function name(value: unknown): Parsed<string> {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return ok(String(value));
  const read = text(value);
  if ('problem' in read) return read;
  return namePattern.test(read.value) ? read : wrong(nameRule);
}

export function flag(value: unknown): Parsed<boolean> {
  if (typeof value === 'boolean') return ok(value);
  return wrong('must be true or false');
}

/** A flag whose word in the docs is `off` (YAML 1.2 reads that as text). */
export function switched(value: unknown): Parsed<boolean> {
  if (value === 'on' || value === 'off') return ok(value === 'on');
  return typeof value === 'boolean' ? ok(value) : wrong('must be on or off');
}

export function duration(value: unknown): Parsed<number> {
  if (typeof value === 'number') return wrong('needs a unit, like 30s');
  if (typeof value === 'string') {
    const ms = parseDuration(value);
    if (ms !== null) return ok(ms);
    if (/^\d+(\.\d+)?$/.test(value)) return wrong('needs a unit, like 30s');
  }
  return wrong('must be a duration, like 250ms, 30s, 5m or 2h');
}

export function positiveDuration(value: unknown): Parsed<number> {
  const read = duration(value);
  return 'value' in read && read.value === 0 ? wrong('must be longer than 0s') : read;
}

export function port(value: unknown): Parsed<number> {
  const number = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > 65535)
    return wrong('must be 1-65535');
  return ok(number);
}

export function countUpTo(limit: number): (value: unknown) => Parsed<number> {
  return (value) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= limit
      ? ok(value)
      : wrong(`must be a whole number, 1-${limit}`);
}

export function oneOf<const T extends string>(words: readonly T[]): (value: unknown) => Parsed<T> {
  return (value) => {
    const found = words.find((each) => each === value);
    if (found !== undefined) return ok(found);
    const near = typeof value === 'string' && words.length > 1 ? nearest(value, words) : null;
    return wrong(`must be ${orList(words)}${near === null ? '' : `, did you mean "${near}"?`}`);
  };
}

/** Every item read, every fault at its place. */
export function several<T>(
  items: Iterable<readonly [string | number, unknown]>,
  parse: (item: unknown, key: string | number) => Parsed<T>,
): Parsed<readonly T[]> {
  const values: T[] = [];
  const faults: Fault[] = [];
  for (const [key, item] of items) {
    if (item === undefined) continue; // taken out as faulty
    const read = parse(item, key);
    if ('value' in read) values.push(read.value);
    else for (const fault of faultsOf(read)) faults.push({ ...fault, at: [key, ...(fault.at ?? [])] });
  }
  return joined(faults) ?? ok(values);
}

export function faultsOf({ more = [], ...first }: Fault): readonly Fault[] {
  return [first, ...more];
}

/** Several as one; null for none. */
export function joined([first, ...more]: readonly Fault[]): Fault | null {
  return first === undefined ? null : { ...first, more };
}

/** `a`, or a list of such: one value may stand without its brackets. */
export function listOf<T>(parse: (value: unknown) => Parsed<T>): (value: unknown) => Parsed<readonly T[]> {
  return (value) => {
    if (Array.isArray(value)) return several(value.entries(), parse);
    const read = parse(value);
    return 'value' in read ? ok([read.value]) : read;
  };
}

/** A list that must be written as one, of text. */
export function argumentList(value: unknown): Parsed<readonly string[]> {
  if (!Array.isArray(value) || value.length === 0) return wrong('must be a list: [program, argument]');
  if (!value.every((each) => typeof each === 'string' || typeof each === 'number'))
    return wrong('must be a list of text: put quotes around what is not');
  return ok(value.map(String));
}

/** Variables that decide what a program or a shell runs (SPEC 2), in any case: zsh's path is PATH, Windows knows no case. */
const refused = /^(PATH|IFS|ENV|SHELL|BASH_ENV|LD_.*|DYLD_.*|NODE_OPTIONS|GIT_.*|PYTHON.*)$/i;
export const variablePattern = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Values for `env:`: numbers and flags are written as they stand. */
export function variables(value: unknown): Parsed<Readonly<Record<string, string>>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return wrong('must be a map of NAME: text');
  const read = several(Object.entries(value), (each, key): Parsed<readonly [string, string]> => {
    const variable = String(key);
    if (!variablePattern.test(variable)) return { problem: 'is not the name of a variable', side: 'key' };
    if (refused.test(variable))
      return { problem: 'is refused: it decides what a program or a shell runs', side: 'key' };
    if (typeof each === 'number' || typeof each === 'boolean') return ok([variable, String(each)]);
    const read = typeof each === 'string' ? variableText(each) : wrong<string>('must be text');
    return 'value' in read ? ok([variable, read.value]) : read;
  });
  return 'value' in read ? ok(Object.fromEntries(read.value)) : read;
}

/** Text of `env:` and `open:`. Several lines are allowed; what cannot be seen is not, since whoever consents to it goes by what is shown. */
export function variableText(text: string): Parsed<string> {
  if (!isVisible(text)) return wrong('must be text that can be seen, without control characters');
  return placeholdersOf(text).every((word) => knownPlaceholders.includes(word))
    ? ok(text)
    : wrong('has a word in braces that stands for nothing: {host}, {port} and {address} are filled in');
}

/** "a, b or c". */
function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}
