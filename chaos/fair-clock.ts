// A clock for bounds on a machine that others use too: time in which this process could not run does not count, since the
// program under test could then not run either.

const tickMs = 10;
const mostPerTickMs = 25;

export interface FairClock extends Disposable {
  /** Milliseconds since the clock was made, without those that nobody got. */
  now(): number;
  /** Resolves after so many of them; at once when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export function startFairClock(): FairClock {
  let now = 0;
  let last = performance.now();
  const waiting = new Set<{ readonly due: number; readonly wake: () => void }>();
  const ticking = setInterval(() => {
    const real = performance.now();
    now += Math.min(real - last, mostPerTickMs);
    last = real;
    for (const { due, wake } of waiting) if (due <= now) wake();
  }, tickMs);
  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const wake = (): void => {
          waiting.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const sleeper = { due: now + ms, wake };
        waiting.add(sleeper);
        signal?.addEventListener('abort', wake);
      }),
    [Symbol.dispose]() {
      clearInterval(ticking);
      for (const { wake } of waiting) wake();
    },
  };
}
