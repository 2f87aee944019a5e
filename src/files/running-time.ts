// Deadlines in the time that this process runs: one that was stopped, or slept with its machine, has not waited meanwhile.
import { systemClock, type Cancel, type Clock } from '../model/clock.ts';

/** On the clock that is never set. Not by `performance`: with that Node loads ten modules, and `status` passes here. */
export const runningMs = (): number => process.uptime() * 1000;

const slices = 10;

/** Runs `task` after so many milliseconds in which this process ran. A pause of any length counts as a tenth of them at most. */
export function afterRunning(
  limitMs: number,
  task: () => void,
  clock: Pick<Clock, 'schedule'> = systemClock,
): Cancel {
  let left = slices;
  const look = (): void => {
    left -= 1;
    if (left === 0) task();
    else cancel = clock.schedule(limitMs / slices, look);
  };
  let cancel = clock.schedule(limitMs / slices, look);
  return () => cancel();
}
