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

export interface WaitingRoomParts {
  readonly clock: Clock;
  hold(): Hold;
  knock(): void;
  /** The link is there: serve it. The room has forgotten the arrival. */
  serve(arrival: Arrival, session: Session): void;
  /** It cannot be served: reset it. The room has forgotten the arrival. */
  refuse(arrival: Arrival, error: TunnelError): void;
  changed(): void;
}

export interface WaitingRoom {
  /**
   * Serves, holds or refuses. `deadSession`: the session that was just lost under it, not to be used again even if
   * the link still calls it up.
   */
  admit(arrival: Arrival, deadSession?: Session): void;
  link(view: LinkView): void;
  readonly held: () => number;
  /** Refuses everything that waits. */
  empty(error: TunnelError): void;
}

interface Waiting {
  readonly arrival: Arrival;
  /** Null: not a late one. Else the outage's failures when it came. */
  readonly lateSince: number | null;
  cancelHold: Cancel;
  cancelLate: Cancel;
}

const nothing: Cancel = () => undefined;

/** An empty room before a link that is away. */
export function createWaitingRoom(parts: WaitingRoomParts): WaitingRoom {
  const { clock } = parts;
  const waiting = new Set<Waiting>();
  let view: LinkView = { state: 'away', sinceMs: clock.now(), failures: 0, reached: false };

  const forget = (held: Waiting): void => {
    waiting.delete(held);
    held.cancelHold();
    held.cancelLate();
    parts.changed();
  };
  const refuse = (held: Waiting, why: string, code: 'LINK_LOST' | 'TIMED_OUT' = 'LINK_LOST'): void => {
    forget(held);
    parts.refuse(held.arrival, refusal(code, why));
  };
  const hold = (arrival: Arrival, ms: number, lateSince: number | null): void => {
    if (waiting.size >= maxHeld) {
      parts.refuse(arrival, refusal('LINK_LOST', `${maxHeld} connections wait already`));
      return;
    }
    const held: Waiting = { arrival, lateSince, cancelHold: nothing, cancelLate: nothing };
    const leave = (): void => refuse(held, 'the client left while it was held');
    if (arrival.ended() || arrival.gone()) {
      parts.refuse(arrival, refusal('LINK_LOST', 'the client left while it was held'));
      return;
    }
    waiting.add(held);
    arrival.watch({ left: leave, ended: leave });
    held.cancelHold = clock.schedule(Math.max(0, arrival.acceptedMs + ms - clock.now()), () =>
      refuse(held, `held for ${ms / 1000}s, and the link is not back`, 'TIMED_OUT'),
    );
    if (lateSince !== null) {
      held.cancelLate = clock.schedule(lateMs, () => {
        if (view.state === 'away' && !view.reached)
          refuse(held, `the server does not answer for ${lateMs / 1000}s`, 'TIMED_OUT');
      });
    }
    if (waiting.size === 1 || lateSince !== null) parts.knock();
    parts.changed();
  };
  const holdWhileAway = (arrival: Arrival, away: { sinceMs: number; failures: number } | null): void => {
    const policy = parts.hold();
    if (policy.kind === 'refuse') return hold(arrival, wakeMs, null); // accepted before the listener was closed
    if (policy.ms === 0) {
      parts.knock();
      parts.refuse(arrival, refusal('LINK_LOST', 'the link is away, and hold is 0s'));
      return;
    }
    const late = away !== null && clock.now() - away.sinceMs > policy.ms;
    hold(arrival, policy.ms, late ? away.failures : null);
  };
  const admit = (arrival: Arrival, deadSession?: Session): void => {
    switch (view.state) {
      case 'up':
        if (view.session === deadSession) holdWhileAway(arrival, null);
        else parts.serve(arrival, view.session);
        return;
      case 'asleep':
        return holdWhileAway(arrival, null);
      case 'away':
        return holdWhileAway(arrival, view);
      case 'blocked':
        if (view.personPresent) holdWhileAway(arrival, null);
        else parts.refuse(arrival, refusal('LINK_LOST', 'the link needs you'));
        return;
    }
  };

  return {
    admit,
    held: () => waiting.size,
    link(next) {
      view = next;
      for (const held of Array.from(waiting)) {
        if (next.state === 'up') {
          forget(held);
          parts.serve(held.arrival, next.session);
        } else if (next.state === 'blocked' && !next.personPresent) refuse(held, 'the link needs you');
        else if (next.state === 'away' && held.lateSince !== null && next.failures > held.lateSince)
          refuse(held, 'the server cannot be reached');
      }
      if (next.state === 'asleep' && waiting.size > 0) parts.knock();
    },
    empty(error) {
      for (const held of Array.from(waiting)) {
        forget(held);
        parts.refuse(held.arrival, error);
      }
    },
  };
}

function refusal(code: 'LINK_LOST' | 'TIMED_OUT', why: string): TunnelError {
  return new TunnelError(code, `connection failed, on the local port: ${why}`);
}
