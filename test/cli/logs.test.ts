// Log lines: chosen, shown, read across files and followed through a rotation.
import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  createLineFilter,
  followLog,
  formatLine,
  parseLine,
  readLog,
  type LogLine,
} from '../../src/cli/log-lines.ts';
import { plain } from '../../src/render/color.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const line = (facts: Record<string, unknown>): LogLine => {
  const parsed = parseLine(
    JSON.stringify({ level: 'info', time: '2026-11-22T09:14:07.000Z', event: 'e', message: 'm', ...facts }),
  );
  if (parsed === null) throw new Error('no line');
  return parsed;
};

describe('a log line', () => {
  test('reads as time, level, who and what, clean of control characters', () => {
    expect(formatLine(line({ tunnel: 'db', message: 'a\u001b[31mb' }), plain)).toMatch(
      /^2026-11-22 \d\d:14:07 info {2}db: ab$/,
    );
  });

  test('that is not JSON is shown all the same', () => {
    const parsed = parseLine('FATAL ERROR: out of memory');
    expect(parsed).toMatchObject({ atMs: null, level: 'error', message: 'FATAL ERROR: out of memory' });
    expect(JSON.parse(parsed?.text ?? '')).toMatchObject({ event: 'output' });
    expect(parseLine('null')).toMatchObject({ level: 'error', message: 'null' });
    expect(parseLine('')).toBeNull();
  });

  test('as JSON has the six keys in their order, null where they do not apply, then what belongs to the event', () => {
    const six = ['time', 'level', 'tunnel', 'link', 'event', 'message'];
    const written = line({ tunnel: 'db', from: 'up' });
    expect(Object.entries(JSON.parse(written.text) as object)).toEqual([
      ['time', '2026-11-22T09:14:07.000Z'],
      ['level', 'info'],
      ['tunnel', 'db'],
      ['link', null],
      ['event', 'e'],
      ['message', 'm'],
      ['from', 'up'],
    ]);
    const last = parseLine('FATAL ERROR: out of memory');
    expect(Object.keys(JSON.parse(last?.text ?? '') as object)).toEqual(six);
  });
});

describe('the selection', () => {
  test('takes the lines of its tunnels and of the links they were seen on', () => {
    const filter = createLineFilter(['d*'], [{ name: 'db', tags: [] }]);
    expect(filter.takes(line({ link: 'l1' }))).toBe(false);
    expect(filter.takes(line({ tunnel: 'db', link: 'l1' }))).toBe(true);
    expect(filter.takes(line({ link: 'l1' }))).toBe(true);
    expect(filter.takes(line({ tunnel: 'cache' }))).toBe(false);
    expect(filter.takes(line({}))).toBe(false);
    expect(filter.takes(line({ tunnel: 'db', link: 'l1', rides: ['bastion#2'] }))).toBe(true);
    expect(filter.takes(line({ link: 'bastion#2' }))).toBe(true);
  });

  test('knows tags, takes names that only the log knows, and refuses names that nobody knows', () => {
    const tagged = createLineFilter(['tag:demo'], [{ name: 'db', tags: ['demo'] }]);
    expect(tagged.takes(line({ tunnel: 'db' }))).toBe(true);
    const old = createLineFilter(['old'], []);
    expect(() => old.check(['old'])).toThrow(/^no tunnel is named old$/);
    expect(old.takes(line({ tunnel: 'old' }))).toBe(true);
    expect(() => old.check(['old'])).not.toThrow();
  });
});

describe('reading', () => {
  test('goes through the files from the oldest to the newest', async () => {
    const log = join(temporaryFolder('log'), 'tunnel.log');
    writeFileSync(`${log}.2`, 'one\n');
    writeFileSync(`${log}.1`, 'two\ncut');
    writeFileSync(log, 'three\nfour');
    const lines: string[] = [];
    await readLog(log, (text) => lines.push(text));
    expect(lines).toEqual(['one', 'two', 'cut', 'three']);
  });

  test('without any file gives nothing', async () => {
    const lines: string[] = [];
    const position = await readLog(join(temporaryFolder('log'), 'none.log'), (text) => lines.push(text));
    expect(lines).toEqual([]);
    expect(position.inode).toBeNull();
  });

  test('follows what is written, through a rotation, and a file that is not there yet', async () => {
    const log = join(temporaryFolder('log'), 'tunnel.log');
    const lines: string[] = [];
    const seen = new Map<string, () => void>();
    const until = (text: string): Promise<void> =>
      lines.includes(text) ? Promise.resolve() : new Promise((resolve) => seen.set(text, resolve));
    const take = (text: string): void => {
      lines.push(text);
      seen.get(text)?.();
    };
    const position = await readLog(log, take);
    const controller = new AbortController();
    const following = followLog(log, position, controller.signal, take).catch(() => undefined);
    appendFileSync(log, 'one\ntw');
    await until('one');
    appendFileSync(log, 'o\n');
    await until('two');
    appendFileSync(log, 'last\n');
    renameSync(log, `${log}.1`);
    appendFileSync(log, 'first\n');
    await until('first');
    expect(lines).toEqual(['one', 'two', 'last', 'first']);
    controller.abort();
    await following;
  });
});
