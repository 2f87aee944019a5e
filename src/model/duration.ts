// Durations as people write them: a number and a unit (250ms 30s 5m 2h 1d). A bare number has no meaning here.

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** setTimeout turns a longer wait into none at all; nothing here means to wait 24 days. */
export const longestMs = 2_147_483_647;

/** Milliseconds, or null when the text is not a duration with a unit. `1m30s` is allowed. */
export function parseDuration(text: string): number | null {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return null;
  let total = 0;
  for (const match of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g))
    total += Number(match[1]) * (unitMs[match[2] ?? ''] ?? 0);
  const rounded = Math.round(total);
  return rounded <= longestMs ? rounded : null;
}

/** The shortest exact spelling with one unit: 90000 -> 90s, 60000 -> 1m. Reads back with `parseDuration`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = unitMs[unit] ?? 1;
    if (ms > 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return ms === 0 ? '0s' : `${ms}ms`;
}
