// Units as people read them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  count,
  formatAge,
  formatBytes,
  formatElapsed,
  formatLatency,
  formatMoment,
  formatWait,
} from '../../src/render/units.ts';

describe('units', () => {
  test.each([
    [0, '0s'],
    [999, '0s'],
    [12_400, '12s'],
    [120_000, '2m'],
    [3_599_999, '59m'],
    [7_200_000, '2h'],
    [5 * 86_400_000, '5d'],
  ])('an age of %d ms reads %s', (ms, text) => expect(formatAge(ms)).toBe(text));

  test('a wait is rounded up and is never 0s', () => {
    expect(formatWait(1)).toBe('1s');
    expect(formatWait(3500)).toBe('4s');
    expect(formatWait(0)).toBe('1s');
    expect(formatWait(-3000)).toBe('1s');
  });

  test.each([
    [0, '0 B'],
    [15, '15 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1_258_291, '1.2 MiB'],
    [1_048_575, '1.0 MiB'],
    [128_849_018_880, '120 GiB'],
  ])('%d bytes read %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  test('a size never takes more than eight columns', () => {
    fc.assert(fc.property(fc.nat(), (bytes) => formatBytes(bytes).length <= 8));
  });

  test('measured times, latencies and counts', () => {
    expect(formatElapsed(3.2)).toBe('3 ms');
    expect(formatElapsed(3000)).toBe('3.0 s');
    expect(formatLatency(12.3)).toBe('12');
    expect(formatLatency(0.42)).toBe('0.4');
    expect(formatLatency(3.01)).toBe('3');
    expect(formatLatency(null)).toBe('-');
    expect(count(1, 'tunnel')).toBe('1 tunnel');
    expect(count(12, 'tunnel')).toBe('12 tunnels');
  });

  test('a moment of another day has its date', () => {
    const at = new Date(2026, 10, 22, 9, 14, 7);
    expect(formatMoment(at.toISOString(), at.getTime() + 1000)).toBe('09:14:07');
    expect(formatMoment(at.toISOString(), at.getTime() + 86_400_000)).toBe('2026-11-22 09:14:07');
  });
});
