// A clock that stands still until the test moves it.
import type { Clock } from '../../src/model/clock.ts';

export interface ManualClock extends Clock {
  /** The wall clock alone moves, forward or back: somebody sets it, or the machine sleeps. */
  setWall(byMs: number): void;
  /** Moves time on, running what falls due in order. */
  advance(ms: number): void;
  /** Timers that are armed: a test ends with none. */
  readonly armed: () => number;
}

export function manualClock(startMs = 1_000_000): ManualClock {
  let nowMs = 5_000;
  let wallAheadMs = startMs - nowMs;
  let number = 0;
  const timers = new Map<number, { atMs: number; task: () => void }>();
  return {
    now: () => wallAheadMs + nowMs,
    monotonic: () => nowMs,
    wallAt: (monotonicMs) => wallAheadMs + monotonicMs,
    setWall: (byMs) => void (wallAheadMs += byMs),
    schedule(delayMs, task) {
      const id = (number += 1);
      timers.set(id, { atMs: nowMs + delayMs, task });
      return () => timers.delete(id);
    },
    advance(ms) {
      const endMs = nowMs + ms;
      for (;;) {
        const due = [...timers]
          .filter(([, { atMs }]) => atMs <= endMs)
          .sort((a, b) => a[1].atMs - b[1].atMs)[0];
        if (due === undefined) break;
        timers.delete(due[0]);
        nowMs = Math.max(nowMs, due[1].atMs);
        due[1].task();
      }
      nowMs = endMs;
    },
    armed: () => timers.size,
  };
}
