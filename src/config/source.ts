// One YAML text: read with limits, every syntax problem explained, and the place of every key and value. Pure.
import {
  isAlias,
  isCollection,
  isMap,
  isPair,
  isScalar,
  LineCounter,
  parseDocument,
  type Document,
  type Node,
  type Pair,
  type YAMLError,
} from 'yaml';
import type { Hint } from '../errors.ts';
import { cleanText } from '../model/clean.ts';
import type { ConfigIssue } from './issue.ts';

/** More text than any config needs; YAML readers take time and memory by the byte. */
export const textLimitBytes = 4 * 1024 * 1024;
/** Nodes after aliases are followed: a few anchors can stand for billions ("billion laughs"). */
const nodeLimit = 200_000;

/** Written ones: each is looked for among all others when the document becomes data. */
const aliasLimit = 10_000;

const tooDeep = 'is nested too deeply';

export type Path = readonly (string | number)[];

export interface Source {
  /** Absolute path. */
  readonly file: string;
  /** Plain data, null when the syntax is broken. */
  readonly value: unknown;
  readonly issues: readonly ConfigIssue[];
  /** An issue at a value, or at its key where the key is the fault. */
  issue(path: Path, side: 'key' | 'value', message: string, hint?: Hint | null): ConfigIssue;
}

/** Never throws: what cannot be read is an issue. */
export function readSource(file: string, text: string): Source {
  const lines = new LineCounter();
  const at: At = (offset, path, message, hint = null) => {
    const { line, col } = offset < 0 ? { line: 1, col: 1 } : lines.linePos(offset);
    return {
      file,
      line: Math.max(1, line),
      column: Math.max(1, col),
      path: cleanText(path.join('.')),
      message: cleanText(message),
      hint,
    };
  };
  const broken = (issues: readonly ConfigIssue[]): Source => ({
    file,
    value: null,
    issues,
    issue: (path, _side, message, hint) => at(0, path, message, hint),
  });
  if (Buffer.byteLength(text) > textLimitBytes) return broken([at(0, [], 'is larger than 4 MiB')]);
  try {
    return readDocument(file, text.replace(/^\uFEFF/, ''), lines, at) ?? broken([at(0, [], tooDeep)]);
  } catch {
    return broken([at(0, [], tooDeep)]);
  }
}

/** Null, or a RangeError, for what is nested too deeply. */
function readDocument(file: string, text: string, lineCounter: LineCounter, at: At): Source | null {
  const document = parseDocument(text, {
    lineCounter,
    merge: true,
    prettyErrors: false,
    logLevel: 'error', // 'silent' would leave out that there is a second document
    stringKeys: true,
    uniqueKeys: false, // it compares each key with all before it: see repeatedKeys
  });
  const syntax: readonly Slip[] = [...document.errors, ...document.warnings, ...repeatedKeys(document)];
  if (syntax.some((error) => error.code === 'RESOURCE_EXHAUSTION')) return null;
  const whole = document.errors.every(isRepeat);
  const aliases = whole ? aliasIssues(document, at) : [];
  const told = whole ? syntax : upToFirstBreak(syntax);
  const issues = [...told.map((error) => syntaxIssue(error, text, document, at)), ...aliases];
  const value: unknown = whole && aliases.length === 0 ? document.toJS({ maxAliasCount: -1 }) : null;
  return { file, value, issues, issue: placer(document, at) };
}

type Slip = Pick<YAMLError, 'code' | 'pos' | 'message'>;

/** More repeats than that are no slip of a hand: the rest is not told. */
const toldRepeats = 100;

/** Keys that stand twice in one map, in any order. By a stack of our own: the document may be deep. */
function repeatedKeys(document: Document.Parsed): Slip[] {
  const found: Slip[] = [];
  const waiting: unknown[] = [document.contents];
  while (waiting.length > 0 && found.length < toldRepeats) {
    const node = waiting.pop();
    if (!isCollection(node)) continue;
    const seen = new Set<unknown>();
    for (const item of node.items) {
      waiting.push(isPair(item) ? item.value : item);
      const key = isPair(item) && isScalar(item.key) ? item.key.value : undefined;
      if (!isPair(item) || typeof key !== 'string' || key === '<<') continue;
      const start = startOf(item.key);
      if (seen.has(key) && found.length < toldRepeats)
        found.push({ code: 'DUPLICATE_KEY', pos: [start, start], message: '' });
      seen.add(key);
    }
  }
  return found;
}

/** A key that stands twice: the rest of the file can still be looked at. */
const isRepeat = (error: Slip): boolean => error.code === 'DUPLICATE_KEY';

/** The parser takes text behind a break for anything: a line with one slip would be told for each word that follows. */
function upToFirstBreak(errors: readonly Slip[]): readonly Slip[] {
  const ordered = errors.toSorted((one, other) => one.pos[0] - other.pos[0]);
  return ordered.slice(0, ordered.findIndex((error) => !isRepeat(error)) + 1);
}

type At = (offset: number, path: Path, message: string, hint?: Hint | null) => ConfigIssue;

function placer(document: Document.Parsed, at: At): Source['issue'] {
  return (path, side, message, hint) => at(offsetOf(document, path, side), path, message, hint);
}

/** Offset of a value, of its key, or of the nearest thing above it that is there. */
function offsetOf(document: Document.Parsed, path: Path, side: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = startOf(node);
  for (const [index, key] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair = findPair(document, node.items, String(key));
      if (pair === null) return offset;
      const keyOffset = startOf(pair.key);
      const valueOffset = startOf(pair.value);
      // `local:` with nothing behind it: the value is nowhere, so the key is shown.
      const empty = isScalar(pair.value) && pair.value.value === null && pair.value.source === '';
      offset = valueOffset < 0 || empty || (last && side === 'key') ? keyOffset : valueOffset;
      node = pair.value;
    } else if (isCollection(node) && typeof key === 'number') {
      node = node.items[key];
      if (node === undefined) return offset;
      offset = startOf(node) < 0 ? offset : startOf(node);
    } else return offset;
  }
  return offset;
}

function startOf(node: unknown): number {
  return (node as Node | null | undefined)?.range?.[0] ?? -1;
}

/** The pair with this key, looked for in merged maps (`<<: *base`) too. */
function findPair(document: Document.Parsed, items: readonly unknown[], key: string): Pair | null {
  const pairs = items.filter((item) => isPair(item));
  const keyed = (pair: Pair): string => String(isScalar(pair.key) ? pair.key.value : pair.key);
  const own = pairs.find((pair) => keyed(pair) === key);
  if (own !== undefined) return own;
  for (const merge of pairs.filter((pair) => keyed(pair).replace(/^Symbol\((.*)\)$/, '$1') === '<<')) {
    const merged: unknown = isAlias(merge.value) ? merge.value.resolve(document) : merge.value;
    const sources: unknown[] = isMap(merged) ? [merged] : isCollection(merged) ? merged.items : [];
    for (const source of sources) {
      const map: unknown = isAlias(source) ? source.resolve(document) : source;
      const found = isMap(map) ? findPair(document, map.items, key) : null;
      if (found !== null) return found;
    }
  }
  return null;
}

/** Aliases that lead nowhere, into themselves, or to more than anyone writes by hand. */
function aliasIssues(document: Document.Parsed, at: At): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const sizes = new Map<unknown, number>();
  const open = new Set<unknown>();
  // Each alias by the anchors above it, in reading order: to have the document resolve them walks it once for each.
  const anchors = new Map<string, Node>();
  let aliases = 0;
  const size = (node: unknown): number => {
    if (isCollection(node) || isScalar(node)) if (node.anchor !== undefined) anchors.set(node.anchor, node);
    const known = sizes.get(node);
    if (known !== undefined) return known;
    if (isAlias(node)) {
      const source = anchors.get(node.source);
      aliases += 1;
      if (source === undefined || open.has(source)) {
        const why = source === undefined ? 'has no anchor above it' : 'stands inside its own anchor';
        const quote = `; if it is text, put quotes around it`;
        issues.push(
          at(startOf(node), [], `the alias *${node.source} ${why}${source === undefined ? quote : ''}`),
        );
        return 1;
      }
      return size(source);
    }
    if (isPair(node)) return size(node.key) + size(node.value);
    if (!isCollection(node)) return 1;
    open.add(node);
    const total = node.items.reduce((sum: number, item) => Math.min(sum + size(item), nodeLimit * 2), 1);
    open.delete(node);
    sizes.set(node, total);
    return total;
  };
  if (size(document.contents) > nodeLimit || aliases > aliasLimit)
    issues.push(at(0, [], 'stands for too much: its aliases repeat each other'));
  return issues;
}

/** The mistakes people really make, in words that say what to do. */
function syntaxIssue(error: Slip, text: string, document: Document.Parsed, at: At): ConfigIssue {
  const [offset] = error.pos;
  const line = lineAround(text, offset);
  const say = (message: string): ConfigIssue => at(offset, [], message);
  const sayOf = (place: number, message: string): ConfigIssue =>
    at(place, pathAt(document.contents, place), message);
  if (/(^|[\s{,])[\w-]+:\s*\[[0-9A-Fa-f:.]+\]:\d/.test(line))
    return sayOf(text.lastIndexOf('[', offset), 'YAML needs quotes around an IPv6 address: "[::1]:5432"');
  const variable = /[{[,:]\s*(\S*\$\{)/.exec(line)?.[1];
  if (variable !== undefined && error.code !== 'DUPLICATE_KEY')
    return sayOf(
      text.lastIndexOf(variable, offset),
      'YAML needs quotes around a value with ${…}, and no variables are filled in here',
    );
  if (/[{,].*command:\s*\[/.test(line))
    return sayOf(
      offset,
      'YAML needs quotes here: "command:[program, argument]", or a map { command: [program, argument] }',
    );
  if (error.code === 'DUPLICATE_KEY') return sayOf(offset, 'stands here twice');
  return say(plainWords[error.code] ?? `YAML: ${error.message}`);
}

const plainWords: { readonly [code in YAMLError['code']]?: string } = {
  TAB_AS_INDENT: 'YAML indents with spaces, not with tabs',
  MULTIPLE_DOCS: 'one file holds one document: take the "---" out',
  BAD_SCALAR_START: 'a value that begins with this character needs quotes',
  BLOCK_AS_IMPLICIT_KEY: 'two keys on one line: a value with ": " in it needs quotes',
  BAD_ALIAS: 'a value that begins with * needs quotes',
  NON_STRING_KEY: 'a key must be text, and a list must be closed by ]',
  TAG_RESOLVE_FAILED: 'this YAML tag is not known here',
};

/** Keys down to the pair that an offset is in. */
function pathAt(node: unknown, offset: number): Path {
  if (!isCollection(node)) return [];
  for (let index = node.items.length - 1; index >= 0; index -= 1) {
    const item: unknown = node.items[index];
    const start = startOf(isPair(item) ? item.key : item);
    if (start < 0 || start > offset) continue;
    if (!isPair(item)) return start === offset ? [] : [index, ...pathAt(item, offset)];
    const key = String(isScalar(item.key) ? item.key.value : item.key);
    return start === offset ? [key] : [key, ...pathAt(item.value, offset)];
  }
  return [];
}

/** Characters before and behind a fault: a file may be one line, and each of its faults looks at it. */
const lookAround = 200;

function lineAround(text: string, offset: number): string {
  const near = text.slice(Math.max(0, offset - lookAround), offset);
  const behind = text.slice(offset, offset + lookAround);
  const end = behind.indexOf('\n');
  return near.slice(near.lastIndexOf('\n') + 1) + behind.slice(0, end < 0 ? undefined : end);
}
