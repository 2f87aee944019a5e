// Acknowledgements in time: when something small came and nothing goes back, one packet of nothing carries them.
// sshd leaves Nagle's algorithm on for a connection without a session channel (packet.c, ssh_packet_set_interactive), so the second
// small part of an answer waits until the first is acknowledged (RFC 896), which a kernel with nothing to send puts off for
// up to 40 ms (RFC 1122 4.2.3.2). PostgreSQL, FTP, redis and HTTP answer in such parts.
import type { Cancel, Clock } from '../../model/clock.ts';

/** Bytes: a read below that may be a part whose rest waits. A full segment is acknowledged at once, or sent on at once. */
const smallRead = 2048;
/** Milliseconds after the last small read: an answer of ours would have gone by then, and carried it. */
const patienceMs = 1;
/** Timers are rounded to a millisecond, down too. */
const roundingMs = 0.5;
/** Packets at a time, and a millisecond from then on, of all sessions together: two hundredths of a processor, whatever comes. */
const burst = 100;
const perMs = 1;

/** What all sessions of a process may send of these packets. */
export interface AckBudget {
  /** True: one more may go. */
  take(): boolean;
}

export function createAckBudget(clock: Clock): AckBudget {
  let left = burst;
  let atMs = clock.monotonic();
  return {
    take() {
      const nowMs = clock.monotonic();
      left = Math.min(burst, left + (nowMs - atMs) * perMs);
      atMs = nowMs;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
  };
}

export interface PromptAcksParts {
  readonly clock: Clock;
  readonly budget: AckBudget;
  /** Packets sent so far: each carries an acknowledgement. */
  readonly sent: () => number;
  /** SSH_MSG_IGNORE (RFC 4253 11.2), unless it may not be sent now. */
  readonly ignore: () => void;
}

/** Of one session; `received` is told every read. */
export class PromptAcks {
  readonly #parts: PromptAcksParts;
  #sentAtRead = 0;
  #readAtMs = 0;
  #cancel: Cancel | null = null;

  constructor(parts: PromptAcksParts) {
    this.#parts = parts;
  }

  /** So many bytes came in one read. */
  received(bytes: number): void {
    if (bytes >= smallRead) return;
    const { clock, sent } = this.#parts;
    this.#sentAtRead = sent();
    this.#readAtMs = clock.monotonic();
    this.#cancel ??= clock.schedule(patienceMs, () => this.#look());
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #look(): void {
    const { clock, budget, sent, ignore } = this.#parts;
    this.#cancel = null;
    if (sent() !== this.#sentAtRead) return;
    if (clock.monotonic() - this.#readAtMs < patienceMs - roundingMs) {
      this.#cancel = clock.schedule(patienceMs, () => this.#look());
      return;
    }
    if (budget.take()) ignore();
  }
}
