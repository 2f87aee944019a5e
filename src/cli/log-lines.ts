// Lines of the log: how they are read from its files, what they say, for whom, and how a person reads them.
import { matchSelectors, selects, type Selectable } from '../config/selectors.ts';
import { cleanText, jsonText, visibleCommand } from '../model/clean.ts';
import type { Paint } from '../render/color.ts';
import { open, type FileHandle } from 'node:fs/promises';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as pause } from 'node:timers/promises';
import { logFileNames } from '../model/log-files.ts';

export interface LogLine {
  /** As JSON: time, level, tunnel, link, event, message, each of them there, then what belongs to the event (SPEC 4). */
  readonly text: string;
  readonly atMs: number | null;
  readonly level: string;
  readonly tunnel: string | null;
  readonly link: string | null;
  /** Links of jump hosts that the tunnel's own link rides on. */
  readonly rides: readonly string[];
  readonly message: string;
  /** What to do; null for most lines. */
  readonly hint: string | null;
}

/** Null for an empty line. What is not an object in JSON (Node's own last words) is a line of its own. */
export function parseLine(text: string): LogLine | null {
  if (text.trim() === '') return null;
  const value = objectIn(text) ?? { level: 'error', event: 'output', message: cleanText(text) };
  const time = word(value['time']);
  const at = time === null ? Number.NaN : Date.parse(time);
  const line = {
    time,
    level: word(value['level']) ?? 'info',
    tunnel: word(value['tunnel']),
    link: word(value['link']),
    event: word(value['event']) ?? '',
    message: word(value['message']) ?? '',
  };
  return {
    ...line,
    // The order is that of `line`, whatever was written: its values stand in the place of those below.
    text: jsonText({ ...line, ...value, ...line }),
    atMs: Number.isNaN(at) ? null : at,
    rides: words(value['rides']),
    hint: word(value['hint']),
  };
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && !Array.isArray(value)
      ? (value as Record<string, unknown> | null)
      : null;
  } catch {
    return null;
  }
}

const word = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const words = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];

export interface LineFilter {
  takes(line: LogLine): boolean;
  /** Throws NO_SUCH_TUNNEL for a selector that matches neither a known tunnel nor one in the log. */
  check(selectors: readonly string[]): void;
}

/** Lines of the selected tunnels and of the links they were seen on; all without selectors. */
export function createLineFilter(selectors: readonly string[], known: readonly Selectable[]): LineFilter {
  const seen = new Map<string, Selectable>(known.map((tunnel) => [tunnel.name, tunnel]));
  const links = new Set<string>();
  const selected = (name: string): boolean => {
    const tunnel = seen.get(name) ?? { name, tags: [] };
    seen.set(name, tunnel);
    return selectors.some((selector) => selects(selector, tunnel));
  };
  return {
    takes(line) {
      if (selectors.length === 0) return true;
      if (line.tunnel !== null) {
        const mine = selected(line.tunnel);
        for (const link of [line.link, ...line.rides]) if (mine && link !== null) links.add(link);
        return mine;
      }
      return line.link !== null && links.has(line.link);
    },
    check(words) {
      if (words.length > 0) matchSelectors(words, [...seen.values()]);
    },
  };
}

/** `2026-11-22 09:14:07 info  katie: link lost …` in local time, and what to do on a line below it. */
export function formatLine(line: LogLine, paint: Paint): string {
  const at = line.atMs === null ? '-'.padEnd(19) : localTime(new Date(line.atMs));
  const level = levelPaint(line.level, paint)(line.level.padEnd(5));
  const about = line.tunnel ?? line.link;
  const isSaid = about === null || line.message.startsWith(`${about} `); // "db is connecting"
  const who = isSaid ? '' : `${paint.bold(cleanText(about))}: `;
  const hints = (line.hint ?? '').split('\n').filter((hint) => hint !== '');
  const below = hints.map((hint) => `\n${hintIndent}${paint.cyan('hint:')} ${visibleCommand(hint)}`).join('');
  return `${paint.dim(at)} ${level} ${who}${cleanText(line.message)}${below}`;
}

/** Under the message. */
const hintIndent = ' '.repeat('2026-11-22 09:14:07 error '.length);

function levelPaint(level: string, paint: Paint): (text: string) => string {
  if (level === 'error' || level === 'fatal') return paint.red;
  if (level === 'warn') return paint.yellow;
  return paint.dim;
}

function localTime(date: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** Where reading stopped: which file by its number, how far, and the begun line. */
export interface Position {
  readonly inode: number | null;
  readonly offset: number;
  readonly begun: string;
}

const pollMs = 150;
const pieceBytes = 64 * 1024;

/** Every line of every file that exists, in the order they were written. */
export async function readLog(log: string, take: (line: string) => void): Promise<Position> {
  let position: Position = { inode: null, offset: 0, begun: '' };
  for (const name of logFileNames(log)) {
    await using file = await openIfThere(name);
    if (file === null) continue;
    const { ino } = await file.stat();
    position = await readFrom(file, { inode: ino, offset: 0, begun: '' }, take);
    if (name !== log && position.begun !== '') take(position.begun);
    if (name !== log) position = { inode: null, offset: 0, begun: '' };
  }
  return position;
}

/** Goes on from a position until the signal ends it, and then rejects. Looks every 150 ms. */
export async function followLog(
  log: string,
  from: Position,
  signal: AbortSignal,
  take: (line: string) => void,
): Promise<never> {
  let position = from;
  let current = await openIfThere(log);
  try {
    for (;;) {
      const latest = await openIfThere(log);
      const inode = latest === null ? null : (await latest.stat()).ino;
      // What was still written to the file that has been renamed comes first.
      if (current !== null) position = await readFrom(current, await sameFile(current, position), take);
      if (inode !== position.inode && latest !== null) {
        await current?.close();
        current = latest;
        if (position.begun !== '') take(position.begun);
        position = await readFrom(latest, { inode, offset: 0, begun: '' }, take);
      } else await latest?.close();
      await pause(pollMs, undefined, { signal });
    }
  } finally {
    await current?.close();
  }
}

/** The position, or the start of the file where it is another one or was cut. */
async function sameFile(file: FileHandle, position: Position): Promise<Position> {
  const { ino, size } = await file.stat();
  if (ino === position.inode && size >= position.offset) return position;
  return { inode: ino, offset: 0, begun: '' };
}

async function readFrom(file: FileHandle, from: Position, take: (line: string) => void): Promise<Position> {
  const decoder = new StringDecoder('utf8');
  const buffer = Buffer.alloc(pieceBytes);
  let { offset, begun } = from;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, offset);
    if (bytesRead === 0) return { inode: from.inode, offset, begun };
    offset += bytesRead;
    const lines = (begun + decoder.write(buffer.subarray(0, bytesRead))).split('\n');
    begun = lines.pop() ?? '';
    for (const line of lines) take(line);
  }
}

async function openIfThere(path: string): Promise<FileHandle | null> {
  try {
    return await open(path, 'r');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}
