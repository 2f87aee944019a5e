// The clock as a value: handed in from the wiring, so that tests own time.

/** Ends a timer. Idempotent. */
export type Cancel = () => void;

export interface Clock {
  /** Wall clock, milliseconds since 1970: to be shown, or compared with another wall clock's. Somebody may set it. */
  now(): number;
  /** Milliseconds since some moment, which nobody can set (CLOCK_MONOTONIC): for every duration and every deadline. */
  monotonic(): number;
  /** The time that the wall clock, as it is set now, showed or will show at a moment of `monotonic`. */
  wallAt(monotonicMs: number): number;
  /** Runs `task` once after `delayMs`, unless cancelled. */
  schedule(delayMs: number, task: () => void): Cancel;
}

/** Less than this is rounding, or a clock that is being slewed: no reason to show another time than a moment ago. */
const aheadNoticedMs = 100;
let aheadMs = 0;

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  wallAt(monotonicMs) {
    const now = Date.now() - performance.now();
    if (Math.abs(now - aheadMs) > aheadNoticedMs) aheadMs = now;
    return Math.round(aheadMs + monotonicMs);
  },
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
