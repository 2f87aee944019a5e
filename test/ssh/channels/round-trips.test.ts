// Round trips: what status tells is not what was measured in the burst of logins.
import { expect, test } from 'vitest';
import { RoundTrips } from '../../../src/ssh/channels/round-trips.ts';
import { manualClock } from '../../helpers/manual-clock.ts';

/** Each ping takes as long as it is told, by a clock of the test's own. */
function server(): { readonly asked: (() => void)[]; readonly answer: (busyMs: number) => void } {
  const asked: (() => void)[] = [];
  const answer = (busyMs: number): void => {
    const until = performance.now() + busyMs;
    while (performance.now() < until);
    asked.shift()?.();
  };
  return { asked, answer };
}

test('the burst is measured for the windows and forgotten by what is told', () => {
  const clock = manualClock();
  const { asked, answer } = server();
  const trips = new RoundTrips({ clock, ask: (answered) => void asked.push(answered) });
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
  const { asked, answer } = server();
  const trips = new RoundTrips({ clock: manualClock(), ask: (answered) => void asked.push(answered) });
  trips.ping();
  answer(0);
  trips.ping();
  answer(30);
  expect(trips.latencyMs).toBeLessThan(30);
});

test('a session that ended asks no more', () => {
  const clock = manualClock();
  const { asked } = server();
  const trips = new RoundTrips({ clock, ask: (answered) => void asked.push(answered) });
  trips.start();
  trips.stop();
  expect(clock.armed()).toBe(0);
});
