// Pings: a dead peer is noticed by silence (every byte received is life; only silence is asked about, SPEC 3), and the round
// trip of the way is measured.
import type { Cancel, Clock } from '../../model/clock.ts';

export interface LivenessParts {
  readonly clock: Clock;
  /** Milliseconds; 0 switches it off. */
  readonly intervalMs: number;
  readonly count: number;
  /** Grows with every sign of life: bytes received, and bytes the peer took while our queue was full. */
  signs(): number;
  ping(): void;
  /** A ping was not answered for an interval, and there is still time. */
  late(): void;
  /** Silent for `interval * (count + 1)`. */
  dead(silentMs: number): void;
}

/**
 * Looks once an interval. No sign since the last look: a ping. `count` pings in a row without a sign: dead.
 * A look that comes late (the machine slept) is one look, so that waking up never kills a link unasked.
 */
export function watchLiveness(parts: LivenessParts): Cancel {
  if (parts.intervalMs <= 0) return () => undefined;
  let seen = parts.signs();
  let unanswered = 0;
  let cancel: Cancel = () => undefined;
  const look = (): void => {
    const signs = parts.signs();
    const alive = signs !== seen;
    seen = signs;
    if (alive) unanswered = 0;
    else if (unanswered >= Math.max(1, parts.count)) return parts.dead(parts.intervalMs * (unanswered + 1));
    else {
      if (unanswered > 0) parts.late();
      unanswered += 1;
      parts.ping();
    }
    cancel = parts.clock.schedule(parts.intervalMs, look);
  };
  cancel = parts.clock.schedule(parts.intervalMs, look);
  return () => cancel();
}

/** Those of the login: the first waits for a server that has just begun, and none may have been alone. */
const atLogin = 4;
/** When the burst of logins of an `up` is over: what was measured in it tells of our own haste. */
const settledMs = 2_000;
/** The latency that is told is the least of so many: a ping behind other bytes says nothing of the way. */
const latest = 3;
const remembered = 8;

/** Round trips of one session: what windows are sized by, and the latency that status tells. */
export class RoundTrips {
  readonly #clock: Clock;
  readonly #ask: (answered: () => void) => void;
  #measured: readonly number[] = [];
  #cancel: Cancel = () => undefined;

  /** `ask` sends a ping; `answered` is called once, or never. */
  constructor(clock: Clock, ask: (answered: () => void) => void) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** The session begins: some pings at once, for the windows, and some once the haste is over, for people. */
  start(): void {
    this.#measure(atLogin);
    this.#cancel = this.#clock.schedule(settledMs, () => this.#measure(latest));
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
    this.#ask(() => {
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
