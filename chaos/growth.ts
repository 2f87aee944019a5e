// Whether something grew over a long run, by medians, which single peaks do not move. Pure.

/** A value at a moment of the run. */
export type Point = readonly [atSeconds: number, value: number];

export interface Growth {
  readonly early: number;
  readonly late: number;
  readonly bound: number;
  readonly grew: boolean;
}

/** What may be added between the second quarter of a run and its last one. */
export interface Allowance {
  readonly share: number;
  readonly plus: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other);
  const middle = sorted.length / 2;
  const upper = sorted[Math.floor(middle)] ?? Number.NaN;
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? Number.NaN) + upper) / 2 : upper;
}

/**
 * The median of the last quarter of the run against that of the second one. The first quarter is left out: in it a heap takes the
 * size that the load wants, code is compiled, buffers are kept for the next use. A leak of any steady rate goes on in the half
 * that lies between the two medians. Null: fewer than four points in a quarter, too few to tell.
 */
export function growthOf(points: readonly Point[], { share, plus }: Allowance): Growth | null {
  const first = points[0]?.[0] ?? 0;
  const length = (points.at(-1)?.[0] ?? 0) - first;
  const between = (from: number, to: number): number[] =>
    points
      .filter(([at]) => at >= first + from * length && at <= first + to * length)
      .map(([, value]) => value);
  const [second, last] = [between(0.25, 0.5), between(0.75, 1)];
  if (second.length < 4 || last.length < 4) return null;
  const [early, late] = [median(second), median(last)];
  const bound = early * (1 + share) + plus;
  return { early, late, bound, grew: late > bound };
}
