// The crowd: how many connections live, and the wait until the last has left.
import type { Clock } from '../model/clock.ts';

export class Crowd {
  readonly #clock: Clock;
  #inside = 0;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  enter(): void {
    this.#inside += 1;
  }

  leave(): void {
    this.#inside -= 1;
    if (this.#inside === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Resolves when nobody is inside, or after `ms`. */
  async drained(ms: number): Promise<void> {
    if (ms <= 0 || this.#inside === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#clock.schedule(ms, resolve);
      this.#waiting.push(() => {
        cancel();
        resolve();
      });
    });
  }
}
