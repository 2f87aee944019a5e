// What every forward that listens here shares: the listener, the waiting room, the connections, the counts.
// A kind of forward adds one function: how it gets from an accepted connection to a channel (OpenWay).
import type { Socket } from 'node:net';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts, CarrierStatus, LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import { formatEndpoint, isLoopback, type Endpoint } from '../model/endpoint.ts';
import type { DynamicForward, LocalForward } from '../model/forward.ts';
import type { Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import { receive, type Arrival } from './arrival.ts';
import { createConnection, type Connection, type OpenWay } from './connection.ts';
import { createWaitingRoom } from './hold.ts';
import { listen, type Listener } from './sockets.ts';
import { createTally } from './tally.ts';

export type ListeningForward = LocalForward | DynamicForward;

export interface ListeningParts<F extends ListeningForward> {
  readonly forward: F;
  readonly hold: Hold;
  readonly parts: CarrierParts;
  /** As status shows the target. */
  target(forward: F): string;
  /** Reads the forward at each connection: it may have been replaced. */
  open(forward: F): OpenWay;
  /** True when a running carrier may go on with the changed forward. */
  takesOver(before: F, after: F): boolean;
}

/** A listener that could not be bound again (hold: refuse) is tried this often (SPEC 3). */
const rebindMs = 5000;

export function createListeningCarrier<F extends ListeningForward>(kind: ListeningParts<F>): Carrier {
  const { parts } = kind;
  const { clock, events } = parts;
  let forward = kind.forward;
  let hold = kind.hold;
  let view: LinkView = { state: 'away', sinceMs: clock.now(), failures: 0, reached: false };
  let listener: Listener | null = null;
  let binding: Promise<void> | null = null;
  let wanted = false;
  let lastPort = parts.preferredPort;
  let cancelRebind: Cancel = () => undefined;
  const tally = createTally(parts);
  const connections = new Map<Arrival, Connection>();
  const emptied: (() => void)[] = [];

  const room = createWaitingRoom({
    clock,
    hold: () => hold,
    knock: () => events.knock(),
    serve: (arrival, session) => connections.get(arrival)?.serve(session, kind.open(forward)),
    refuse: (arrival, error) => connections.get(arrival)?.reset(error),
    changed: () => events.changed(),
  });

  const accept = (socket: Socket): void => {
    const arrival = receive(socket, clock);
    tally.accepted();
    const connection = createConnection({
      arrival,
      clock,
      traffic: tally.traffic,
      patientUntilMs: () => arrival.acceptedMs + (hold.kind === 'wait' ? hold.ms : 0),
      again: (session: Session) => room.admit(arrival, session),
      over(error) {
        connections.delete(arrival);
        tally.ended(error);
        if (connections.size === 0) for (const resolve of emptied.splice(0)) resolve();
      },
    });
    connections.set(arrival, connection);
    room.admit(arrival);
  };

  /** With `hold: refuse` there is a listener only while the link is up, or could be woken. */
  const mayListen = (): boolean => hold.kind === 'wait' || view.state === 'up' || view.state === 'asleep';

  const bind = async (): Promise<void> => {
    const made = await listen(forward.listen, {
      accept,
      preferredPort: lastPort,
      trouble: (error) =>
        events.log('warn', 'accept-failed', `accept failed, on ${listening()}: ${error.message}`),
    });
    if (!wanted || !mayListen()) return made.close();
    listener = made;
    if (made.at.kind === 'tcp') lastPort = made.at.port;
    tally.broken(null);
    events.changed();
  };
  const bindOnce = (): Promise<void> => {
    if (listener !== null) return Promise.resolve();
    binding ??= bind().finally(() => (binding = null));
    return binding;
  };
  const unbind = (): Promise<void> => {
    cancelRebind();
    const closing = listener;
    listener = null;
    return closing === null ? Promise.resolve() : closing.close();
  };
  /** hold: refuse opens and closes the listener with the link. */
  const follow = (): void => {
    if (!wanted || hold.kind !== 'refuse') return;
    if (!mayListen()) {
      void unbind().then(() => events.changed());
      return;
    }
    bindOnce().catch((error: unknown) => {
      tally.broken(asTunnelError(error));
      cancelRebind = clock.schedule(rebindMs, follow);
    });
  };
  const listening = (): string => {
    if (listener !== null) return formatEndpoint(listener.at);
    const at = forward.listen;
    return formatEndpoint(
      at.kind === 'tcp' && at.port === 0 && lastPort !== null ? { ...at, port: lastPort } : at,
    );
  };
  const resetAll = (error: TunnelError): void => {
    room.empty(error);
    for (const connection of connections.values()) connection.reset(error);
  };
  const status = (): CarrierStatus => ({
    ...tally.status(room.held()),
    held: room.held(),
    listen: listening(),
    target: kind.target(forward),
    bound: listener !== null,
    exposed: !isLoopback(forward.listen),
    probe: null,
  });

  return {
    get forward() {
      return forward;
    },
    async open() {
      wanted = true;
      if (mayListen()) await bindOnce();
    },
    link(next) {
      view = next;
      room.link(next);
      follow();
    },
    accepts: (next, _hold) =>
      next.type === forward.type &&
      sameEndpoint(next.listen, forward.listen) &&
      kind.takesOver(forward, next as F),
    replace(next, nextHold) {
      forward = next as F;
      hold = nextHold;
      if (hold.kind === 'wait' && wanted && listener === null) void bindOnce().catch(() => undefined);
      follow();
      events.changed();
    },
    resetConnections: () => resetAll(ended('the tunnel is restarted')),
    status,
    resetCounts() {
      tally.reset();
      events.changed();
    },
    async close(drainMs) {
      wanted = false;
      await binding?.catch(() => undefined); // its owner hears of it
      await unbind();
      room.empty(ended('the tunnel is down'));
      if (drainMs > 0 && connections.size > 0) {
        await new Promise<void>((resolve) => {
          const cancel = clock.schedule(drainMs, resolve);
          emptied.push(() => (cancel(), resolve()));
        });
      }
      resetAll(ended('the tunnel is down'));
    },
  };
}

function ended(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `connection ended, on the local port: ${why}`);
}

export function sameEndpoint(one: Endpoint, other: Endpoint): boolean {
  if (one.kind === 'unix') return other.kind === 'unix' && one.path === other.path;
  return other.kind === 'tcp' && one.host === other.host && one.port === other.port;
}
