// Watches what could end a block: a link that needs a person looks again only when its cause may be gone (SPEC 3).
import type { Cancel, Clock } from '../model/clock.ts';

export interface BlockedWatchParts {
  readonly clock: Clock;
  /** Look again then (monotonic) whatever has changed; null: never. */
  readonly lookAtMs: number | null;
  /** How many changes were followed in vain already: the more, the rarer it polls. */
  readonly changesSeen: number;
  /** What the attempt that failed began with; null where that is not known. */
  readonly before: Promise<string | null>;
  /** Of now; null where it cannot be read. */
  readonly digest: () => Promise<string | null>;
  /** A credential, key list, secret file or key store changed. */
  readonly circumstancesChanged: () => void;
  /** The time to look again has come. */
  readonly look: () => void;
  /** `examining` changed. */
  readonly changed: () => void;
}

const pollMs = 2_000;
/** Circumstances that never stand still must not make us offer credentials all day long. */
const patientPollMs = 300_000;
const changesTaken = 4;
/** A key agent that does not answer must not hold up whoever waits for the verdict. */
const examineLimitMs = 2_000;

/** From the moment a link is blocked until it is not. */
export class BlockedWatch {
  /** When it looks again on its own, monotonic; null: only when something changed. */
  readonly lookAtMs: number | null;
  readonly #parts: BlockedWatchParts;
  #digest: string | null = null;
  #busy = false;
  #examining = false;
  #over = false;
  #cancels: Cancel[] = [];

  constructor(parts: BlockedWatchParts) {
    this.#parts = parts;
    const { clock, lookAtMs } = parts;
    this.lookAtMs = lookAtMs;
    if (lookAtMs !== null)
      this.#cancels.push(clock.schedule(Math.max(0, lookAtMs - clock.monotonic()), () => parts.look()));
    // At once only the first time: what changes with every attempt would have us attempt without a pause.
    if (parts.changesSeen === 0) this.examine();
    this.#poll();
  }

  /** True while it is being found out whether there is something new. */
  get examining(): boolean {
    return this.#examining;
  }

  /** Compares now: a command came, perhaps with another agent or variable. */
  examine(): void {
    if (this.#examining || this.#over) return;
    this.#examining = true;
    const done = (): void => {
      if (!this.#examining) return;
      this.#examining = false;
      cancel();
      if (!this.#over) this.#parts.changed();
    };
    const cancel = this.#parts.clock.schedule(examineLimitMs, done);
    this.#cancels.push(cancel);
    void this.#compare().then(done);
  }

  cancel(): void {
    this.#over = true;
    for (const cancel of this.#cancels.splice(0)) cancel();
  }

  #poll(): void {
    const { clock, changesSeen } = this.#parts;
    const delayMs = Math.min(patientPollMs, pollMs * 2 ** Math.max(0, changesSeen - changesTaken));
    const cancel = clock.schedule(delayMs, () => {
      this.#cancels = this.#cancels.filter((other) => other !== cancel);
      if (!this.#busy) void this.#compare();
      this.#poll();
    });
    this.#cancels.push(cancel);
  }

  async #compare(): Promise<void> {
    this.#busy = true;
    const [before, now] = await Promise.all([this.#digest ?? this.#parts.before, this.#parts.digest()]);
    this.#busy = false;
    if (this.#over || now === null) return;
    this.#digest = now;
    if (before !== null && before !== now) this.#parts.circumstancesChanged();
  }
}
