// Forwards that listen here: the listener, the connections it accepts, and their way to a channel and to their end.
// -L itself is at the end; -D and FTP add how they get from an accepted connection to a channel (OpenWay).
//
//   accept ─▶ held ─▶ opening ─▶ running (Splice) ─▶ over
//               ▲        │
//               └────────┘ link lost before anything reached the target
import type { Socket } from 'node:net';
import { asTunnelError, TunnelError } from '../errors.ts';
import type {
  AdoptedListener,
  Carrier,
  CarrierEvents,
  CarrierParts,
  CarrierStatus,
  LinkView,
  Listening,
} from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { formatEndpoint, isLoopback, type Endpoint } from '../model/endpoint.ts';
import type { FlowView } from '../model/flow.ts';
import type { DynamicForward, Forward, LocalForward } from '../model/forward.ts';
import { GiveUp, type GiveUpSignal } from '../model/give-up.ts';
import type { Channel, Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import { Flows, viewOf, type Flow } from './flows.ts';
import { Client, HeldConnections, type Holdable } from './hold.ts';
import { listen, type Listener } from './sockets.ts';
import { Splice, type Traffic } from './splice.ts';

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

/** How a kind of forward gets from an accepted connection to a channel. */
export type OpenWay = (request: OpenRequest) => Promise<Opened>;

export interface OpenRequest {
  readonly client: Client;
  readonly session: Session;
  /** Aborted when the client leaves or the connection is reset. */
  readonly signal: GiveUpSignal;
  readonly clock: Clock;
  /** Until then (monotonic) a client may wait for a server of which nobody knows yet whether it lives. */
  readonly waitsUntilMs: number;
  /** A further connection that belongs to the forward (FTP's data): counted, drained and reset like any other. */
  adopt(socket: Socket, open: OpenWay): void;
  log(level: 'debug' | 'info' | 'warn', event: string, message: string): void;
}

export type Opened =
  /** `first` goes to the client before anything of the channel. */
  | { readonly kind: 'channel'; readonly channel: Channel; readonly first?: Buffer }
  /** Refused in the client's own protocol: these are its last bytes, then a clean end. */
  | { readonly kind: 'farewell'; readonly bytes: Buffer; readonly error: TunnelError };

/** A listener that could not be bound again (hold: refuse) is tried this often (SPEC 3). */
const rebindMs = 5000;
/** How long clients of an adopted listener are left in its queue, before they are accepted and held. */
const queueMs = 10_000;

export class ListeningCarrier<F extends ListeningForward> implements Carrier {
  readonly #kind: ListeningKind<F>;
  readonly #parts: CarrierParts;
  readonly #flows: Flows<Connection>;
  readonly #held: HeldConnections;
  #forward: F;
  #listener: Listener | null = null;
  #binding: Promise<void> | null = null;
  #wanted = false;
  #lastPort: number | null;
  /** Of `status`, which is asked for often. */
  #addressText: string;
  #targetText: string;
  #cancelRebind: Cancel = () => undefined;
  readonly #adopted: AdoptedListener | null;
  /** Until the first link is there or has failed, whoever comes waits in the kernel's queue of the adopted listener. */
  #queues: boolean;
  #stopQueue: Cancel = () => undefined;
  #given = false;

  constructor(forward: F, hold: Hold, parts: CarrierParts, kind: ListeningKind<F>) {
    this.#forward = forward;
    this.#parts = parts;
    this.#kind = kind;
    this.#lastPort = parts.preferredPort;
    this.#addressText = this.#address();
    this.#targetText = kind.target(forward);
    this.#flows = new Flows(parts);
    this.#held = new HeldConnections(hold, parts);
    this.#adopted = parts.adopted ?? null;
    this.#queues = this.#adopted !== null;
    if (this.#queues) this.#stopQueue = parts.clock.schedule(queueMs, () => this.#endQueue());
  }

  get forward(): Forward {
    return this.#forward;
  }

  async open(): Promise<void> {
    this.#wanted = true;
    if (this.#mayListen) await this.#bindOnce();
  }

  link(view: LinkView): void {
    this.#held.link(view);
    if (this.#queues && (view.state !== 'away' || view.failures > 0)) this.#endQueue();
    else if (this.#held.refuses) this.#follow();
  }

  #endQueue(): void {
    this.#stopQueue();
    this.#queues = false;
    this.#follow();
  }

  accepts(forward: Forward, _hold: Hold): boolean {
    return (
      forward.type === this.#forward.type &&
      sameEndpoint(forward.listen, this.#forward.listen) &&
      this.#kind.takesOver(this.#forward, forward as F)
    );
  }

  replace(forward: Forward, hold: Hold): void {
    const refused = this.#held.refuses;
    this.#forward = forward as F;
    this.#held.replace(hold);
    this.#addressText = this.#address();
    this.#targetText = this.#kind.target(this.#forward);
    if (refused || this.#held.refuses) this.#follow();
    this.#parts.events.changed();
  }

  resetConnections(): void {
    this.#resetAll(cutOff('the tunnel is restarted'));
  }

  status(): CarrierStatus {
    const held = this.#held.count;
    return {
      ...this.#flows.status(held),
      held,
      listen: this.#addressText,
      target: this.#targetText,
      bound: this.#listener !== null || (this.#queues && this.#wanted),
      exposed: !isLoopback(this.#forward.listen),
      probe: null,
    };
  }

  listening(): Listening | null {
    const listener = this.#listener;
    if (listener === null || listener.descriptors.length === 0) return null;
    return { at: listener.at, descriptors: listener.descriptors };
  }

  async letGo(): Promise<void> {
    this.#given = true;
    await this.#binding?.catch(() => undefined);
    this.#cancelRebind();
    const listener = this.#listener;
    this.#listener = null;
    await listener?.letGo();
  }

  connections(most: number): readonly FlowView[] {
    return this.#flows.living(most).map((connection) => connection.view());
  }

  async close(drainMs: number): Promise<void> {
    this.#wanted = false;
    this.#stopQueue();
    await this.#binding?.catch(() => undefined); // its owner hears of it
    await this.#unbind();
    this.#held.resetAll(cutOff('the tunnel is down'));
    await this.#flows.drained(drainMs);
    this.#resetAll(cutOff('the tunnel is down'));
  }

  #resetAll(error: TunnelError): void {
    this.#held.resetAll(error);
    this.#flows.resetAll(error);
  }

  // For its connections.

  get clock(): Clock {
    return this.#parts.clock;
  }

  get events(): CarrierEvents {
    return this.#parts.events;
  }

  get traffic(): Traffic {
    return this.#flows.traffic;
  }

  /** How a connection gets to a channel now. */
  get way(): OpenWay {
    return this.#kind.open(this.#forward);
  }

  waitsUntilMs(client: Client): number {
    return this.#held.waitsUntilMs(client);
  }

  /** The link was lost before anything of the client reached the target: it waits for the next session. */
  again(connection: Connection, lost: Session, error: TunnelError): void {
    if (this.#wanted) this.#held.admit(connection, lost);
    else connection.reset(error);
  }

  adopt(socket: Socket, session: Session, way: OpenWay): void {
    const connection = new Connection(this, socket, way);
    this.#flows.add(connection);
    connection.serve(session);
  }

  over(connection: Connection, error: TunnelError | null): void {
    this.#flows.remove(connection, error);
  }

  #accept(socket: Socket): void {
    const connection = new Connection(this, socket, null);
    this.#flows.add(connection);
    this.#held.admit(connection);
  }

  // The listener.

  get #mayListen(): boolean {
    return !this.#given && !this.#queues && this.#held.mayListen;
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
      adopted: this.#adopted?.take() ?? null,
      trouble: (error) =>
        events.log('warn', 'accept-failed', `accept failed, on ${this.#addressText}: ${error.message}`),
      turnedAway: (error, first) => {
        this.#flows.turnedAway(error);
        if (first) events.log('warn', 'accept-failed', error.message, { hint: error.hint });
      },
    });
    if (!this.#wanted || !this.#mayListen) return listener.close();
    this.#listener = listener;
    if (listener.at.kind === 'tcp') this.#lastPort = listener.at.port;
    this.#addressText = this.#address();
    this.#flows.broken(null);
    events.changed();
  }

  #unbind(): Promise<void> {
    this.#cancelRebind();
    this.#adopted?.drop();
    const listener = this.#listener;
    this.#listener = null;
    this.#addressText = this.#address();
    return listener === null ? Promise.resolve() : listener.close();
  }

  /** hold: refuse opens and closes the listener with the link; a changed hold may want it back. */
  #follow(): void {
    if (!this.#wanted || this.#queues || this.#given) return;
    this.#cancelRebind();
    if (!this.#mayListen) {
      void this.#unbind().then(() => this.#parts.events.changed());
      return;
    }
    if (this.#listener !== null || this.#binding !== null) return;
    this.#bindOnce().catch((error: unknown) => {
      this.#flows.broken(asTunnelError(error));
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

/** How long a client may take to read its last bytes. */
const farewellMs = 5000;

/** A connection accepted here. */
class Connection implements OpenRequest, Holdable, Flow {
  place = -1;
  readonly client: Client;
  readonly #carrier: ListeningCarrier<ListeningForward>;
  /** Of an adopted connection: it belongs to one session, and cannot wait for another. */
  readonly #ownWay: OpenWay | null;
  readonly #leaving = new GiveUp();
  #session: Session | null = null;
  #waitsUntilMs = 0;
  #over = false;
  #running: Splice | null = null;
  #resetBy: TunnelError | null = null;

  constructor(carrier: ListeningCarrier<ListeningForward>, socket: Socket, ownWay: OpenWay | null) {
    this.#carrier = carrier;
    this.#ownWay = ownWay;
    this.client = new Client(socket, carrier.clock);
  }

  get clock(): Clock {
    return this.#carrier.clock;
  }

  get signal(): GiveUpSignal {
    return this.#leaving;
  }

  get waitsUntilMs(): number {
    return this.#waitsUntilMs;
  }

  get session(): Session {
    if (this.#session === null) throw new TunnelError('INTERNAL', 'a connection has no session yet');
    return this.#session;
  }

  view(): FlowView {
    const { socket, acceptedMs } = this.client;
    return viewOf(socket, {
      ageMs: this.clock.monotonic() - acceptedMs,
      running: this.#running !== null,
    });
  }

  adopt(socket: Socket, way: OpenWay): void {
    this.#carrier.adopt(socket, this.session, way);
  }

  log(level: 'debug' | 'info' | 'warn', event: string, message: string): void {
    this.#carrier.events.log(level, event, message);
  }

  serve(session: Session): void {
    const { client } = this;
    if (this.#over) return;
    this.#session = session;
    this.#waitsUntilMs = this.#carrier.waitsUntilMs(client);
    client.watch({ left: () => this.#finish(null) });
    if (client.gone()) return this.#finish(null);
    const open = this.#ownWay ?? this.#carrier.way;
    open(this)
      .then((opened) => this.#settle(opened))
      .catch((thrown: unknown) => this.#failed(asTunnelError(thrown), session));
  }

  reset(error: TunnelError): void {
    this.#resetBy = error;
    if (this.#running !== null) return this.#running.reset(error.message);
    this.client.reset();
    this.#finish(error);
  }

  #failed(error: TunnelError, session: Session): void {
    if (this.#over) return;
    if (error.code === 'LINK_LOST' && this.#ownWay === null) this.#carrier.again(this, session, error);
    else this.reset(error);
  }

  #settle(opened: Opened): void {
    const late = this.#over || this.client.gone();
    if (opened.kind === 'channel') {
      if (late) discard(opened.channel);
      else this.#run(opened.channel, opened.first);
    } else if (!late) this.#sayFarewell(opened.bytes, opened.error);
  }

  #run(channel: Channel, first: Buffer | undefined): void {
    const { socket } = this.client;
    const { early, ended } = this.client.release();
    if (first !== undefined) socket.write(first);
    this.#running = new Splice({
      socket,
      channel,
      early,
      ended,
      traffic: this.#carrier.traffic,
      finished: ({ failed, reason }) =>
        this.#finish(failed ? (this.#resetBy ?? flowError(reason ?? 'link lost')) : null),
    });
  }

  #sayFarewell(bytes: Buffer, error: TunnelError): void {
    const { socket } = this.client;
    this.client.release();
    socket.on('error', () => undefined); // it is over either way
    const cancel = this.clock.schedule(farewellMs, () => socket.destroy());
    socket.once('close', cancel);
    socket.on('data', () => undefined); // what it still says is read, or the close would be a reset to it
    socket.end(bytes, () => socket.destroy());
    this.#finish(error);
  }

  #finish(error: TunnelError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#leaving.abort();
    this.#carrier.over(this, error);
  }
}

/** Closes a channel that nobody wants any more. */
function discard(channel: Channel): void {
  channel.attach({
    data: () => undefined,
    end: () => undefined,
    closed: () => undefined,
    drain: () => undefined,
  });
  channel.close();
}

export function flowError(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `connection broken: ${why}`);
}

function cutOff(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `client cut off: ${why}`);
}

export function sameEndpoint(one: Endpoint, other: Endpoint): boolean {
  if (one.kind === 'unix') return other.kind === 'unix' && one.path === other.path;
  return other.kind === 'tcp' && one.host === other.host && one.port === other.port;
}

/** How long a target may take to answer. */
const openMs = 10_000;

/**
 * Opens a channel to the target. Throws FORWARD_REFUSED, TIMED_OUT (the server lives, the target does not answer) or
 * LINK_LOST (the server did not answer either: a connection of which nothing was sent yet can be held).
 */
export async function openTo(target: Endpoint, request: OpenRequest): Promise<Channel> {
  const { session, client, signal } = request;
  try {
    return await session.openChannel(target, client.origin, { timeoutMs: openMs, signal });
  } catch (error) {
    if (error instanceof TunnelError && error.code === 'TIMED_OUT' && !signal.aborted)
      await serverLives(request, session);
    throw error;
  }
}

/**
 * Resolves when the server answers or the client has waited long enough; throws LINK_LOST when the link is gone.
 * A frozen server is given the time its own keepalive gives it: the other connections of the link depend on it.
 */
async function serverLives({ signal, clock, waitsUntilMs }: OpenRequest, session: Session): Promise<void> {
  const { intervalMs, count } = session.host.keepalive;
  const answered = session.ping(Math.max(openMs, intervalMs * (count + 1)));
  const waited = new Promise<void>((resolve) => {
    const cancel = clock.schedule(Math.max(0, waitsUntilMs - clock.monotonic()), resolve);
    const stop = (): void => (cancel(), resolve());
    signal.addEventListener('abort', stop);
    answered.then(stop, stop);
  });
  await Promise.race([answered, waited]);
}

/** -L: a connection accepted here is one channel to the target. */
export function createLocalCarrier(forward: LocalForward, hold: Hold, parts: CarrierParts): Carrier {
  return new ListeningCarrier(forward, hold, parts, {
    target: ({ target }) => formatEndpoint(target),
    open:
      ({ target }) =>
      async (request) => ({ kind: 'channel', channel: await openTo(target, request) }),
    takesOver: (before, after) => before.protocol === after.protocol,
  });
}
