// Deadlines in the time that this process runs: one that was stopped, or slept with its machine, has not waited meanwhile.
import type { Cancel } from '../model/clock.ts';

const slices = 10;

/** Runs `task` after so many milliseconds in which this process ran. A pause of any length counts as a tenth of them at most. */
export function afterRunning(limitMs: number, task: () => void): Cancel {
  let left = slices;
  const look = (): void => {
    left -= 1;
    if (left === 0) task();
    else timer = setTimeout(look, limitMs / slices);
  };
  let timer = setTimeout(look, limitMs / slices);
  return () => clearTimeout(timer);
}
