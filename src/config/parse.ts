// One config file: text -> settings, and every problem of shape with its place. What is faulty is left out, so that the rest can be judged too. Pure.
import type { Hint } from '../errors.ts';
import type { ConfigIssue } from './issue.ts';
import { nearest } from './nearest.ts';
import { fileSchema, knownKeys, type FileSettings } from './schema.ts';
import { readSource, type Path, type Source } from './source.ts';
import { storeSecret } from './value.ts';

export interface ParsedFile {
  readonly file: string;
  /** Ad-hoc tunnels: what the file says goes before them, and their faults are no faults of it. */
  readonly adhoc?: true;
  readonly source: Source;
  readonly settings: FileSettings;
  readonly issues: readonly ConfigIssue[];
  /** True when something about this key was already said: what follows from it need not be. */
  faulty(path: Path): boolean;
}

/** Never throws. `included`: reached by `include:`, where only hosts and tunnels may stand. */
export function parseFile(file: string, text: string, included = false): ParsedFile {
  const source = readSource(file, text);
  const faults = new Faults();
  const issues = [...source.issues];
  const settings = readSettings(source, included, faults, issues);
  return { file, source, settings, issues, faulty: (path) => faults.isAt(path) };
}

/** Places of what was told already. */
class Faults {
  readonly #paths = new Set<string>();

  add(path: Path): void {
    this.#paths.add(JSON.stringify(path.map(String)));
  }

  /** At the path, or at anything above it. */
  isAt(path: Path): boolean {
    return [[], ...path.map((_, index) => path.slice(0, index + 1))].some((each) =>
      this.#paths.has(JSON.stringify(each.map(String))),
    );
  }
}

function readSettings(
  source: Source,
  included: boolean,
  faults: Faults,
  issues: ConfigIssue[],
): FileSettings {
  const nothing = (message: string | null, hint?: Hint): FileSettings => {
    if (message !== null) issues.push(source.issue([], 'value', message, hint));
    faults.add([]);
    return {};
  };
  if (source.value === null)
    return issues.length > 0 ? nothing(null) : nothing('has no tunnels', { command: 'init' });
  if (included && isNoConfig(source.value)) return nothing('has neither hosts: nor tunnels:');
  const value: unknown = structuredClone(source.value);
  dropEmpty(value);
  takeOutProto(value, source, faults, issues);
  // Twice is enough but for faults that hid behind others; each round takes at least one key out.
  for (let round = 0; round < 10; round++) {
    const read = fileSchema.safeParse(value);
    if (read.success) return checkIncluded(read.data, included, source, issues);
    for (const issue of read.error.issues) {
      for (const problem of problemsOf(issue as SchemaIssue, value)) {
        issues.push(source.issue(problem.path, problem.side, problem.message, problem.hint));
        if (problem.path.length === 0) return nothing(null);
        tellPlaces(problem, faults);
        remove(value, problem.path);
      }
    }
  }
  return nothing(null);
}

function tellPlaces({ path, meant }: Problem, faults: Faults): void {
  faults.add(path);
  const list = listOf(path);
  if (list !== null) faults.add(list);
  if (meant !== null) faults.add([...path.slice(0, -1), meant]);
}

/** Where the list of a faulty entry stands; null for what is in none, and for forwards, which are judged one by one. */
function listOf(path: Path): Path | null {
  const end = path.findLastIndex((key) => typeof key === 'string') + 1;
  return end === path.length || path[end - 1] === 'forwards' ? null : path.slice(0, end);
}

/** Something else altogether: `include: ~/.netrc` must not make us print what stands there as unknown keys. */
function isNoConfig(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.length > 0 && !keys.some((key) => (knownKeys.file as readonly string[]).includes(key));
}

/** A host or tunnel of this name: zod leaves it out without a word (it is how objects of JavaScript are poisoned). */
function takeOutProto(value: unknown, source: Source, faults: Faults, issues: ConfigIssue[]): void {
  for (const section of ['hosts', 'tunnels']) {
    const map = valueAt(value, [section]);
    if (typeof map !== 'object' || map === null || !Object.hasOwn(map, '__proto__')) continue;
    issues.push(source.issue([section, '__proto__'], 'key', 'is no name that can be given'));
    faults.add([section, '__proto__']);
    Reflect.deleteProperty(map, '__proto__');
  }
}

/** `hosts:` with nothing but comments below it is as good as absent. */
function dropEmpty(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const file = value as Record<string, unknown>;
  for (const key of ['hosts', 'defaults', 'include', 'tunnels', 'hooks'])
    if (file[key] === null) delete file[key];
}

function checkIncluded(
  settings: FileSettings,
  included: boolean,
  source: Source,
  issues: ConfigIssue[],
): FileSettings {
  if (!included) return settings;
  for (const key of ['defaults', 'metrics', 'hooks', 'notify'] as const)
    if (settings[key] !== undefined)
      issues.push(source.issue([key], 'key', 'belongs in the main file, not in an included one'));
  return settings;
}

/** The part of a zod issue that is used here. */
interface SchemaIssue {
  readonly code: string;
  readonly path: Path;
  readonly message: string;
  readonly expected?: string;
  readonly keys?: readonly string[];
  readonly params?: { readonly hint?: Hint; readonly side?: 'key' };
}

interface Problem {
  readonly path: Path;
  readonly side: 'key' | 'value';
  readonly message: string;
  readonly hint: Hint | null;
  /** The key that was probably meant. */
  readonly meant: string | null;
}

function problemsOf(issue: SchemaIssue, value: unknown): Problem[] {
  if (issue.code === 'unrecognized_keys')
    return (issue.keys ?? []).map((key) => unknownKey(issue.path, key, value));
  const plain = { path: issue.path, side: 'value', hint: null, meant: null } as const;
  if (issue.code === 'custom') {
    const { side = plain.side } = issue.params ?? {};
    return [{ ...plain, side, message: issue.message, hint: hintOf(issue, value) }];
  }
  if (valueAt(value, issue.path) === null) return [{ ...plain, message: 'is empty' }];
  if (issue.path.length === 0) return [{ ...plain, message: 'must be a map of keys such as tunnels:' }];
  const forms: Record<string, string> = { object: 'a map', record: 'a map', array: 'a list' };
  return [
    { ...plain, message: `must be ${forms[issue.expected ?? ''] ?? issue.expected ?? 'something else'}` },
  ];
}

function unknownKey(path: Path, key: string, value: unknown): Problem {
  const keys = keysAt(path);
  const near = nearest(key, keys);
  // A key that stands at its place already was not meant here.
  const taken = near !== null && valueAt(value, [...path, near]) !== undefined;
  const elsewhere =
    path[0] === 'hosts' && (knownKeys.tunnel as readonly string[]).includes(key)
      ? ', it belongs to a tunnel'
      : '';
  const meant = near === null || elsewhere !== '' ? '' : `, did you mean "${near}"?`;
  return {
    path: [...path, key],
    side: 'key',
    message: `unknown key "${key}"${elsewhere}${meant}`,
    hint: null,
    meant: taken || elsewhere !== '' ? null : near,
  };
}

/** Keys that may stand in the map at a path. */
function keysAt(path: Path): readonly string[] {
  const isEntry = path.length === 2 && path[0] !== 'defaults'; // a tunnel may have any of these names
  const last = isEntry ? '' : path.at(-1);
  if (last === 'keepalive') return ['interval', 'count'];
  if (last === 'reconnect') return ['initial', 'max'];
  if (last === 'socks_auth') return ['user', 'password'];
  if (last === 'hooks') return ['up', 'down', 'needs_you'];
  if (path.includes('forwards') && typeof last === 'number') return knownKeys.forward;
  if (path.length === 0) return knownKeys.file;
  return path[0] === 'hosts' ? knownKeys.host : knownKeys.tunnel;
}

/** `tunnel secret set` with the name and kind that this place needs. */
function hintOf(issue: SchemaIssue, value: unknown): Hint | null {
  const hint = issue.params?.hint ?? null;
  if (hint !== storeSecret) return hint;
  const [section, entry] = issue.path;
  const ofHost = section === 'tunnels' && !issue.path.includes('socks_auth');
  const host = ofHost ? valueAt(value, ['tunnels', entry ?? '', 'host']) : entry;
  const name = typeof host === 'string' && /^[\w.@:-]+$/.test(host) ? host : 'NAME';
  const kind = ['passphrase', 'totp'].find((each) => issue.path.at(-1) === each) ?? 'password';
  return { ...storeSecret, on: { words: [name] }, flags: kind };
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inside, key) =>
      typeof inside === 'object' && inside !== null && Object.hasOwn(inside, key)
        ? (inside as Record<string | number, unknown>)[key]
        : undefined,
    value,
  );
}

/** Takes a faulty value out; in a list its place stays, so that the others keep their numbers. */
function remove(value: unknown, path: Path): void {
  const parent = valueAt(value, path.slice(0, -1));
  const key = path.at(-1);
  if (typeof parent !== 'object' || parent === null || key === undefined) return;
  if (Array.isArray(parent)) parent[Number(key)] = undefined;
  else delete (parent as Record<string | number, unknown>)[key];
}
