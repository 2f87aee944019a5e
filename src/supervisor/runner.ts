// Runs one link machine: effects in order, opens numbered, late events dropped, at most one session, one timer, and
// beside them one rotation; sessions that were replaced drain.
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { longestMs } from '../model/duration.ts';
import type { Session, UserCertificate } from '../model/session.ts';
import type { AttemptResult } from './attempts.ts';
import { renewalAt, step } from './link-machine.ts';
import type { LinkEffect, LinkEvent, LinkState } from './link-machine.ts';
import type { LinkUsers } from './link-users.ts';

export interface RunnerEvents {
  /** After a step, before its effects. */
  readonly entered: (before: LinkState, after: LinkState, event: LinkEvent) => void;
  /** After all that a step caused. */
  readonly changed: () => void;
  /** A session that had been replaced is lost, and what still ran over it with it. */
  readonly oldLost: (cause: TunnelError) => void;
}

/** `Session.close` promises 1 s; `stopping` must end even if it is broken. */
const closeLimitMs = 2_000;
const probeLimitMs = 5_000;
/** So long a replaced session is there in any case: its remote listeners are cancelled meanwhile. */
const drainFromMs = 2_000;

/** `beside`: the link is up, and stays so if the attempt fails. */
export type Attempt = (signal: AbortSignal, beside: boolean) => Promise<AttemptResult>;

export class Runner {
  readonly #parts: { readonly clock: Clock; readonly random: () => number };
  readonly #users: LinkUsers;
  readonly #attempt: Attempt;
  readonly #events: RunnerEvents;
  readonly #queue: LinkEvent[] = [];
  #state: LinkState = { kind: 'idle' };
  #session: Session | null = null;
  #index = 0;
  #inherited = false;
  #number = 0;
  #openedAtMs = 0;
  #connecting: AbortController | null = null;
  #timer: Cancel | null = null;
  #plan: Cancel | null = null;
  #beside: AbortController | null = null;
  /** When the live session is to be replaced for its certificate, by the wall clock. */
  #renewAtMs: number | null = null;
  /** The session that the last rotation replaced, until it drains. */
  #replaced: Session | null = null;
  /** Sessions that were replaced and still have connections, with what takes their timer back. */
  readonly #draining = new Map<Session, Cancel>();
  #idleListeners: (() => void)[] = [];
  #busy = false;

  constructor(
    parts: { readonly clock: Clock; readonly random: () => number },
    users: LinkUsers,
    attempt: Attempt,
    events: RunnerEvents,
  ) {
    this.#parts = parts;
    this.#users = users;
    this.#attempt = attempt;
    this.#events = events;
  }

  get state(): LinkState {
    return this.#state;
  }

  get session(): Session | null {
    return this.#session;
  }

  /** The way that worked last. */
  get index(): number {
    return this.#index;
  }

  /** The last failure was a jump host's. */
  get inherited(): boolean {
    return this.#inherited;
  }

  /** When the last attempt began, monotonic. */
  get openedAtMs(): number {
    return this.#openedAtMs;
  }

  send(event: LinkEvent): void {
    this.#queue.push(event);
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#step(next);
    } finally {
      this.#busy = false;
    }
    this.#events.changed();
  }

  #step(event: LinkEvent): void {
    const { clock, random } = this.#parts;
    const before = this.#state;
    const doubles = this.#users.size > 0 && !this.#attended;
    const { state, effects } = step(before, event, {
      policy: this.#users.policy(),
      rotateMs: doubles ? this.#users.rotateMs() : null,
      renewAtMs:
        doubles && this.#renewAtMs !== null ? clock.monotonic() + this.#renewAtMs - clock.now() : null,
      doubles,
      held: this.#users.haste() === 'held',
      now: clock.monotonic(),
      random,
    });
    this.#state = state;
    if (state !== before) this.#events.entered(before, state, event);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: LinkEffect): void {
    switch (effect.kind) {
      case 'open':
        return this.#open();
      case 'close':
        return this.#close();
      case 'arm':
        this.#timer?.();
        this.#timer = this.#parts.clock.schedule(effect.delayMs, () => {
          this.#timer = null;
          this.send({ kind: 'timer' });
        });
        return;
      case 'disarm':
        this.#timer?.();
        this.#timer = null;
        return;
      case 'plan':
        return this.#planFor(effect.delayMs);
      case 'forgo':
        this.#renewAtMs = null;
        return;
      case 'unplan':
        return this.#unplan();
      case 'open-second':
        return this.#openSecond();
      case 'close-second':
        return this.#closeSecond('another one is better');
      case 'drain':
        return this.#drain();
      case 'probe':
        // A ping that is not answered ends the session, which reports itself: nothing more to do with the failure.
        for (const each of [this.#session, ...this.#draining.keys()])
          each?.ping(probeLimitMs).catch(() => null);
    }
  }

  /** Of a wait that is longer than a timer can be, the rest is planned when the timer ends. */
  #planFor(delayMs: number): void {
    this.#plan?.();
    this.#plan = this.#parts.clock.schedule(Math.min(delayMs, longestMs), () => {
      this.#plan = null;
      this.send({ kind: delayMs > longestMs ? 'planned' : 'due' });
    });
  }

  #open(): void {
    this.#number += 1;
    const number = this.#number;
    const controller = new AbortController();
    this.#connecting = controller;
    this.#openedAtMs = this.#parts.clock.monotonic();
    this.#attempt(controller.signal, false).then(
      (result) => this.#settle(number, controller, result),
      (thrown: unknown) =>
        this.#settle(number, controller, { kind: 'failed', cause: asTunnelError(thrown), inherited: false }),
    );
  }

  #settle(number: number, controller: AbortController, result: AttemptResult): void {
    if (number !== this.#number || controller.signal.aborted) {
      if (result.kind === 'opened') void result.session.close();
      return;
    }
    this.#connecting = null;
    if (result.kind === 'failed') {
      this.#inherited = result.inherited;
      this.send({ kind: 'failed', cause: result.cause });
      return;
    }
    this.#take(result);
    this.send({ kind: 'opened' });
    this.#hear(result.session);
  }

  #openSecond(): void {
    const controller = new AbortController();
    this.#beside = controller;
    this.#attempt(controller.signal, true).then(
      (result) => this.#settleSecond(controller, result),
      (thrown: unknown) =>
        this.#settleSecond(controller, { kind: 'failed', cause: asTunnelError(thrown), inherited: false }),
    );
  }

  #settleSecond(controller: AbortController, result: AttemptResult): void {
    if (this.#beside !== controller || controller.signal.aborted) {
      if (result.kind === 'opened') void result.session.close();
      return;
    }
    this.#beside = null;
    if (result.kind === 'failed') return this.send({ kind: 'second-failed', cause: result.cause });
    const { certificate } = result.session.login;
    if (certificate !== undefined && this.#renewsNothing(certificate)) {
      void result.session.close();
      return this.send({ kind: 'not-renewed', endsAtMs: certificate.endsAtMs });
    }
    this.#replaced = this.#session;
    this.#take(result);
    this.send({ kind: 'second-opened' });
    this.#hear(result.session);
  }

  /** The second session is there for its certificate alone, and has the same. */
  #renewsNothing({ id }: UserCertificate): boolean {
    const second = this.#state.kind === 'up' ? this.#state.second : null;
    return second?.why === 'certificate' && id === this.#session?.login.certificate?.id;
  }

  #take({ session, index }: AttemptResult & { kind: 'opened' }): void {
    this.#session = session;
    this.#index = index;
    const renewBeforeMs = session.host.certificateCommand?.renewBeforeMs ?? null;
    this.#renewAtMs = renewalAt(session.login.certificate, this.#parts.clock.now(), renewBeforeMs);
  }

  #hear(session: Session): void {
    session.onLate((late) => {
      if (this.#session === session) this.send({ kind: late ? 'late' : 'alive' });
    });
    session.onEnd((reason) => this.#ended(session, reason));
  }

  #closeSecond(why: string): void {
    this.#beside?.abort(new TunnelError('LINK_LOST', `second session given up: ${why}`));
    this.#beside = null;
  }

  /** The replaced session goes once nothing runs over it. */
  #drain(): void {
    const session = this.#replaced;
    this.#replaced = null;
    if (session === null) return;
    const cancel = this.#parts.clock.schedule(drainFromMs, () => session.onIdle(() => void session.close()));
    this.#draining.set(session, cancel);
    session.onEnd((reason) => {
      cancel();
      if (!this.#draining.delete(session)) return;
      if (reason !== null) this.#events.oldLost(reason);
      if (this.#draining.size > 0) return;
      for (const listener of this.#idleListeners.splice(0)) listener();
    });
  }

  /** Calls once, when nothing runs over the session or one that it replaced. */
  onIdle(listener: () => void): void {
    const session = this.#session;
    if (this.#draining.size > 0) this.#idleListeners.push(() => this.onIdle(listener));
    else if (session === null) listener();
    else
      session.onIdle(() =>
        this.#draining.size > 0 || this.#session !== session ? this.onIdle(listener) : listener(),
      );
  }

  get #attended(): boolean {
    const session = this.#session;
    return session !== null && (session.host.attended ?? session.login.attended);
  }

  #unplan(): void {
    this.#plan?.();
    this.#plan = null;
  }

  #ended(session: Session, reason: TunnelError | null): void {
    if (this.#session !== session) return;
    this.lose(reason ?? new TunnelError('LINK_LOST', 'link lost: the session was closed'), false);
  }

  /** The session is over, or what it rides on is. A session that nobody uses any more is not opened again. */
  lose(cause: TunnelError, inherited: boolean): void {
    if (this.#session === null) return;
    this.#inherited = inherited;
    this.send(this.#users.size > 0 ? { kind: 'lost', cause } : { kind: 'stop' });
  }

  /** Aborts a connect under way. With nothing open, `closed` comes at once. */
  #close(): void {
    const number = this.#number;
    this.#connecting?.abort(new TunnelError('LINK_LOST', 'connect stopped: nobody wants it any more'));
    this.#connecting = null;
    this.#closeSecond('the link is over');
    this.#unplan();
    const session = this.#session;
    this.#session = null;
    // a loss says nothing of the sessions before the lost one; a stop ends them all
    const replaced = this.#state.kind === 'stopping' ? [...this.#draining.keys()] : [];
    const closing = [...(session === null ? [] : [session]), ...replaced];
    if (closing.length === 0) {
      this.#queue.push({ kind: 'closed' });
      return;
    }
    let over = false;
    const closed = (): void => {
      if (over) return;
      over = true;
      cancel();
      if (number === this.#number) this.send({ kind: 'closed' });
    };
    const cancel = this.#parts.clock.schedule(closeLimitMs, closed);
    void Promise.allSettled(closing.map((each) => each.close())).then(closed);
  }
}
