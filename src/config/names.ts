// The names that a config speaks of, found line by line without a YAML reader: for completion, which must be quick and has no use for
// a fault. What it does not understand it passes over. Pure.
import { namePattern } from './value.ts';

export interface NamedTunnel {
  readonly name: string;
  readonly tags: readonly string[];
}

export interface ConfigNames {
  readonly tunnels: readonly NamedTunnel[];
  readonly hosts: readonly string[];
  /** As written. */
  readonly includes: readonly string[];
}

/** A broken file gives what can be made out. */
export function namesIn(text: string): ConfigNames {
  const top = entriesOf(linesOf(text));
  const below = (key: string): readonly Entry[] =>
    top.filter((entry) => entry.key === key).flatMap(({ inner }) => entriesOf(inner));
  return {
    tunnels: below('tunnels')
      .filter(({ key }) => namePattern.test(key))
      .map(({ key, inner }) => ({ name: key, tags: tagsOf(inner) })),
    hosts: below('hosts').flatMap(({ key }) => (namePattern.test(key) ? [key] : [])),
    includes: top.filter(({ key }) => key === 'include').flatMap(({ inner }) => scalarsOf(inner)),
  };
}

interface Line {
  readonly indent: number;
  readonly text: string;
}

/** A key, and what stands behind it: on its line, and on lines that are further in. */
interface Entry {
  readonly key: string;
  readonly inner: readonly Line[];
}

function linesOf(text: string): readonly Line[] {
  return text.split('\n').flatMap((raw) => {
    const line = raw.replace(/(^|\s)#.*$/, '').trimEnd();
    const bare = line.trimStart();
    return bare === '' || /^(---|\.\.\.|%)/.test(line)
      ? []
      : [{ indent: line.length - bare.length, text: bare }];
  });
}

const keyOfLine = /^(?:"([^"]*)"\s*|'([^']*)'\s*|([^\s"'{}[\],&*!|>%@`-][^:]*)):(?:\s+(.*))?$/;

function entriesOf(lines: readonly Line[]): readonly Entry[] {
  const [first] = lines;
  if (first === undefined) return [];
  if (first.text.startsWith('{')) return flowEntries(lines.map(({ text }) => text).join(' '));
  const entries: { key: string; inner: Line[] }[] = [];
  for (const line of lines) {
    const open = entries.at(-1);
    if (line.indent > first.indent || (line.indent === first.indent && line.text.startsWith('-'))) {
      open?.inner.push(line);
      continue;
    }
    const [, double, single, plain, behind] = keyOfLine.exec(line.text) ?? [];
    const key = double ?? single ?? plain?.trim();
    if (line.indent < first.indent || key === undefined) continue;
    const own = behind?.replace(/^&\S+\s*/, '') ?? '';
    entries.push({ key, inner: own === '' ? [] : [{ indent: Infinity, text: own }] });
  }
  return entries;
}

/** `{ a: …, "b": { … } }`: the keys of the outer braces, each with its text. One that is not closed gives what is there. */
function flowEntries(text: string): readonly Entry[] {
  return partsOf(text.slice(1)).flatMap((part) => {
    const [, double, single, plain, behind = ''] = keyOfLine.exec(part) ?? [];
    const key = double ?? single ?? plain?.trim();
    return key === undefined
      ? []
      : [{ key, inner: behind === '' ? [] : [{ indent: Infinity, text: behind }] }];
  });
}

/** What stands between commas, up to the bracket that closes; commas within quotes and brackets divide nothing. */
function partsOf(text: string): readonly string[] {
  const parts: string[] = [];
  let depth = 0;
  let quote = '';
  let part = '';
  for (const character of text) {
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === '"' || character === "'") quote = character;
    else if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
    if (depth < 0) break;
    if (character === ',' && depth === 0 && quote === '') {
      parts.push(part.trim());
      part = '';
    } else part += character;
  }
  return [...parts, part.trim()].filter((each) => each !== '');
}

const tagsOf = (inner: readonly Line[]): readonly string[] =>
  entriesOf(inner)
    .filter(({ key }) => key === 'tags')
    .flatMap(({ inner: lines }) => scalarsOf(lines))
    .filter((tag) => namePattern.test(tag));

/** One value, `[a, b]`, or a line each. */
function scalarsOf(lines: readonly Line[]): readonly string[] {
  const [first] = lines;
  if (first === undefined) return [];
  if (first.text.startsWith('['))
    return partsOf(
      lines
        .map(({ text }) => text)
        .join(' ')
        .slice(1),
    ).map(unquoted);
  return lines.map(({ text }) => unquoted(text.replace(/^-\s*/, ''))).filter((value) => value !== '');
}

const unquoted = (text: string): string => text.replace(/^(["'])(.*)\1$/, '$2');
