// The waiting room: connections that arrive while the link is away, until it is back or their time runs out (SPEC 3).
import { TunnelError } from '../errors.ts';
import type { LinkView } from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import type { Arrival } from './arrival.ts';

/** More than these are reset at once. */
const maxHeld = 128;
/** How long a late arrival waits for a TCP connect to get through. */
const lateMs = 3000;
/** How long a connection that woke a lazy link is held when the tunnel refuses while it is not up. */
const wakeMs = 30_000;

/** Who waits: whatever has an arrival. */
export interface Guest {
  readonly arrival: Arrival;
}

export interface WaitingRoomParts<G extends Guest> {
  readonly clock: Clock;
  hold(): Hold;
  knock(): void;
  /** The link is there: serve it. The room has forgotten the guest. */
  serve(guest: G, session: Session): void;
  /** It cannot be served: reset it. The room has forgotten the guest. */
  refuse(guest: G, error: TunnelError): void;
  changed(): void;
}

interface Waiting<G extends Guest> {
  readonly guest: G;
  /** The outage's failures when a late one came; null for one that is not late. */
  readonly lateSince: number | null;
  readonly cancels: Cancel[];
}

export class WaitingRoom<G extends Guest> {
  readonly #parts: WaitingRoomParts<G>;
  readonly #waiting = new Set<Waiting<G>>();
  #view: LinkView;

  /** An empty room before a link that is away. */
  constructor(parts: WaitingRoomParts<G>) {
    this.#parts = parts;
    this.#view = { state: 'away', sinceMs: parts.clock.monotonic(), failures: 0, reached: false };
  }

  get held(): number {
    return this.#waiting.size;
  }

  /**
   * Serves, holds or refuses. `deadSession`: the session that was just lost under it, not to be used again even if
   * the link still calls it up.
   */
  admit(guest: G, deadSession: Session | null = null): void {
    const view = this.#view;
    switch (view.state) {
      case 'up':
        if (view.session === deadSession) this.#holdUnlessZero(guest, null);
        else this.#parts.serve(guest, view.session);
        return;
      case 'asleep':
        return this.#holdUnlessZero(guest, null);
      case 'away':
        return this.#holdUnlessZero(guest, this.#isLate(view) ? view.failures : null);
      case 'blocked':
        if (view.personPresent) this.#holdUnlessZero(guest, null);
        else this.#parts.refuse(guest, refusal('LINK_LOST', 'the link needs you'));
        return;
    }
  }

  link(view: LinkView): void {
    this.#view = view;
    for (const held of Array.from(this.#waiting)) {
      if (view.state === 'up') {
        this.#forget(held);
        this.#parts.serve(held.guest, view.session);
      } else if (view.state === 'blocked' && !view.personPresent) this.#refuse(held, 'the link needs you');
      else if (view.state === 'away' && held.lateSince !== null && view.failures > held.lateSince)
        this.#refuse(held, 'the server cannot be reached');
    }
    if (view.state === 'asleep' && this.#waiting.size > 0) this.#parts.knock();
  }

  /** Refuses everything that waits. */
  empty(error: TunnelError): void {
    for (const held of Array.from(this.#waiting)) {
      this.#forget(held);
      this.#parts.refuse(held.guest, error);
    }
  }

  /** Late: the link has been away longer than anybody is held. */
  #isLate(away: { readonly sinceMs: number }): boolean {
    const hold = this.#parts.hold();
    return hold.kind === 'wait' && this.#parts.clock.monotonic() - away.sinceMs > hold.ms;
  }

  #holdUnlessZero(guest: G, lateSince: number | null): void {
    const hold = this.#parts.hold();
    if (hold.kind === 'refuse') return this.#hold(guest, wakeMs, null); // accepted before the listener closed
    if (hold.ms > 0) return this.#hold(guest, hold.ms, lateSince);
    this.#parts.knock();
    this.#parts.refuse(guest, refusal('LINK_LOST', 'the link is away, and hold is 0s'));
  }

  #hold(guest: G, ms: number, lateSince: number | null): void {
    const parts = this.#parts;
    const { arrival } = guest;
    const { clock } = parts;
    if (arrival.ended() || arrival.gone()) return parts.refuse(guest, refusal('LINK_LOST', leftWhileHeld));
    if (this.#waiting.size >= maxHeld)
      return parts.refuse(guest, refusal('LINK_LOST', `${maxHeld} connections wait already`));
    const held: Waiting<G> = { guest, lateSince, cancels: [] };
    this.#waiting.add(held);
    const leave = (): void => this.#refuse(held, leftWhileHeld);
    arrival.watch({ left: leave, ended: leave });
    const restMs = Math.max(0, arrival.acceptedMs + ms - clock.monotonic());
    held.cancels.push(
      clock.schedule(restMs, () => {
        this.#refuse(held, `held for ${ms / 1000}s, and the link is not back`, 'TIMED_OUT');
      }),
    );
    if (lateSince !== null) held.cancels.push(clock.schedule(lateMs, () => this.#giveUpLate(held)));
    if (this.#waiting.size === 1 || lateSince !== null) parts.knock();
    parts.changed();
  }

  #giveUpLate(held: Waiting<G>): void {
    if (this.#view.state === 'away' && !this.#view.reached)
      this.#refuse(held, `the server does not answer for ${lateMs / 1000}s`, 'TIMED_OUT');
  }

  #refuse(held: Waiting<G>, why: string, code: 'LINK_LOST' | 'TIMED_OUT' = 'LINK_LOST'): void {
    this.#forget(held);
    this.#parts.refuse(held.guest, refusal(code, why));
  }

  #forget(held: Waiting<G>): void {
    this.#waiting.delete(held);
    for (const cancel of held.cancels) cancel();
    this.#parts.changed();
  }
}

const leftWhileHeld = 'the client left while it was held';

function refusal(code: 'LINK_LOST' | 'TIMED_OUT', why: string): TunnelError {
  return new TunnelError(code, `client reset: ${why}`);
}
