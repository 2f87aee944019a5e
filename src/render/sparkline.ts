// Sparklines: the last values as bars of a line of text, the latest at its right end.

const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/**
 * `width` columns of bars from 0 to the greatest of the values, or to `least` where all are smaller; a value that is not
 * known, and what is before the first, is blank.
 */
export function sparkline(values: readonly (number | null)[], width: number, least = 0): string {
  const shown = values.slice(-width);
  const top = Math.max(least, ...shown.map((value) => value ?? 0));
  return shown
    .map((value) => (value === null ? ' ' : barOf(value, top)))
    .join('')
    .padStart(width);
}

/** Something is never drawn as nothing: only 0 has the lowest bar. */
function barOf(value: number, top: number): string {
  const step = value <= 0 || top <= 0 ? 0 : Math.max(1, Math.round((value / top) * (bars.length - 1)));
  return bars[step] ?? bars[0];
}
