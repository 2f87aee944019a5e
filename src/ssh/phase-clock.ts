// The deadline of a dial's present phase, stopped while a person is at a question.
import type { Cancel, Clock } from '../model/clock.ts';

export interface PhaseClock {
  /** A new phase, or a sign of life within one: the whole time again. */
  start(ms: number): void;
  /** Somebody is at a question. Nests. */
  pause(): void;
  resume(): void;
  stop(): void;
}

export function createPhaseClock(clock: Clock, expired: () => void): PhaseClock {
  let cancel: Cancel = () => undefined;
  let paused = 0;
  let length = 0;
  let stopped = true;
  const arm = (): void => {
    cancel();
    if (paused === 0 && !stopped) cancel = clock.schedule(length, expired);
  };
  return {
    start(ms) {
      length = ms;
      stopped = false;
      arm();
    },
    pause() {
      paused += 1;
      cancel();
    },
    resume() {
      paused -= 1;
      // the whole time again: how long a person took says nothing about the server
      if (paused === 0) arm();
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}
