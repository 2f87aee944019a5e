// The knocks of one link: when it wants them, and what becomes of one that gets through.
import type { Host, Way } from '../model/host.ts';
import type { OpenTransport } from '../model/session.ts';
import type { Knocking, Listener } from './knocking.ts';
import type { LinkRunner } from './link-runner.ts';
import type { Login } from './login.ts';
import type { Outage } from './outage.ts';

export interface LinkKnocksParts {
  readonly knocking: Knocking;
  readonly ways: readonly Way[];
  readonly login: Login;
  readonly runner: LinkRunner;
  readonly outage: () => Outage;
  /** Somebody waits, and the last failure was at TCP level. */
  readonly wanted: () => boolean;
}

export class LinkKnocks {
  readonly #parts: LinkKnocksParts;
  readonly #listener: Listener;
  /** The server of the way without a jump host: only there is TCP ours. */
  readonly #host: Host | null;

  constructor(parts: LinkKnocksParts) {
    this.#parts = parts;
    this.#host = parts.ways.find((way) => way.length === 1)?.[0] ?? null;
    this.#listener = {
      awaySinceMs: () => parts.outage().sinceMs,
      triedAtMs: () => parts.outage().failedAtMs,
      answered: (transport) => this.#answered(transport),
    };
  }

  /** Joins or leaves as people and clients come and go. Idempotent. */
  reconsider(): void {
    const { knocking } = this.#parts;
    if (this.#host === null) return;
    if (this.#wants()) knocking.join(this.#host, this.#listener);
    else knocking.leave(this.#host, this.#listener);
  }

  /** Monotonic; null while there are none. */
  nextAtMs(): number | null {
    return this.#host !== null && this.#wants() ? this.#parts.knocking.nextAtMs(this.#host) : null;
  }

  #wants(): boolean {
    const { runner, login, wanted } = this.#parts;
    const { kind } = runner.state;
    return (kind === 'waiting' || (kind === 'connecting' && !login.reached)) && wanted();
  }

  #answered(transport: OpenTransport | null): void {
    const { runner, login } = this.#parts;
    const { kind } = runner.state;
    if (kind === 'connecting') {
      if (transport !== null) login.offer(transport);
      return;
    }
    if (kind !== 'waiting') return transport?.destroy();
    if (transport !== null) login.leave(transport);
    runner.send({ kind: 'kick' });
  }
}
