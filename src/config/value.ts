// Values of one key: from what stands in the YAML to what it means, or a sentence that says what is wrong with it.
import { parseDuration } from '../model/duration.ts';
import { nearest } from './nearest.ts';

/** What a value parser answers. A problem never repeats the value: it may be a secret. */
export type Parsed<T> = { readonly value: T } | { readonly problem: string; readonly hint?: string };

export const ok = <T>(value: T): Parsed<T> => ({ value });
export const wrong = <T>(problem: string, hint?: string): Parsed<T> =>
  hint === undefined ? { problem } : { problem, hint };

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

/** `a`, or a list of such: one value may stand without its brackets. */
export function listOf<T>(parse: (value: unknown) => Parsed<T>): (value: unknown) => Parsed<readonly T[]> {
  return (value) => {
    const items = Array.isArray(value) ? value : [value];
    const values: T[] = [];
    for (const [index, item] of items.entries()) {
      const read = parse(item);
      if ('problem' in read)
        return Array.isArray(value) ? { ...read, problem: `entry ${index + 1} ${read.problem}` } : read;
      values.push(read.value);
    }
    return ok(values);
  };
}

/** A list that must be written as one, of text. */
export function argumentList(value: unknown): Parsed<readonly string[]> {
  if (!Array.isArray(value) || value.length === 0) return wrong('must be a list: [program, argument]');
  if (!value.every((each) => typeof each === 'string' || typeof each === 'number'))
    return wrong('must be a list of text: put quotes around what is not');
  return ok(value.map(String));
}

/** Values for `env:`: numbers and flags are written as they stand. */
export function variables(value: unknown): Parsed<Readonly<Record<string, string>>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return wrong('must be a map of NAME: text');
  const found: Record<string, string> = {};
  for (const [key, each] of Object.entries(value)) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return wrong('has a name that is not a variable name');
    if (typeof each === 'object') return wrong(`must give ${key} a text`);
    found[key] = String(each);
  }
  return ok(found);
}

/** "a, b or c". */
export function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}
