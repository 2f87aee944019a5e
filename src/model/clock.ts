// The clock as a value: handed in from the wiring, so that tests own time.

/** Ends a timer. Idempotent. */
export type Cancel = () => void;

export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number;
  /** Runs `task` once after `delayMs`, unless cancelled. */
  schedule(delayMs: number, task: () => void): Cancel;
}

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};
