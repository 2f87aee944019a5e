// History: what lines come to: how long each state lasted, up-time, outages; and which lines are kept.
import { describe, expect, test } from 'vitest';
import {
  formatHistoryLine,
  historyOf,
  keptOf,
  parseHistory,
  type HistoryLine,
  type HistoryTerms,
} from '../../src/model/history.ts';
import type { TunnelState } from '../../src/model/status.ts';

const second = 1000;
const start = (at: number, seen: number | null = null): HistoryLine => ({
  kind: 'start',
  atMs: at * second,
  seenMs: seen === null ? null : seen * second,
});
const end = (at: number): HistoryLine => ({ kind: 'end', atMs: at * second });
const sleep = (from: number, to: number): HistoryLine => ({
  kind: 'sleep',
  atMs: to * second,
  fromMs: from * second,
});
const change = (at: number, from: TunnelState, to: TunnelState, code: string | null = null): HistoryLine => ({
  kind: 'change',
  atMs: at * second,
  tunnel: 'db',
  from,
  to,
  code,
  message: code,
});
const terms = (now: number, more: Partial<HistoryTerms> = {}): HistoryTerms => ({
  sinceMs: 0,
  nowMs: now * second,
  alive: true,
  takes: () => true,
  ...more,
});
const upAt10 = [start(0), change(0, 'down', 'connecting'), change(10, 'connecting', 'up')];
const outage = [change(70, 'up', 'retrying', 'LINK_LOST'), change(90, 'retrying', 'up')];

describe('the summary', () => {
  test.each<[string, HistoryLine[], HistoryTerms, [number | null, number, number]]>([
    ['a first login that succeeds is no outage', upAt10, terms(100), [100, 0, 0]],
    ['an outage is counted with its length', [...upAt10, ...outage], terms(110), [80, 1, 20]],
    [
      'one trouble with two reasons is one outage',
      [
        ...upAt10,
        change(50, 'up', 'connecting', 'LINK_LOST'),
        change(60, 'connecting', 'retrying', 'TIMED_OUT'),
        change(70, 'retrying', 'up'),
      ],
      terms(90),
      [75, 1, 20],
    ],
    [
      'an outage lasts until now',
      [...upAt10, change(50, 'up', 'needs-you', 'AUTH_REFUSED')],
      terms(90),
      [50, 1, 40],
    ],
    [
      'a restart without a reason is none',
      [...upAt10, change(50, 'up', 'connecting')],
      terms(60),
      [100, 0, 0],
    ],
    ['a lazy tunnel asleep is up', [start(0), change(0, 'down', 'asleep')], terms(60), [100, 0, 0]],
    ['sleep is not counted in an outage', [...upAt10, ...outage, sleep(75, 85)], terms(110), [88.88, 1, 10]],
    ['sleep is not counted as up', [...upAt10, sleep(20, 60), ...outage], terms(90), [50, 1, 20]],
    ['down is not counted', [...upAt10, ...outage, change(110, 'up', 'down')], terms(9999), [80, 1, 20]],
    ['the end of the supervisor is not up', [...upAt10, ...outage, end(110)], terms(9999), [80, 1, 20]],
    [
      'after a crash what was up ends at the last sign of life',
      [...upAt10, ...outage],
      terms(9999, { alive: { seenMs: 110 * second } }),
      [80, 1, 20],
    ],
    [
      'the next supervisor tells when the crashed one was last seen',
      [...upAt10, ...outage, start(5000, 110)],
      terms(9999),
      [80, 1, 20],
    ],
    ['only the time asked for', [...upAt10, ...outage], terms(100, { sinceMs: 80 * second }), [50, 1, 10]],
    ['100 means no outage', [...upAt10, ...outage], terms(9_999_999), [99.99, 1, 20]],
  ])('%s', (_, lines, when, [upPercent, outages, longest]) => {
    const { summary } = historyOf(lines, when);
    expect(summary).toEqual([{ tunnel: 'db', upPercent, outages, longestMs: longest * second }]);
  });

  test('leaves out who was not asked for, and who was gone before', () => {
    expect(historyOf(upAt10, terms(20, { takes: () => false }))).toEqual({ changes: [], summary: [] });
    const gone = [...upAt10, change(20, 'up', 'down')];
    expect(historyOf([...gone, end(30)], terms(99, { sinceMs: 50 * second })).changes).toEqual([]);
  });
});

describe('the changes', () => {
  test('tell how long the state they came to lasted, and null while it lasts', () => {
    const { changes } = historyOf([...upAt10, ...outage], terms(110));
    expect(changes.map(({ to, lastedMs, code }) => [to, lastedMs, code])).toEqual([
      ['connecting', 10_000, null],
      ['up', 60_000, null],
      ['retrying', 20_000, 'LINK_LOST'],
      ['up', null, null],
    ]);
  });

  test('tell of a crash, and of an end that was asked for', () => {
    const crash = historyOf(upAt10, terms(99, { alive: { seenMs: 50 * second } })).changes.at(-1);
    expect(crash).toMatchObject({
      at: '1970-01-01T00:00:50.000Z',
      from: 'up',
      to: 'down',
      code: 'DAEMON_DOWN',
    });
    const asked = historyOf([...upAt10, end(60)], terms(99)).changes.at(-1);
    expect(asked).toMatchObject({ from: 'up', to: 'down', code: null, message: 'the supervisor ended' });
  });
});

describe('the lines', () => {
  test('are read back as they were written, and a torn, blank or foreign one is left out', () => {
    const lines = [...upAt10, sleep(1, 2), end(9)];
    const text = lines.map(formatHistoryLine).join('');
    expect(parseHistory(text)).toEqual(lines);
    expect(parseHistory(`\n{"kind":"odd","atMs":1}\nnull\n${text.slice(0, -4)}`)).toEqual(lines.slice(0, -1));
  });

  test('hold nothing that a terminal obeys, and no long message', () => {
    const [line] = [change(0, 'up', 'retrying', 'x\u001b[31m'.repeat(500))].map(formatHistoryLine);
    expect(line).not.toContain('\u001b');
    expect((parseHistory(line ?? '')[0] as { message: string }).message).toHaveLength(500);
  });

  test('are kept for 90 days, 10,000 at most', () => {
    const day = 86_400;
    const ended = [change(0, 'down', 'up'), end(1), start(2 * day), change(2 * day, 'down', 'up')];
    expect(keptOf(ended, 91 * day * second)).toEqual(ended.slice(2));
    const many = Array.from({ length: 10_002 }, (_, at) => change(at, 'down', 'up'));
    const kept = keptOf(many, 20_000 * second);
    expect(kept).toHaveLength(10_000);
    expect(kept.at(-1)).toEqual(many.at(-1));
  });

  test('that tell the state of a tunnel that did not change for longer are kept', () => {
    const day = 86_400;
    const kept = keptOf(upAt10, 200 * day * second);
    expect(historyOf(kept, terms(200 * day, { sinceMs: 199 * day * second }))).toMatchObject({
      changes: [],
      summary: [{ tunnel: 'db', upPercent: 100 }],
    });
  });
});
