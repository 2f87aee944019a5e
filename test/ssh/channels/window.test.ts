// Receive windows: they grow where the round trip limits, and nowhere else.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { initialTarget, tune, windowLimits, type WindowState } from '../../../src/ssh/channels/window.ts';

const mib = 1024 * 1024;
const plenty = 1024 * mib;

const look = (
  target: number,
  received: number,
  now: Partial<{ ms: number; rttMs: number | null; spare: number; open: number; grew: boolean }> = {},
): WindowState => {
  const { ms = 100, rttMs = 100, spare = plenty, open = 1, grew = false } = now;
  return tune({ target, received, sinceMs: 0, grew }, { ms, rttMs, spare, open }, windowLimits);
};

describe('a receive window', () => {
  test('grows while a far link fills it, a look apart, up to 32 MiB', () => {
    let state: WindowState = { target: 2 * mib, received: 0, sinceMs: 0, grew: false };
    const targets = [];
    for (let ms = 100; ms <= 2200; ms += 100) {
      // everything the window allows arrives within each round trip of 100 ms
      const seen = { ...state, received: state.target };
      state = tune(seen, { ms, rttMs: 100, spare: plenty, open: 1 }, windowLimits);
      targets.push(state.target / mib);
    }
    expect(targets.filter((_target, at) => at % 2 === 0)).toEqual([4, 8, 12, 16, 20, 24, 28, 32, 32, 32, 32]);
    expect(targets.slice(0, 4)).toEqual([4, 4, 8, 8]);
  });

  test('stays as it is on a near link, however fast', () => {
    expect(look(2 * mib, 500 * mib, { ms: 1000, rttMs: 0.3 }).target).toBe(2 * mib);
  });

  test('stays as it is where the path holds less than it: sshd would keep the rest', () => {
    // 50 MB/s at 100 ms are 5 MB
    expect(look(8 * mib, 5_000_000).target).toBe(8 * mib);
    expect(look(8 * mib, 6_000_000, { grew: true }).target).toBe(8 * mib);
  });

  test('does not grow beyond what the budget has, and not before the round trip is known', () => {
    expect(look(2 * mib, 100 * mib, { spare: mib }).target).toBe(3 * mib);
    expect(look(2 * mib, 100 * mib, { spare: -5 }).target).toBe(2 * mib);
    const state = { target: 2 * mib, received: 100 * mib, sinceMs: 0, grew: false };
    expect(tune(state, { ms: 100, rttMs: null, spare: plenty, open: 1 }, windowLimits)).toBe(state);
    expect(tune(state, { ms: 50, rttMs: 100, spare: plenty, open: 1 }, windowLimits)).toBe(state);
  });

  test('shrinks to what is used, a quarter at a time, and not below the one it began with', () => {
    expect(look(32 * mib, 1000).target).toBe(24 * mib);
    expect(look(20 * mib, 10.9 * mib).target).toBe(Math.floor(10.9 * mib * 1.4));
    expect(look(9 * mib, 1000).target).toBe(8 * mib);
    expect(look(4 * mib, 0, { rttMs: 1 }).target).toBe(3 * mib);
    expect(look(2.1 * mib, 0, { rttMs: 1 }).target).toBe(2 * mib);
  });

  test('is always between the initial and the largest', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 31),
        fc.nat(10_000),
        fc.nat(2000),
        fc.integer({ min: 1, max: 5 }),
        (received, ms, rttMs, power) => {
          const { target } = look(mib * 2 ** power, received, { ms, rttMs });
          expect(Number.isInteger(target)).toBe(true); // the wire takes no other
          expect(target).toBeGreaterThanOrEqual(windowLimits.initial);
          expect(target).toBeLessThanOrEqual(windowLimits.largest);
        },
      ),
    );
  });

  test('is shared on a short way, where what is beyond it only waits in sshd, and not on a long one', () => {
    const begin = (open: number, rttMs: number): number =>
      initialTarget(windowLimits, 256 * mib, open, { rttMs, served: 0 }) / mib;
    expect([0, 1, 3, 7, 50].map((open) => begin(open, 0.3))).toEqual([2, 1, 0.5, 0.5, 0.5]);
    expect([0, 1, 3, 7].map((open) => begin(open, 50))).toEqual([8, 8, 8, 8]);
    // and those that were there before give way
    expect(look(2 * mib, 100 * mib, { ms: 1000, rttMs: 0.3, open: 8 }).target).toBe(1.5 * mib);
    expect(look(0.6 * mib, 100 * mib, { ms: 1000, rttMs: 0.3, open: 8 }).target).toBe(0.5 * mib);
    expect(look(2 * mib, 100 * mib, { ms: 1000, rttMs: 0.3, open: 1 }).target).toBe(2 * mib);
  });

  test('begins larger where the round trip is long, and with what has served the session', () => {
    const begin = (rttMs: number | null, served: number): number =>
      initialTarget(windowLimits, 256 * mib, 0, { rttMs, served }) / mib;
    expect(begin(null, 0)).toBe(2);
    expect(begin(5, 0)).toBe(2);
    expect(begin(50, 0)).toBe(8);
    expect(begin(50, 16 * mib)).toBe(16);
  });

  test('begins smaller when very many share the budget', () => {
    const begin = (open: number): number =>
      initialTarget(windowLimits, 256 * mib, open, { rttMs: 100, served: 16 * mib });
    expect(begin(0)).toBe(16 * mib);
    expect(begin(127)).toBe(mib / 2);
    expect(begin(100_000)).toBe(128 * 1024);
  });
});
