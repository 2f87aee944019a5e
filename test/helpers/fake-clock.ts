// A clock that tests own: time passes only in `advance`, one timer after the other.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Cancel, Clock } from '../../src/model/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly order: number;
  readonly task: () => void;
}

/** Lets everything happen that waits for no timer. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn += 1) await nextTurn();
}

export class FakeClock implements Clock {
  #nowMs = 5_000;
  #wallAheadMs = Date.UTC(2026, 10, 22, 8);
  #timers: Timer[] = [];
  #order = 0;

  now(): number {
    return this.wallAt(this.#nowMs);
  }

  monotonic(): number {
    return this.#nowMs;
  }

  wallAt(monotonicMs: number): number {
    return this.#wallAheadMs + monotonicMs;
  }

  schedule(delayMs: number, task: () => void): Cancel {
    this.#order += 1;
    const timer: Timer = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order, task };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** Runs what is due within the time, in order, with everything it causes. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (let timer = this.#due(endMs); timer !== undefined; timer = this.#due(endMs)) {
      const { task, atMs } = timer;
      this.#timers = this.#timers.filter((other) => other !== timer);
      this.#nowMs = Math.max(this.#nowMs, atMs);
      task();
      await settle();
    }
    this.#nowMs = endMs;
  }

  /** The wall clock alone moves, forward or back: somebody sets it, or the machine sleeps. */
  setWall(byMs: number): void {
    this.#wallAheadMs += byMs;
  }

  #due(endMs: number): Timer | undefined {
    return this.#timers
      .filter(({ atMs }) => atMs <= endMs)
      .toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
  }
}
