// Leases: tunnels that are up for the time of a command (`exec`). Held on the connection of the command, so that its end, however it
// comes, gives them back. The last one to leave takes down what was brought up for leases alone. A supervisor that replaces this one
// holds them for a while, in which the commands come and take them again.
import type { Clock } from '../model/clock.ts';

/** How long a new supervisor holds what its predecessor had up for leases. */
const graceMs = 10_000;

/** A tunnel that was up for leases alone, at the supervisor before. */
export interface HandedLease {
  readonly name: string;
  /** Made for them too. */
  readonly once: boolean;
}

export interface LeaseParts {
  /** Names that somebody wants already, or that are still to be brought up again. */
  readonly wanted: () => ReadonlySet<string>;
  /** Takes down what nobody needs any more. `once`: those that were made for such commands alone. */
  readonly down: (names: readonly string[], once: readonly string[]) => Promise<void>;
  /** What counts as wanted for good has changed. */
  readonly changed: () => void;
}

interface Lease {
  readonly names: ReadonlySet<string>;
  /** Resolves when the tunnels were taken down by somebody else, or the supervisor was told to end. */
  readonly over: Promise<void>;
  readonly end: () => void;
}

/** A tunnel that is up for leases alone. */
interface Leased {
  readonly holders: Set<Lease>;
  /** Made for them too. */
  once: boolean;
}

export class Leases {
  readonly #parts: LeaseParts;
  readonly #leased = new Map<string, Leased>();
  /** By the signal that ends with the connection. */
  readonly #leases = new Map<AbortSignal, Lease>();

  constructor(parts: LeaseParts) {
    this.#parts = parts;
  }

  /** Before the tunnels are brought up: what is wanted by then stays when the lease ends. One a connection. */
  take(names: readonly string[], once: boolean, connection: AbortSignal): void {
    const wanted = this.#parts.wanted();
    let end: () => void = () => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    const lease = { names: new Set(names), over, end };
    this.#leases.set(connection, lease);
    for (const name of names) {
      const leased = this.#leased.get(name);
      if (leased !== undefined) {
        leased.holders.add(lease);
        leased.once ||= once;
      } else if (!wanted.has(name)) this.#leased.set(name, { holders: new Set([lease]), once });
    }
    const leave = (): void => void this.release(connection).catch(() => undefined);
    if (connection.aborted) leave();
    else connection.addEventListener('abort', leave, { once: true });
  }

  /** For the supervisor that replaces this one. */
  get handed(): readonly HandedLease[] {
    return [...this.#leased].map(([name, { once }]) => ({ name, once }));
  }

  /** Before the tunnels are brought up. */
  inherit(handed: readonly HandedLease[], clock: Clock): void {
    for (const once of [false, true]) {
      const names = handed.filter((each) => each.once === once).map(({ name }) => name);
      if (names.length === 0) continue;
      const grace = new AbortController();
      this.take(names, once, grace.signal);
      clock.schedule(graceMs, () => grace.abort());
    }
  }

  /** Another supervisor has replaced this one: the end of a command takes nothing down here. */
  leave(): void {
    this.#leased.clear();
    this.#leases.clear();
  }

  /** True while nothing but leases wants the tunnel. */
  has(name: string): boolean {
    return this.#leased.has(name);
  }

  /** Somebody asked for the tunnels: they stay. */
  keep(names: readonly string[]): void {
    const kept = names.filter((name) => this.#leased.delete(name));
    if (kept.length > 0) this.#parts.changed();
  }

  /** Somebody takes the tunnels down: no lease holds them. */
  drop(names: readonly string[]): void {
    for (const name of names) this.#leased.delete(name);
    for (const lease of this.#leases.values()) if (names.some((name) => lease.names.has(name))) lease.end();
  }

  /** Resolves when the lease of this connection is over by somebody else's doing, or there is none. */
  over(connection: AbortSignal): Promise<void> {
    return this.#leases.get(connection)?.over ?? Promise.resolve();
  }

  /** The command is over. Resolves when what nobody needs any more is down. Idempotent. */
  async release(connection: AbortSignal): Promise<void> {
    const lease = this.#leases.get(connection);
    if (lease === undefined) return;
    this.#leases.delete(connection);
    lease.end();
    const unused = [...this.#leased].filter(([, { holders }]) => holders.delete(lease) && holders.size === 0);
    for (const [name] of unused) this.#leased.delete(name);
    if (unused.length === 0) return;
    const once = unused.filter(([, leased]) => leased.once).map(([name]) => name);
    await this.#parts.down(
      unused.map(([name]) => name),
      once,
    );
  }

  /** The supervisor was told to end: nobody needs to bring the tunnels up again. */
  end(): void {
    for (const lease of this.#leases.values()) lease.end();
  }
}
