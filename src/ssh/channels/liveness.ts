// Liveness: a dead peer is noticed by silence. Every byte received is life; only silence is asked about (SPEC 3).
import type { Cancel, Clock } from '../../model/clock.ts';

export interface LivenessParts {
  readonly clock: Clock;
  /** Milliseconds; 0 switches it off. */
  readonly intervalMs: number;
  readonly count: number;
  /** Grows with every sign of life: bytes received, and bytes the peer took while our queue was full. */
  signs(): number;
  ping(): void;
  /** Silent for `interval * (count + 1)`. */
  dead(silentMs: number): void;
}

/**
 * Looks once an interval. No sign since the last look: a ping. `count` pings in a row without a sign: dead.
 * A look that comes late (the machine slept) is one look, so that waking up never kills a link unasked.
 */
export function watchLiveness(parts: LivenessParts): Cancel {
  if (parts.intervalMs <= 0) return () => undefined;
  let seen = parts.signs();
  let unanswered = 0;
  let cancel: Cancel = () => undefined;
  const look = (): void => {
    const signs = parts.signs();
    const alive = signs !== seen;
    seen = signs;
    if (alive) unanswered = 0;
    else if (unanswered >= Math.max(1, parts.count)) return parts.dead(parts.intervalMs * (unanswered + 1));
    else {
      unanswered += 1;
      parts.ping();
    }
    cancel = parts.clock.schedule(parts.intervalMs, look);
  };
  cancel = parts.clock.schedule(parts.intervalMs, look);
  return () => cancel();
}
