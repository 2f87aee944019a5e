// What every forward that listens here shares: the listener, the waiting room, the connections, the counts.
// A kind of forward adds one function: how it gets from an accepted connection to a channel (OpenWay).
import type { Socket } from 'node:net';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts, CarrierStatus, LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import { formatEndpoint, isLoopback, type Endpoint } from '../model/endpoint.ts';
import type { DynamicForward, Forward, LocalForward } from '../model/forward.ts';
import type { Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import { Arrival } from './arrival.ts';
import { Connection, type OpenWay } from './connection.ts';
import { Crowd } from './crowd.ts';
import { WaitingRoom } from './hold.ts';
import { Roster } from './roster.ts';
import { listen, type Listener } from './sockets.ts';
import { createTally } from './tally.ts';

export type ListeningForward = LocalForward | DynamicForward;

/** What one kind of forward adds. */
export interface ListeningKind<F extends ListeningForward> {
  /** As status shows the target. */
  target(forward: F): string;
  /** Called for each connection: the forward may have been replaced. */
  open(forward: F): OpenWay;
  /** True when a running carrier may go on with the changed forward. */
  takesOver(before: F, after: F): boolean;
}

/** A listener that could not be bound again (hold: refuse) is tried this often (SPEC 3). */
const rebindMs = 5000;

export class ListeningCarrier<F extends ListeningForward> implements Carrier {
  readonly #kind: ListeningKind<F>;
  readonly #parts: CarrierParts;
  readonly #tally;
  readonly #room: WaitingRoom<Connection>;
  readonly #connections = new Roster<Connection>();
  readonly #crowd: Crowd;
  #forward: F;
  #hold: Hold;
  #view: LinkView;
  #listener: Listener | null = null;
  #binding: Promise<void> | null = null;
  #wanted = false;
  #lastPort: number | null;
  /** Of `status`, which is asked for often. */
  #addressText: string;
  #targetText: string;
  #cancelRebind: Cancel = () => undefined;

  constructor(forward: F, hold: Hold, parts: CarrierParts, kind: ListeningKind<F>) {
    this.#forward = forward;
    this.#hold = hold;
    this.#parts = parts;
    this.#kind = kind;
    this.#lastPort = parts.preferredPort;
    this.#addressText = this.#address();
    this.#targetText = kind.target(forward);
    this.#view = { state: 'away', sinceMs: parts.clock.monotonic(), failures: 0, reached: false };
    this.#tally = createTally(parts);
    this.#crowd = new Crowd(parts.clock);
    this.#room = new WaitingRoom({
      clock: parts.clock,
      hold: () => this.#hold,
      knock: () => parts.events.knock(),
      serve: (connection, session) => connection.serve(session, this.#kind.open(this.#forward)),
      refuse: (connection, error) => connection.reset(error),
      changed: () => parts.events.changed(),
    });
  }

  get forward(): Forward {
    return this.#forward;
  }

  async open(): Promise<void> {
    this.#wanted = true;
    if (this.#mayListen()) await this.#bindOnce();
  }

  link(view: LinkView): void {
    this.#view = view;
    this.#room.link(view);
    if (this.#hold.kind === 'refuse') this.#follow();
  }

  accepts(forward: Forward, _hold: Hold): boolean {
    return (
      forward.type === this.#forward.type &&
      sameEndpoint(forward.listen, this.#forward.listen) &&
      this.#kind.takesOver(this.#forward, forward as F)
    );
  }

  replace(forward: Forward, hold: Hold): void {
    const refused = this.#hold.kind === 'refuse';
    this.#forward = forward as F;
    this.#hold = hold;
    this.#addressText = this.#address();
    this.#targetText = this.#kind.target(this.#forward);
    if (refused || hold.kind === 'refuse') this.#follow();
    this.#parts.events.changed();
  }

  resetConnections(): void {
    this.#resetAll(ended('the tunnel is restarted'));
  }

  status(): CarrierStatus {
    const held = this.#room.held;
    return {
      ...this.#tally.status(held),
      held,
      listen: this.#addressText,
      target: this.#targetText,
      bound: this.#listener !== null,
      exposed: !isLoopback(this.#forward.listen),
      probe: null,
    };
  }

  resetCounts(): void {
    this.#tally.reset();
    this.#parts.events.changed();
  }

  async close(drainMs: number): Promise<void> {
    this.#wanted = false;
    await this.#binding?.catch(() => undefined); // its owner hears of it
    await this.#unbind();
    this.#room.empty(ended('the tunnel is down'));
    await this.#crowd.drained(drainMs);
    this.#resetAll(ended('the tunnel is down'));
  }

  #accept(socket: Socket): void {
    const arrival = new Arrival(socket, this.#parts.clock);
    const connection = this.#add(arrival, (session) => this.#room.admit(connection, session));
    this.#room.admit(connection);
  }

  /** `again`: what to do when the link was lost before anything reached the target. */
  #add(arrival: Arrival, again: (session: Session, error: TunnelError) => void): Connection {
    const { clock, events } = this.#parts;
    this.#tally.accepted();
    this.#crowd.enter();
    const connection = new Connection({
      arrival,
      clock,
      traffic: this.#tally.traffic,
      request: (session, signal) => ({
        arrival,
        session,
        signal,
        clock,
        patientUntilMs: arrival.acceptedMs + (this.#hold.kind === 'wait' ? this.#hold.ms : 0),
        adopt: (socket, open) => this.#adopt(socket, session, open),
        log: (level, event, message) => events.log(level, event, message),
      }),
      again: (session, error) => (this.#wanted ? again(session, error) : connection.reset(error)),
      over: (error) => {
        this.#connections.remove(connection);
        this.#tally.ended(error);
        this.#crowd.leave();
      },
    });
    this.#connections.add(connection);
    return connection;
  }

  /** A further connection, for this session only: it cannot wait for another. */
  #adopt(socket: Socket, session: Session, open: OpenWay): void {
    const connection = this.#add(new Arrival(socket, this.#parts.clock), (_session, error) =>
      connection.reset(error),
    );
    connection.serve(session, open);
  }

  #resetAll(error: TunnelError): void {
    this.#room.empty(error);
    for (const connection of this.#connections.all()) connection.reset(error);
  }

  /** With `hold: refuse` there is a listener only while the link is up, or could be woken. */
  #mayListen(): boolean {
    return this.#hold.kind === 'wait' || this.#view.state === 'up' || this.#view.state === 'asleep';
  }

  #bindOnce(): Promise<void> {
    if (this.#listener !== null) return Promise.resolve();
    this.#binding ??= this.#bind().finally(() => (this.#binding = null));
    return this.#binding;
  }

  async #bind(): Promise<void> {
    const { events } = this.#parts;
    const listener = await listen(this.#forward.listen, {
      accept: (socket) => this.#accept(socket),
      preferredPort: this.#lastPort,
      trouble: (error) =>
        events.log('warn', 'accept-failed', `accept failed, on ${this.#addressText}: ${error.message}`),
      turnedAway: (error, first) => {
        this.#tally.turnedAway(error);
        if (first) events.log('warn', 'accept-failed', error.message, { hint: error.hint });
      },
    });
    if (!this.#wanted || !this.#mayListen()) return listener.close();
    this.#listener = listener;
    if (listener.at.kind === 'tcp') this.#lastPort = listener.at.port;
    this.#addressText = this.#address();
    this.#tally.broken(null);
    events.changed();
  }

  #unbind(): Promise<void> {
    this.#cancelRebind();
    const listener = this.#listener;
    this.#listener = null;
    this.#addressText = this.#address();
    return listener === null ? Promise.resolve() : listener.close();
  }

  /** hold: refuse opens and closes the listener with the link; a changed hold may want it back. */
  #follow(): void {
    if (!this.#wanted) return;
    this.#cancelRebind();
    if (!this.#mayListen()) {
      void this.#unbind().then(() => this.#parts.events.changed());
      return;
    }
    if (this.#listener !== null || this.#binding !== null) return;
    this.#bindOnce().catch((error: unknown) => {
      this.#tally.broken(asTunnelError(error));
      this.#cancelRebind = this.#parts.clock.schedule(rebindMs, () => this.#follow());
    });
  }

  #address(): string {
    if (this.#listener !== null) return formatEndpoint(this.#listener.at);
    const at = this.#forward.listen;
    return formatEndpoint(
      at.kind === 'tcp' && at.port === 0 && this.#lastPort !== null ? { ...at, port: this.#lastPort } : at,
    );
  }
}

function ended(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `client cut off: ${why}`);
}

export function sameEndpoint(one: Endpoint, other: Endpoint): boolean {
  if (one.kind === 'unix') return other.kind === 'unix' && one.path === other.path;
  return other.kind === 'tcp' && one.host === other.host && one.port === other.port;
}
