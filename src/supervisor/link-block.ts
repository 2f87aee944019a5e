// The block of one link: what it waits for, when it looks again, and how often it did so in vain.
import type { Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { CallerEnvironment, Dialer } from '../model/session.ts';
import { BlockedWatch } from './blocked-watch.ts';
import type { LinkRunner } from './link-runner.ts';
import type { Login } from './login.ts';
import { isAttended, lookAfterMs } from './needs-you.ts';

export interface LinkBlockParts {
  readonly clock: Clock;
  readonly dialer: Dialer;
  readonly host: Host;
  readonly runner: LinkRunner;
  readonly login: Login;
  readonly environment: () => CallerEnvironment;
  /** `examining` changed. */
  readonly changed: () => void;
}

export class LinkBlock {
  readonly #parts: LinkBlockParts;
  #watch: BlockedWatch | null = null;
  #provenTries = 0;
  #changeTries = 0;

  constructor(parts: LinkBlockParts) {
    this.#parts = parts;
  }

  /** When it looks again on its own, wall clock. */
  get lookAtMs(): number | null {
    return this.#watch?.lookAtMs ?? null;
  }

  /** It is being found out whether a command brought what was missing. */
  get examining(): boolean {
    return this.#watch?.examining ?? false;
  }

  examine(): void {
    this.#watch?.examine();
  }

  /** A person, or success: what was tried in vain before does not count any more. */
  forget(): void {
    this.#parts.login.onlyProven = false;
    this.#provenTries = 0;
    this.#changeTries = 0;
  }

  /** The link came into another state. A jump host watches over its own block, a person over an attended login. */
  follow(): void {
    this.#watch?.cancel();
    this.#watch = null;
    const { runner, login, host } = this.#parts;
    const { state } = runner;
    if (state.kind !== 'blocked' || runner.inherited || isAttended(state.cause)) return;
    const { code } = state.cause;
    this.#watch = new BlockedWatch({
      ...this.#parts,
      code,
      lookAfterMs: lookAfterMs(state.cause, host, this.#provenTries),
      changesSeen: this.#changeTries,
      circumstancesChanged: () => {
        this.#changeTries += 1;
        login.onlyProven = false;
        runner.send({ kind: 'answered' });
      },
      look: () => {
        this.#provenTries += 1;
        login.onlyProven = code === 'AUTH_REFUSED';
        runner.send({ kind: 'answered' });
      },
    });
  }
}
