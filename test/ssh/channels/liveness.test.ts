// Liveness with a clock of our own: silence is asked about, life is never taken for death. Round trips: what status tells is
// not what was measured in the burst of logins.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TunnelError } from '../../../src/errors.ts';
import { systemClock, type Clock } from '../../../src/model/clock.ts';
import { RoundTrips, watchLiveness } from '../../../src/ssh/channels/liveness.ts';
import { startAuthServer } from '../../helpers/auth-server.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { manualClock as steppedClock } from '../../helpers/manual-clock.ts';
import { hostOf, testContext, testDialer } from '../../helpers/ssh-dialer.ts';
import { makeKey } from '../../helpers/sshd.ts';
import { hintOf } from '../../helpers/hint.ts';

function manualClock(): Clock & { tick(): void; readonly waiting: boolean } {
  let task: (() => void) | null = null;
  return {
    ...systemClock,
    schedule(_delay, next) {
      task = next;
      return () => {
        if (task === next) task = null;
      };
    },
    tick() {
      const due = task;
      task = null;
      due?.();
    },
    get waiting() {
      return task !== null;
    },
  };
}

function watched(count = 3): {
  tick(): void;
  live(): void;
  pings(): number;
  late(): number;
  dead(): number | null;
  stop(): void;
  waiting(): boolean;
} {
  const clock = manualClock();
  let signs = 0;
  let pings = 0;
  let late = 0;
  let deadAfter: number | null = null;
  const stop = watchLiveness({
    clock,
    intervalMs: 15_000,
    count,
    signs: () => signs,
    ping: () => (pings += 1),
    late: () => (late += 1),
    dead: (silentMs) => (deadAfter = silentMs),
  });
  return {
    tick: () => clock.tick(),
    live: () => (signs += 1),
    pings: () => pings,
    late: () => late,
    dead: () => deadAfter,
    stop,
    waiting: () => clock.waiting,
  };
}

describe('liveness', () => {
  test('pings after one silent interval, is late after the next, and gives up after count unanswered pings', () => {
    const link = watched(3);
    const seen = Array.from({ length: 4 }, () => {
      link.tick();
      return [link.pings(), link.late(), link.dead()];
    });
    expect(seen).toEqual([
      [1, 0, null],
      [2, 1, null],
      [3, 2, null],
      [3, 2, 60_000],
    ]);
    expect(link.waiting()).toBe(false);
  });

  test('never pings a link that delivers', () => {
    const link = watched();
    for (let turn = 0; turn < 100; turn += 1) {
      link.live();
      link.tick();
    }
    expect([link.pings(), link.dead()]).toEqual([0, null]);
  });

  test('forgets earlier silence at any sign of life', () => {
    const link = watched(2);
    for (let turn = 0; turn < 50; turn += 1) {
      link.tick();
      link.tick();
      link.live();
      link.tick();
    }
    expect(link.dead()).toBeNull();
  });

  test('stops when told, and never starts with an interval of zero', () => {
    const link = watched();
    link.stop();
    expect(link.waiting()).toBe(false);
    const clock = manualClock();
    watchLiveness({
      clock,
      intervalMs: 0,
      count: 3,
      signs: () => 0,
      ping: () => undefined,
      late: () => undefined,
      dead: () => undefined,
    });
    expect(clock.waiting).toBe(false);
  });
});

test('a server that answers no ping at all is told as that, with the setting that ends the cutting', async () => {
  await using server = await startAuthServer(['publickey'], (context, connection) => {
    // ssh2 refuses a request it does not know, which is an answer
    Object.assign((connection as unknown as { _protocol: object })._protocol, {
      requestFailure: () => undefined,
    });
    context.accept();
  });
  const identity = makeKey(join(temporaryFolder('key'), 'id'), ['-t', 'ed25519']);
  const keepalive = { intervalMs: 50, count: 1 };
  const host = hostOf({ port: server.port, user: 'me', identity }, { keepalive });
  const session = await testDialer().dialer.dial(host, { via: null, transport: null }, testContext());
  const reason = await new Promise<TunnelError | null>((resolve) => session.onEnd(resolve));
  expect(reason).toMatchObject({ code: 'LINK_LOST' });
  expect(reason?.message).toContain('it has not answered a single ping');
  expect(hintOf(reason)).toMatch(/^keepalive: \{ interval: 0s \} +# under host test/);
});

/** Each ping takes as long as it is told, by a clock of the test's own. */
function peer(): { readonly asked: (() => void)[]; readonly answer: (busyMs: number) => void } {
  const asked: (() => void)[] = [];
  const answer = (busyMs: number): void => {
    const until = performance.now() + busyMs;
    while (performance.now() < until);
    asked.shift()?.();
  };
  return { asked, answer };
}

test('the burst is measured for the windows and forgotten by what is told', () => {
  const clock = steppedClock();
  const { asked, answer } = peer();
  const trips = new RoundTrips(clock, (answered) => void asked.push(answered));
  expect(trips.latencyMs).toBeNull();
  expect(trips.leastMs).toBeNull();
  trips.start();
  while (asked.length > 0) answer(25);
  expect(trips.latencyMs).toBeGreaterThanOrEqual(25);
  clock.advance(1_999);
  expect(asked).toHaveLength(0);
  clock.advance(1);
  while (asked.length > 0) answer(0);
  expect(trips.latencyMs).toBeLessThan(25);
  expect(trips.leastMs).toBeLessThan(25);
});

test('one ping that waited behind other bytes is not what is told', () => {
  const { asked, answer } = peer();
  const trips = new RoundTrips(steppedClock(), (answered) => void asked.push(answered));
  trips.ping();
  answer(0);
  trips.ping();
  answer(30);
  expect(trips.latencyMs).toBeLessThan(30);
});

test('a session that ended asks no more', () => {
  const clock = steppedClock();
  const { asked } = peer();
  const trips = new RoundTrips(clock, (answered) => void asked.push(answered));
  trips.start();
  trips.stop();
  expect(clock.armed()).toBe(0);
});
