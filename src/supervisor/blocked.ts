// A blocked link: what ends the block, when the link looks again by itself, and how often the look was in vain (SPEC 3). A
// link that needs a person looks again only when the cause may be gone.
import { createHash } from 'node:crypto';
import { TunnelError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { SecretRef } from '../model/secret.ts';
import type { CallerEnvironment, Dialer } from '../model/session.ts';
import type { LinkState } from './link-machine.ts';
import type { LinkUsers } from './link-users.ts';

/**
 * What the next attempt offers. A refusal is not to be repeated by guessing: after one, only what worked here before is
 * offered (the slow retry), or only what was not refused (something changed).
 */
export type Offered = 'everything' | 'proven' | 'new';

/** How a blocked link looks again. `as before`: the failure came before any login, so nothing was refused. */
export type Look = Offered | 'as before';

/** What a blocked link does by itself. */
export interface BlockEvents {
  /** The time to look again has come, or the cause may have changed. */
  readonly look: (how: Look) => void;
  /** `examining` changed. */
  readonly changed: () => void;
}

/** What a login depends on here, as it stood when the attempt began. Null where it cannot be read. */
interface Digests {
  readonly hostKey: Promise<string | null>;
  readonly login: Promise<string | null>;
}

/** One block, from the moment the link is blocked until it leaves that state. */
interface Block {
  readonly cause: TunnelError;
  /** The digest that the failed attempt began with, then the one found last. */
  digest: Promise<string | null> | string;
  comparing: boolean;
  examining: boolean;
  over: boolean;
  readonly cancels: Set<Cancel>;
}

const pollMs = 2_000;
/** Circumstances that never stand still must not make us offer credentials all day long. */
const patientPollMs = 300_000;
const changesTaken = 4;
/** A key agent that does not answer must not hold up whoever waits for the verdict. */
const examineLimitMs = 2_000;

export class Blocked {
  readonly #parts: { readonly clock: Clock; readonly dialer: Dialer };
  readonly #host: Host;
  readonly #users: LinkUsers;
  readonly #events: BlockEvents;
  #block: Block | null = null;
  #before: Digests | null = null;
  #lookAtMs: number | null = null;
  #provenTries = 0;
  /** How many changes were followed in vain already: the more, the rarer the polls. */
  #changeTries = 0;

  constructor(
    parts: { readonly clock: Clock; readonly dialer: Dialer },
    host: Host,
    users: LinkUsers,
    events: BlockEvents,
  ) {
    this.#parts = parts;
    this.#host = host;
    this.#users = users;
    this.#events = events;
  }

  /** When the link looks again on its own, monotonic; null: only after a change, or not blocked. */
  get lookAtMs(): number | null {
    return this.#block === null ? null : this.#lookAtMs;
  }

  /** True while a comparison runs that a command, or the beginning of the block, asked for. */
  get examining(): boolean {
    return this.#block?.examining ?? false;
  }

  /** A person came, or a login succeeded: earlier tries in vain do not count any more. */
  forget(): void {
    this.#lookAtMs = null;
    this.#provenTries = 0;
    this.#changeTries = 0;
  }

  /** The link came into another state. A jump host watches over its own block, a person over an attended login. */
  follow(state: LinkState, inherited: boolean): void {
    this.#end();
    if (state.kind === 'connecting') this.#before = this.#digestsNow();
    if (state.kind === 'blocked' && !inherited && !isAttended(state.cause)) this.#begin(state.cause);
  }

  /** Compares now: a command came, perhaps with another agent or variable. */
  examine(): void {
    const block = this.#block;
    if (block === null || block.examining) return;
    block.examining = true;
    const done = (): void => {
      if (!block.examining) return;
      block.examining = false;
      cancel();
      if (!block.over) this.#events.changed();
    };
    const cancel = this.#parts.clock.schedule(examineLimitMs, done);
    block.cancels.add(cancel);
    void this.#compare(block).then(done);
  }

  #begin(cause: TunnelError): void {
    const { clock } = this.#parts;
    const delayMs = lookAfterMs(cause, this.#host, this.#provenTries);
    // A change that led to nothing does not put the look off.
    if (delayMs === null) this.#lookAtMs = null;
    else this.#lookAtMs ??= clock.monotonic() + delayMs;
    const before = this.#before?.[isBeforeLogin(cause) ? 'hostKey' : 'login'] ?? Promise.resolve(null);
    const state = { comparing: false, examining: false, over: false };
    const block: Block = { cause, digest: before, ...state, cancels: new Set() };
    this.#block = block;
    if (this.#lookAtMs !== null) {
      const leftMs = Math.max(0, this.#lookAtMs - clock.monotonic());
      block.cancels.add(clock.schedule(leftMs, () => this.#look(cause)));
    }
    // Compared at once only the first time: a thing that changes with every attempt would have us attempt without a pause.
    if (this.#changeTries === 0) this.examine();
    this.#poll(block);
  }

  #end(): void {
    const block = this.#block;
    this.#block = null;
    if (block === null) return;
    block.over = true;
    for (const cancel of block.cancels) cancel();
  }

  #look(cause: TunnelError): void {
    this.#lookAtMs = null;
    this.#provenTries += 1;
    this.#events.look(isBeforeLogin(cause) ? 'as before' : 'proven');
  }

  #poll(block: Block): void {
    const rarer = 2 ** Math.max(0, this.#changeTries - changesTaken);
    const cancel = this.#parts.clock.schedule(Math.min(patientPollMs, pollMs * rarer), () => {
      block.cancels.delete(cancel);
      if (!block.comparing) void this.#compare(block);
      this.#poll(block);
    });
    block.cancels.add(cancel);
  }

  async #compare(block: Block): Promise<void> {
    const { cause } = block;
    block.comparing = true;
    const [before, now] = await Promise.all([
      block.digest,
      this.#digest(isBeforeLogin(cause) ? 'HOST_KEY_UNKNOWN' : cause.code),
    ]);
    block.comparing = false;
    if (block.over || now === null) return;
    block.digest = now;
    if (before === null || before === now) return;
    this.#changeTries += 1;
    this.#events.look(lookAfterChange(cause));
  }

  /** Taken before the attempt: a change while the attempt is under way may be just what the attempt lacks. */
  #digestsNow(): Digests {
    return { hostKey: this.#digest('HOST_KEY_UNKNOWN'), login: this.#digest('AUTH_REFUSED') };
  }

  /** Null for what cannot be read: the next poll looks again. */
  async #digest(code: ErrorCode): Promise<string | null> {
    const environment = this.#users.environment();
    try {
      const digest = environmentDigest(this.#host, environment);
      return `${digest} ${await this.#parts.dialer.circumstances(this.#host, code, environment)}`;
    } catch {
      return null;
    }
  }
}

/** How to look after a key or a secret may have changed: the same refused credentials are not offered again. */
export function lookAfterChange(cause: TunnelError): Look {
  return isBeforeLogin(cause) ? 'as before' : 'new';
}

const minuteMs = 60_000;
const keyExchangeLookMs = 15 * minuteMs;
/** After a refusal: a key that logged in here before is tried again, alone. Then for ever at the last distance. */
const provenLooksMs = [5 * minuteMs, 15 * minuteMs, 30 * minuteMs] as const;

/** A host key that is not trusted, or algorithms that do not meet: no login was begun, and another look begins none. */
export function isBeforeLogin({ code }: TunnelError): boolean {
  return code.startsWith('HOST_KEY') || code === 'KEX_FAILED';
}

/**
 * Milliseconds until a blocked link looks again whatever has changed; null: never.
 * `tries` counts looks with proven credentials since the refusal. A login that also wanted a person counts too: most
 * servers take passwords besides keys, and a key that worked is refused while a home is not mounted there.
 */
export function lookAfterMs(cause: TunnelError, host: Host, tries: number): number | null {
  if (isBeforeLogin(cause)) return keyExchangeLookMs;
  if (!host.authRetry || cause.facts.proven !== true) return null;
  return provenLooksMs[Math.min(tries, provenLooksMs.length - 1)] ?? null;
}

/** A login to this host needs a person, and nobody is there to see the login through. */
export function attendedError(host: Host, tunnel: string, wasUp: boolean): TunnelError {
  const what = wasUp ? 'is back and wants' : 'wants';
  return new TunnelError('SECRET_MISSING', `${host.name} ${what} your second factor: tunnel up ${tunnel}`, {
    hint: { command: 'up', on: { tunnel } },
    facts: { attended: true },
  });
}

/** Nothing but a person ends such a block. */
export function isAttended(cause: TunnelError): boolean {
  return cause.facts.attended === true;
}

/** A digest of what the `env:` sources of a host say now: equal when a new command brought nothing new. */
export function environmentDigest(host: Host, environment: CallerEnvironment): string {
  const refs: (SecretRef | null | undefined)[] = [
    host.password,
    host.passphrase,
    host.totp,
    host.proxy?.password,
  ];
  const hash = createHash('sha256');
  for (const ref of refs) {
    if (ref?.from !== 'env') continue;
    hash.update(`${ref.name}=${environment.variables[ref.name] ?? '\0'}\0`);
  }
  if (host.agent.from === 'environment') hash.update(environment.agentSockets.join('\0'));
  return hash.digest('hex');
}
