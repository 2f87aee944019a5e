// Round trips of one session, measured with pings: what windows are sized by, and the latency that status tells.
import type { Cancel, Clock } from '../../model/clock.ts';

export interface RoundTripParts {
  readonly clock: Clock;
  /** Sends a ping; `answered` is called once, or never. */
  readonly ask: (answered: () => void) => void;
}

/** Those of the login: the first waits for a server that has just begun, and none may have been alone. */
const atLogin = 4;
/** When the burst of logins of an `up` is over: what was measured in it tells of our own haste. */
const settledMs = 2_000;
/** The latency that is told is the least of so many: a ping behind other bytes says nothing of the way. */
const latest = 3;
const remembered = 8;

export class RoundTrips {
  readonly #parts: RoundTripParts;
  #measured: readonly number[] = [];
  #cancel: Cancel = () => undefined;

  constructor(parts: RoundTripParts) {
    this.#parts = parts;
  }

  /** The session begins: some pings at once, for the windows, and some once the haste is over, for people. */
  start(): void {
    this.#measure(atLogin);
    this.#cancel = this.#parts.clock.schedule(settledMs, () => this.#measure(latest));
  }

  stop(): void {
    this.#cancel();
  }

  /** Milliseconds of the idle way, as far as it is known; null before the first answer. */
  get leastMs(): number | null {
    return least(this.#measured);
  }

  /** Milliseconds as of late, in hundredths; null before the first answer. */
  get latencyMs(): number | null {
    const ms = least(this.#measured.slice(-latest));
    return ms === null ? null : Math.round(ms * 100) / 100;
  }

  ping(answered: (ms: number) => void = () => undefined): void {
    const sent = performance.now();
    this.#parts.ask(() => {
      const ms = performance.now() - sent;
      this.#measured = [...this.#measured.slice(1 - remembered), ms];
      answered(ms);
    });
  }

  #measure(times: number): void {
    if (times > 0) this.ping(() => this.#measure(times - 1));
  }
}

function least(measured: readonly number[]): number | null {
  return measured.length === 0 ? null : Math.min(...measured);
}
