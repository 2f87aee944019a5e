// The block of one link: what it waits for, when it looks again, and how often it did so in vain.
import type { ErrorCode } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { CallerEnvironment, Dialer } from '../model/session.ts';
import { BlockedWatch } from './blocked-watch.ts';
import { environmentDigest } from './environment.ts';
import type { LinkRunner } from './link-runner.ts';
import type { Login } from './login.ts';
import { isAttended, isBeforeLogin, lookAfterMs } from './needs-you.ts';

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

/** What a login depends on here, as it stood when the attempt began. */
interface Circumstances {
  readonly hostKey: Promise<string | null>;
  readonly login: Promise<string | null>;
}

export class LinkBlock {
  readonly #parts: LinkBlockParts;
  #watch: BlockedWatch | null = null;
  #before: Circumstances | null = null;
  #lookAtMs: number | null = null;
  #provenTries = 0;
  #changeTries = 0;

  constructor(parts: LinkBlockParts) {
    this.#parts = parts;
  }

  /** When it looks again on its own, monotonic. */
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
    const { login } = this.#parts;
    login.offers = 'everything';
    login.refused.clear();
    this.#lookAtMs = null;
    this.#provenTries = 0;
    this.#changeTries = 0;
  }

  /** Somebody says that a key or a secret is another one now: what was refused and is the same is not offered again. */
  recheck(): void {
    const { runner, login } = this.#parts;
    const { state } = runner;
    if (state.kind !== 'blocked' || isAttended(state.cause)) return;
    if (!isBeforeLogin(state.cause)) login.offers = 'new';
    runner.send({ kind: 'answered' });
  }

  /** The link came into another state. A jump host watches over its own block, a person over an attended login. */
  follow(): void {
    this.#watch?.cancel();
    this.#watch = null;
    const { runner } = this.#parts;
    const { state } = runner;
    if (state.kind === 'connecting') this.#before = this.#circumstances();
    if (state.kind !== 'blocked' || runner.inherited || isAttended(state.cause)) return;
    this.#watch = this.#begin(state.cause);
  }

  #begin(cause: Parameters<typeof lookAfterMs>[0]): BlockedWatch {
    const { clock, host, runner, login } = this.#parts;
    const beforeLogin = isBeforeLogin(cause);
    const delayMs = lookAfterMs(cause, host, this.#provenTries);
    // A change that led to nothing does not put the look off.
    if (delayMs === null) this.#lookAtMs = null;
    else this.#lookAtMs ??= clock.monotonic() + delayMs;
    return new BlockedWatch({
      clock,
      lookAtMs: this.#lookAtMs,
      changesSeen: this.#changeTries,
      before: this.#before?.[beforeLogin ? 'hostKey' : 'login'] ?? Promise.resolve(null),
      digest: () => this.#digest(beforeLogin ? 'HOST_KEY_UNKNOWN' : cause.code),
      circumstancesChanged: () => {
        this.#changeTries += 1;
        this.recheck();
      },
      look: () => {
        this.#lookAtMs = null;
        this.#provenTries += 1;
        if (!beforeLogin) login.offers = 'proven';
        runner.send({ kind: 'answered' });
      },
      changed: this.#parts.changed,
    });
  }

  /** Taken before the attempt: what changes while it is under way may be just what it lacks. */
  #circumstances(): Circumstances {
    return { hostKey: this.#digest('HOST_KEY_UNKNOWN'), login: this.#digest('AUTH_REFUSED') };
  }

  /** Null: what cannot be read has not changed; the next poll looks again. */
  async #digest(code: ErrorCode): Promise<string | null> {
    const { dialer, host, environment } = this.#parts;
    const now = environment();
    try {
      return `${environmentDigest(host, now)} ${await dialer.circumstances(host, code, now)}`;
    } catch {
      return null;
    }
  }
}
