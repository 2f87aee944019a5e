// The patience of a waiting command: a time limit that stands still while a person is at a question.
import { setMaxListeners } from 'node:events';
import type { Clock } from '../model/clock.ts';

export interface Patience {
  /** Ends when the time has run out or the outer signal ends. */
  readonly signal: AbortSignal;
  /** True when it was the time that ended it. */
  readonly ranOut: boolean;
  /** A question is open: the clock stands until it is closed as often as opened. */
  pause(question: string): void;
  resume(question: string): void;
  /** Frees the timer. Idempotent. */
  end(): void;
}

export function createPatience(limitMs: number, outer: AbortSignal, clock: Clock): Patience {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal); // each tunnel of the command listens
  const open = new Set<string>();
  let leftMs = limitMs;
  let since = 0;
  let cancel: (() => void) | null = null;
  let ranOut = false;
  const run = (): void => {
    since = clock.monotonic();
    cancel = clock.schedule(Math.max(0, leftMs), () => {
      ranOut = true;
      controller.abort();
    });
  };
  const stop = (): void => {
    if (cancel === null) return;
    cancel();
    cancel = null;
    leftMs -= clock.monotonic() - since;
  };
  const leave = (): void => controller.abort();
  if (outer.aborted) leave();
  else outer.addEventListener('abort', leave, { once: true });
  run();
  return {
    signal: controller.signal,
    get ranOut() {
      return ranOut;
    },
    pause(question) {
      open.add(question);
      stop();
    },
    resume(question) {
      if (open.delete(question) && open.size === 0 && !controller.signal.aborted) run();
    },
    end() {
      stop();
      outer.removeEventListener('abort', leave);
    },
  };
}
