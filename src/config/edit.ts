// Changes to the config's text: a tunnel more, a tunnel less. Only the lines concerned change, so comments stay. Pure.
import { isDeepStrictEqual } from 'node:util';
import {
  isMap,
  isPair,
  isScalar,
  parseDocument,
  stringify,
  type Document,
  type Pair,
  type YAMLMap,
} from 'yaml';
import { TunnelError } from '../errors.ts';

/** Keys of a tunnel as they are to be written, in that order. */
export type NewTunnel = Readonly<
  Record<string, string | number | boolean | readonly string[] | Readonly<Record<string, string | number>>>
>;

/** The text with one tunnel more, behind the others. Throws USAGE when the name is taken, CONFIG_INVALID for broken YAML. */
export function addTunnel(text: string, name: string, tunnel: NewTunnel): string {
  const document = read(text);
  const tunnels = tunnelsOf(document);
  if (tunnels !== null && pairOf(tunnels, name) !== null)
    throw new TunnelError('USAGE', `there is a tunnel named ${name} already`, {
      hint: { command: 'show', on: { tunnel: name }, note: 'what the file has by that name' },
    });
  const expected = {
    ...(document.toJS() as object),
    tunnels: { ...(tunnels?.toJS(document) as object), [name]: tunnel },
  };
  const edited = insertTunnel(text, document, tunnels, tunnelText(name, tunnel, indentOf(text, tunnels)));
  if (means(edited, expected)) return edited;
  document.setIn(['tunnels', name], document.createNode(tunnel));
  return document.toString({ lineWidth: 0 });
}

/** The tunnels of this text alone, without what it includes. Throws CONFIG_INVALID for broken YAML. */
export function namesIn(text: string): readonly string[] {
  const document = read(text);
  return Object.keys((tunnelsOf(document)?.toJS(document) ?? {}) as object);
}

/** `db-2` where there is a `db`. */
export function freeName(wanted: string, taken: readonly string[]): string {
  if (!taken.includes(wanted)) return wanted;
  for (let number = 2; ; number += 1)
    if (!taken.includes(`${wanted}-${number}`)) return `${wanted}-${number}`;
}

/** The text without one tunnel. Throws NO_SUCH_TUNNEL, or CONFIG_INVALID where another place needs what it defines. */
export function removeTunnel(text: string, name: string): string {
  const document = read(text);
  const tunnels = tunnelsOf(document);
  const pair = tunnels === null ? null : pairOf(tunnels, name);
  if (tunnels === null || pair === null)
    throw new TunnelError('NO_SUCH_TUNNEL', `no tunnel in this file is named ${name}`, {
      hint: {
        command: 'show',
        note: 'names them all; a tunnel of an included file is taken out of that file by hand',
      },
    });
  const { [name]: removed, ...others } = tunnels.toJS(document) as Record<string, unknown>;
  void removed;
  const expected = { ...(document.toJS() as object), tunnels: others };
  const edited = cutTunnel(text, tunnels, pair);
  if (means(edited, expected)) return edited;
  try {
    tunnels.delete(name);
    const printed = document.toString({ lineWidth: 0 });
    if (means(printed, expected)) return printed;
  } catch {
    // yaml does not print an alias whose anchor is gone: told below
  }
  throw new TunnelError(
    'CONFIG_INVALID',
    `${name} cannot be removed: another part of the file uses its anchor`,
  );
}

function read(text: string): Document.Parsed {
  const document = parseDocument(text, { merge: true, logLevel: 'silent' });
  const [error] = document.errors;
  if (error === undefined) return document;
  throw new TunnelError('CONFIG_INVALID', `the config cannot be edited: ${error.message.split('\n')[0]}`, {
    hint: { command: 'check' },
  });
}

function means(text: string, expected: unknown): boolean {
  const document = parseDocument(text, { merge: true, logLevel: 'silent' });
  try {
    return document.errors.length === 0 && isDeepStrictEqual(plain(document.toJS()), plain(expected));
  } catch {
    return false; // an alias lost its anchor
  }
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function tunnelsOf(document: Document.Parsed): YAMLMap | null {
  const node: unknown = document.get('tunnels', true);
  return isMap(node) ? node : null;
}

function pairOf(map: YAMLMap, name: string): Pair | null {
  return map.items.find((pair) => String(isScalar(pair.key) ? pair.key.value : pair.key) === name) ?? null;
}

function startOf(pair: unknown): number {
  const key = isPair(pair) ? (pair.key as { range?: [number, number, number] }) : undefined;
  return key?.range?.[0] ?? -1;
}

/** The white space before the names of the other tunnels. */
function indentOf(text: string, tunnels: YAMLMap | null): string {
  const offset = tunnels === null || tunnels.flow === true ? -1 : startOf(tunnels.items[0]);
  if (offset < 0) return '  ';
  const before = text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset);
  return /^ +$/.test(before) ? before : '  ';
}

/** The lines that `addTunnel` writes for a tunnel, as they stand in a file. */
export const stringifyTunnel = (name: string, tunnel: NewTunnel): readonly string[] =>
  tunnelText(name, tunnel, '  ').trimEnd().split('\n');

function tunnelText(name: string, tunnel: NewTunnel, indent: string): string {
  const body = stringify({ [name]: tunnel }, { lineWidth: 0, indent: 2 })
    .trimEnd()
    .split('\n');
  return body.map((line) => `${indent}${line}\n`).join('');
}

function insertTunnel(
  text: string,
  document: Document.Parsed,
  tunnels: YAMLMap | null,
  added: string,
): string {
  const ended = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  if (tunnels === null) {
    const empty = /^tunnels:[ \t]*(?=#|$)/m.exec(ended);
    if (document.has('tunnels') && empty !== null) return atLineEnd(ended, empty.index, added);
    return `${ended}tunnels:\n${added}`;
  }
  if (tunnels.items.length === 0) {
    const [start = 0, end = 0] = tunnels.range ?? [];
    const cut = `${ended.slice(0, start).trimEnd()}${ended.slice(end)}`;
    return atLineEnd(cut, cut.lastIndexOf('tunnels:', start), added);
  }
  return atLineEnd(ended, contentEnd(tunnels.items.at(-1)) - 1, added);
}

/** Puts whole lines behind the line that an offset is in. */
function atLineEnd(text: string, offset: number, added: string): string {
  const end = text.indexOf('\n', Math.max(0, offset));
  const at = end < 0 ? text.length : end + 1;
  return `${text.slice(0, at)}${added}${text.slice(at)}`;
}

/** Offset behind the last character of a pair's value, comments not counted. */
function contentEnd(pair: unknown): number {
  if (!isPair(pair)) return 0;
  const value = pair.value as { items?: unknown[]; flow?: boolean; range?: [number, number, number] } | null;
  const last = value?.flow === true ? undefined : value?.items?.at(-1);
  if (isPair(last)) return contentEnd(last);
  const inner = (last as { range?: [number, number, number] } | undefined)?.range?.[1];
  return inner ?? value?.range?.[1] ?? startOf(pair) + 1;
}

/** Takes the lines of one pair out; an empty map says so, since a bare `tunnels:` is no map. */
function cutTunnel(text: string, tunnels: YAMLMap, pair: Pair): string {
  const start = text.lastIndexOf('\n', startOf(pair) - 1) + 1;
  const end = text.indexOf('\n', contentEnd(pair) - 1);
  const cut = text.slice(0, start) + (end < 0 ? '' : text.slice(end + 1));
  if (tunnels.items.length > 1) return cut;
  return cut.replace(/^tunnels:[ \t]*(?=#|$)/m, (found) => `${found.trimEnd()} {} `.trimEnd());
}
