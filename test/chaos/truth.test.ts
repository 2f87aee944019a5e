// What the status said, held against what was so: each lie is seen, and nothing true is called one.
import { describe, expect, test } from 'vitest';
import {
  isToldLoss,
  lieAboutCut,
  lieAboutService,
  moveWatch,
  recoveryMs,
  saidAt,
  servesAt,
  wasUpThroughout,
  type History,
  type Sample,
} from '../../chaos/truth.ts';

/** Up on one link until 5000, away until 7000, up on another one. */
const outage: History = [
  { atMs: 0, state: 'connecting', since: 'a' },
  { atMs: 100, state: 'up', since: 'b' },
  { atMs: 5000, state: 'retrying', since: 'c' },
  { atMs: 6000, state: 'connecting', since: 'c' },
  { atMs: 7000, state: 'up', since: 'd' },
];
const ever: History = [{ atMs: 0, state: 'up', since: 'b' }];

describe('a history', () => {
  test('tells what was said at a moment', () => {
    expect(saidAt(outage, 99)?.state).toBe('connecting');
    expect(saidAt(outage, 100)?.state).toBe('up');
    expect(saidAt(outage, 1e9)?.since).toBe('d');
    expect(saidAt([], 5)).toBeNull();
  });

  test('tells whether a link was up all the time', () => {
    expect(wasUpThroughout(outage, 100, 4999)).toBe(true);
    expect(wasUpThroughout(outage, 50, 200)).toBe(false);
    expect(wasUpThroughout(outage, 4000, 5000)).toBe(false);
    expect(wasUpThroughout(outage, 4000, 8000)).toBe(false);
    expect(wasUpThroughout([{ atMs: 10, state: 'up', since: 'b' }], 0, 20)).toBe(false);
  });
});

describe('a status', () => {
  test('that calls a link up for more than a second after it was cut is a lie', () => {
    expect(lieAboutCut(ever, { cutMs: 3000, knownMs: 3000 })).toMatch(/still up/);
    expect(lieAboutCut(outage, { cutMs: 3000, knownMs: 3000 })).toMatch(/still up/);
    expect(lieAboutCut(outage, { cutMs: 4500, knownMs: 4500 })).toBeNull();
    expect(lieAboutCut(outage, { cutMs: 3000, knownMs: 4500 })).toBeNull(); // the news had to come from afar
    expect(lieAboutCut(outage, { cutMs: 5500, knownMs: 5500 })).toBeNull(); // it was not up when it was cut
  });

  test('that calls a tunnel away for more than a second while it serves is a lie', () => {
    expect(lieAboutService(outage, 5100, 6200)).toMatch(/never up \(retrying, connecting\)/);
    expect(lieAboutService(outage, 5100, 7500)).toBeNull();
    expect(lieAboutService(outage, 4900, 6100)).toBeNull();
  });

  test('that was up too shortly to be told is no lie: the next trouble has another beginning', () => {
    const retrying = (atMs: number, since: string): Sample => ({ atMs, state: 'retrying', since });
    const connecting: Sample = { atMs: 5500, state: 'connecting', since: 'c' };
    expect(lieAboutService([retrying(5000, 'c'), retrying(5800, 'd')], 5200, 6900)).toBeNull();
    expect(lieAboutService([retrying(5000, 'c'), connecting, retrying(5800, 'c')], 5200, 6900)).toMatch(
      /never up/,
    );
    expect(lieAboutService([retrying(5000, 'c'), retrying(7000, 'd')], 5200, 6900)).toMatch(/never up/);
  });
});

describe('a recovery', () => {
  test('is the time until the tunnel was up for good', () => {
    expect(recoveryMs(outage, 4000, 9000)).toBe(3000);
    expect(recoveryMs(outage, 6500, 9000)).toBe(500);
    expect(recoveryMs(outage, 8000, 9000)).toBe(0);
    expect(recoveryMs(outage, 4000, 6000)).toBe(0); // the next fault came first
  });

  test('is none when a listener only moved to another session of a link that was not lost', () => {
    const moves: History = [
      ...outage,
      { atMs: 8000, state: 'connecting', since: 'e', moved: true },
      { atMs: 8100, state: 'up', since: 'f', moved: true },
    ];
    expect(recoveryMs(moves, 4000, 9000)).toBe(3000);
    expect([servesAt(moves, 8050), servesAt(moves, 6500)]).toEqual([true, false]);
  });
});

describe('a listener', () => {
  const trouble = { code: 'LINK_LOST', message: 'lost', hint: null, at: '' } as const;
  const told = (
    ...all: readonly (readonly ['up' | 'connecting' | 'retrying', boolean, number])[]
  ): boolean[] => {
    const moves = moveWatch();
    return all.map(([state, bad, reconnects]) => moves({ state, error: bad ? trouble : null, reconnects }));
  };

  test('moves when its tunnel is on its way to up without a trouble and a reconnect', () => {
    expect(
      told(['connecting', false, 0], ['up', false, 0], ['connecting', false, 0], ['up', false, 0]),
    ).toEqual([false, false, true, true]);
  });

  test.each([
    ['was lost', ['connecting', true, 0], ['up', false, 1]],
    ['came back while nobody looked', ['up', false, 1], ['up', false, 1]],
    ['was refused', ['retrying', true, 0], ['up', false, 0]],
  ] as const)('does not when its tunnel %s', (_what, one, other) => {
    expect(told(['up', false, 0], one, other)[1]).toBe(false);
    expect(told(['up', false, 0], one)).toEqual([false, false]);
  });
});

describe('a reset on a tunnel that was up all the time', () => {
  const losses = [{ atMs: 9000, message: 'no byte for 2s' }];
  test.each([
    ['is told by a loss about then', 2000, 9050, true],
    ['is told though the status came late', 2000, 7500, true],
    ['is told by none that was long before', 2000, 12_500, false],
    ['is told by none that came long after', 2000, 4900, false],
    ['is told by none when it began while the session was silent already', 8500, 9050, false],
  ])('%s', (_what, startedMs, lostMs, is) => {
    const times = { startedMs, lostMs, toldMs: lostMs + 4000 };
    expect(isToldLoss(losses, times)).toBe(is);
    expect(isToldLoss([], times)).toBe(false);
  });
});
