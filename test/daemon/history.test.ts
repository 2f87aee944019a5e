// The history's file: appended, ours alone, bounded, whole again after a crash, and silent while nothing is new.
import { appendFileSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openHistory } from '../../src/daemon/history.ts';
import { formatHistoryLine, parseHistory, type HistoryLine } from '../../src/model/history.ts';
import type { TunnelState } from '../../src/model/status.ts';
import { FakeClock } from '../helpers/fake-clock.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const clock = new FakeClock();
const change = (from: TunnelState, to: TunnelState, code: string | null = null) => ({
  atMs: clock.now(),
  tunnel: 'db',
  from,
  to,
  code,
  message: code,
});
const read = (path: string): HistoryLine[] => parseHistory(readFileSync(path, 'utf8'));
const fail = (thrown: unknown): never => {
  throw thrown;
};

test('a history goes on behind a torn line, and tells when the supervisor before it was last seen', async () => {
  const path = join(temporaryFolder('history'), 'history.jsonl');
  const first = openHistory(path, clock, fail);
  first.changed(change('down', 'up'));
  first.slept(clock.now() - 5);
  await first.close();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  appendFileSync(path, '{"kind":"chan');
  const seenMs = statSync(path).mtimeMs;
  const second = openHistory(path, clock, fail);
  second.changed(change('down', 'connecting'));
  await second.close();
  expect(read(path).map(({ kind }) => kind)).toEqual('start change sleep end start change end'.split(' '));
  expect(read(path)[4]).toMatchObject({ kind: 'start', seenMs });
});

test('of one outage each reason is written once, however often it is tried', async () => {
  const path = join(temporaryFolder('history'), 'history.jsonl');
  const history = openHistory(path, clock, fail);
  history.changed(change('down', 'up'));
  for (let attempt = 0; attempt < 50; attempt++) {
    const code = attempt % 2 === 0 ? 'UNREACHABLE' : 'TIMED_OUT';
    history.changed(change(attempt === 0 ? 'up' : 'retrying', 'connecting', 'LINK_LOST'));
    history.changed(change('connecting', 'retrying', code));
  }
  history.changed(change('retrying', 'up'));
  history.changed(change('up', 'connecting', 'LINK_LOST'));
  await history.close();
  const codes = read(path).flatMap((line) => (line.kind === 'change' ? [line.code] : []));
  expect(codes).toEqual([null, 'LINK_LOST', 'UNREACHABLE', 'TIMED_OUT', null, 'LINK_LOST']);
});

test('a history that has grown too long is written anew with the newest lines', async () => {
  const path = join(temporaryFolder('history'), 'history.jsonl');
  const line = formatHistoryLine({ kind: 'change', ...change('down', 'up') });
  writeFileSync(path, line.repeat(10_500));
  const history = openHistory(path, clock, fail);
  for (let round = 0; round < 1500; round++) history.changed(change('up', 'down'));
  await history.close();
  expect(read(path).length).toBeLessThanOrEqual(11_000);
  expect(read(path).at(-1)).toMatchObject({ kind: 'end' });
});

test('what cannot be written is told once, and is written when it can be again', async () => {
  const path = join(temporaryFolder('history'), 'history.jsonl');
  mkdirSync(path);
  const told: unknown[] = [];
  const history = openHistory(path, clock, (failure) => told.push(failure));
  history.changed(change('down', 'up'));
  await expect.poll(() => told.length).toBe(1);
  rmdirSync(path);
  history.changed(change('up', 'down'));
  await history.close();
  expect(told).toHaveLength(1);
  expect(read(path).map(({ kind }) => kind)).toEqual(['start', 'change', 'change', 'end']);
});

test('the time of the file is a sign of life, and nothing is written for it', async () => {
  const path = join(temporaryFolder('history'), 'history.jsonl');
  const own = new FakeClock();
  const history = openHistory(path, own, fail);
  await expect.poll(() => read(path).length).toBe(1);
  await own.advance(60_000);
  await expect.poll(() => Math.round(statSync(path).mtimeMs)).toBe(own.now());
  expect(read(path)).toHaveLength(1);
  await history.close();
});
