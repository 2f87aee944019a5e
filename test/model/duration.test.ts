// Durations: a unit is needed, and what is written reads back.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/model/duration.ts';

describe('durations', () => {
  test.each([
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['0s', 0],
    ['1.5s', 1500],
    ['1m30s', 90_000],
    ['1d', 86_400_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['30', '', 's', '-1s', '1 s', '30S', '1e3s', '30x', '99d'])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test('read back as they were written', () => {
    fc.assert(fc.property(fc.nat(2_147_483_647), (ms) => parseDuration(formatDuration(ms)) === ms));
  });
});
