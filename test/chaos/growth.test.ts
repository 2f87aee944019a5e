// Growth by medians: a leak is seen, a peak and a start that settles are not.
import { describe, expect, test } from 'vitest';
import { growthOf, median, type Point } from '../../chaos/growth.ts';

const run = (value: (minute: number) => number): Point[] =>
  Array.from({ length: 61 }, (_, minute) => [minute * 60, value(minute)] as const);
const allowance = { share: 0.1, plus: 8 };

describe('growth', () => {
  test('is seen when 1 MiB a minute is never given back', () => {
    expect(
      growthOf(
        run((minute) => 100 + minute),
        allowance,
      ),
    ).toMatchObject({ grew: true });
  });

  test('is not a first quarter in which the heap takes its size, nor a few peaks at the end', () => {
    const settling = run((minute) => Math.min(150, 60 + 10 * minute));
    expect(growthOf(settling, allowance)).toEqual({ early: 150, late: 150, bound: 173, grew: false });
    const peaks = run((minute) => (minute > 55 ? 900 : 150));
    expect(growthOf(peaks, allowance)).toMatchObject({ grew: false });
  });

  test('cannot be told from a handful of samples', () => {
    expect(growthOf(run(() => 1).slice(0, 8), allowance)).toBeNull();
    expect(growthOf([], allowance)).toBeNull();
  });

  test('median is the middle one, or lies between the two in the middle', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([1, 9, 5, 6])).toBe(5.5);
  });
});
