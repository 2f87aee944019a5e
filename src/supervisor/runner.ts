// Runs one link machine: effects in order, opens numbered, late events dropped, at most one session and one timer.
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Session } from '../model/session.ts';
import type { AttemptResult } from './attempts.ts';
import { step } from './link-machine.ts';
import type { LinkEffect, LinkEvent, LinkState } from './link-machine.ts';
import type { LinkUsers } from './link-users.ts';

export interface RunnerEvents {
  /** After a step, before its effects. */
  readonly entered: (before: LinkState, after: LinkState, event: LinkEvent) => void;
  /** After all that a step caused. */
  readonly changed: () => void;
}

/** `Session.close` promises 1 s; `stopping` must end even if it is broken. */
const closeLimitMs = 2_000;
const probeLimitMs = 5_000;

export class Runner {
  readonly #parts: { readonly clock: Clock; readonly random: () => number };
  readonly #users: LinkUsers;
  readonly #attempt: (signal: AbortSignal) => Promise<AttemptResult>;
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
  #busy = false;

  constructor(
    parts: { readonly clock: Clock; readonly random: () => number },
    users: LinkUsers,
    attempt: (signal: AbortSignal) => Promise<AttemptResult>,
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
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) this.#take(next);
    } finally {
      this.#busy = false;
    }
    this.#events.changed();
  }

  #take(event: LinkEvent): void {
    const { clock, random } = this.#parts;
    const before = this.#state;
    const { state, effects } = step(before, event, {
      policy: this.#users.policy(),
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
      case 'probe':
        // A ping that is not answered ends the session, which reports itself: nothing more to do with the failure.
        this.#session?.ping(probeLimitMs).catch(() => null);
    }
  }

  #open(): void {
    this.#number += 1;
    const number = this.#number;
    const controller = new AbortController();
    this.#connecting = controller;
    this.#openedAtMs = this.#parts.clock.monotonic();
    this.#attempt(controller.signal).then(
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
    const { session } = result;
    this.#session = session;
    this.#index = result.index;
    this.send({ kind: 'opened' });
    session.onEnd((reason) => this.#ended(session, reason));
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
    const session = this.#session;
    this.#session = null;
    if (session === null) {
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
    session.close().then(closed, closed);
  }
}
