// Receive windows: they grow where the round trip limits, and nowhere else.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { initialTarget, tune, windowLimits } from '../../../src/ssh/channels/window.ts';

const mib = 1024 * 1024;
const plenty = 1024 * mib;

describe('a receive window', () => {
  test('grows while a far link fills it, up to 32 MiB', () => {
    let target = 2 * mib;
    const targets = [];
    for (let ms = 100; ms <= 600; ms += 100) {
      // everything the window allows arrives within each round trip of 100 ms
      ({ target } = tune(
        { target, received: target, sinceMs: ms - 100 },
        { ms, rttMs: 100, spare: plenty },
        windowLimits,
      ));
      targets.push(target / mib);
    }
    expect(targets).toEqual([8, 32, 32, 32, 32, 32]);
  });

  test('stays as it is on a near link, however fast', () => {
    const state = { target: 2 * mib, received: 500 * mib, sinceMs: 0 };
    expect(tune(state, { ms: 1000, rttMs: 0.3, spare: plenty }, windowLimits).target).toBe(2 * mib);
  });

  test('stays as it is on a far link that is not fast', () => {
    const state = { target: 2 * mib, received: mib / 2, sinceMs: 0 };
    expect(tune(state, { ms: 100, rttMs: 100, spare: plenty }, windowLimits).target).toBe(2 * mib);
  });

  test('does not grow beyond what the budget has, and not before the round trip is known', () => {
    const state = { target: 2 * mib, received: 100 * mib, sinceMs: 0 };
    expect(tune(state, { ms: 100, rttMs: 100, spare: mib }, windowLimits).target).toBe(3 * mib);
    expect(tune(state, { ms: 100, rttMs: 100, spare: -5 }, windowLimits).target).toBe(2 * mib);
    expect(tune(state, { ms: 100, rttMs: null, spare: plenty }, windowLimits)).toBe(state);
    expect(tune(state, { ms: 50, rttMs: 100, spare: plenty }, windowLimits)).toBe(state);
  });

  test('shrinks again when the flow has become a trickle', () => {
    const state = { target: 16 * mib, received: 1000, sinceMs: 0 };
    expect(tune(state, { ms: 100, rttMs: 100, spare: plenty }, windowLimits).target).toBe(8 * mib);
  });

  test('is always between the initial and the largest', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 31),
        fc.nat(10_000),
        fc.nat(2000),
        fc.integer({ min: 1, max: 3 }),
        (received, ms, rttMs, power) => {
          const target = tune(
            { target: mib * 2 ** power, received, sinceMs: 0 },
            { ms, rttMs, spare: plenty },
            windowLimits,
          ).target;
          expect(target).toBeGreaterThanOrEqual(windowLimits.initial);
          expect(target).toBeLessThanOrEqual(windowLimits.largest);
        },
      ),
    );
  });

  test('begins smaller when very many share the budget', () => {
    expect(initialTarget(windowLimits, 256 * mib, 0)).toBe(2 * mib);
    expect(initialTarget(windowLimits, 256 * mib, 127)).toBe(mib / 2);
    expect(initialTarget(windowLimits, 256 * mib, 100_000)).toBe(128 * 1024);
  });
});
