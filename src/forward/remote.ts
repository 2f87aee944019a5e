// Remote forwards (-R): a listener on the server, asked for on every link anew; its connections are dialled here.
//
//   link up ─▶ asking ─▶ listening ─(link lost)─▶ nothing
//                │ ▲
//        refused ▼ │ backoff, on the same link
//              waiting
import type { Socket } from 'node:net';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts, CarrierStatus, LinkView, Listening } from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { formatEndpoint, isLoopback, tcp, type Endpoint } from '../model/endpoint.ts';
import type { FlowView } from '../model/flow.ts';
import type { Forward, RemoteForward } from '../model/forward.ts';
import { GiveUp } from '../model/give-up.ts';
import type { Channel, RemoteListener, Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import { Flows, viewOf, type Flow } from './flows.ts';
import { flowError, sameEndpoint } from './local.ts';
import { connectHere, type ConnectHere, type Connected } from './remote-target.ts';
import { Splice, type Traffic } from './splice.ts';

const askMs = 10_000;
/** A listener moves from a live session to a fresh one: so long a refusal is our own old listener, and this often it is asked anew. */
const movingMs = 2_000;
const movingRetryMs = 50;
/** The server confirms the end of a listener at once, or is not waited for (SPEC 4, `down`). */
const confirmMs = 2000;
/** Removing its socket file together with the end of a listener must not keep `down` waiting. */
const leaveMs = 1000;
/** So long the port of the last link is asked for again before the server may pick another. */
const samePortMs = 7_500;

interface Asking {
  readonly session: Session;
  /** Until then our own listener on the session before this one may have the address (monotonic). */
  readonly movingUntilMs: number;
  attempt: number;
  /** When the server refused first (monotonic). */
  refusedAtMs: number | null;
  listener: RemoteListener | null;
  retry: { readonly atMs: number; readonly cancel: Cancel } | null;
}

export class RemoteCarrier implements Carrier {
  readonly #parts: CarrierParts;
  readonly #flows: Flows<RemoteFlow>;
  #forward: RemoteForward;
  #asking: Asking | null = null;
  #lastPort: number | null;
  #closed = false;
  /** A socket file is being removed: until the server has answered, the next session's would be met by it. */
  #removal: Promise<unknown> | null = null;
  #predecessor: CarrierParts['predecessorLeaves'];

  constructor(forward: RemoteForward, parts: CarrierParts) {
    this.#predecessor = parts.predecessorLeaves;
    this.#forward = forward;
    this.#parts = parts;
    this.#lastPort = parts.preferredPort;
    this.#flows = new Flows(parts);
  }

  get forward(): Forward {
    return this.#forward;
  }

  open(): Promise<void> {
    this.#closed = false;
    return Promise.resolve(); // the server listens, once there is a link
  }

  link(view: LinkView): void {
    const session = view.state === 'up' ? view.session : null;
    if (session === (this.#asking?.session ?? null)) return;
    const before = this.#asking;
    const left = this.#leave(before);
    this.#asking = null;
    this.#flows.broken(null);
    // One that the server refused has nothing that could be in the way of the next.
    const mayHave = before !== null && (before.listener !== null || before.refusedAtMs === null);
    if (session !== null && !this.#closed)
      this.#askOver(session, this.#predecessorLeaves() ?? (mayHave ? left : this.#removal));
    this.#parts.events.changed();
  }

  /** Once, before the first time that the server is asked. */
  #predecessorLeaves(): Promise<void> | null {
    const leaves = this.#predecessor;
    this.#predecessor = null;
    return leaves?.() ?? null;
  }

  /** `left`: the listener on the session before this one is being cancelled. */
  #askOver(session: Session, left: Promise<unknown> | null): void {
    const movingUntilMs = left === null ? 0 : this.#parts.clock.monotonic() + movingMs;
    const asking: Asking = {
      session,
      movingUntilMs,
      attempt: 0,
      refusedAtMs: null,
      listener: null,
      retry: null,
    };
    this.#asking = asking;
    const ask = (): void => {
      if (this.#asking === asking) void this.#ask(asking);
    };
    if (left === null) ask();
    else void left.then(ask, ask);
  }

  accepts(forward: Forward, _hold: Hold): boolean {
    return forward.type === 'remote' && sameEndpoint(forward.listen, this.#forward.listen);
  }

  replace(forward: Forward, _hold: Hold): void {
    this.#forward = forward as RemoteForward;
    this.#parts.events.changed();
  }

  retry(): void {
    const asking = this.#asking;
    if (asking?.retry == null) return;
    asking.retry.cancel();
    this.#again(asking);
  }

  resetConnections(): void {
    this.#flows.resetAll(cutOff('the tunnel is restarted'));
  }

  status(): CarrierStatus {
    const listener = this.#asking?.listener ?? null;
    const { target } = this.#forward;
    return {
      ...this.#flows.status(0),
      held: 0,
      retryAtMs: this.#asking?.retry?.atMs ?? null,
      listen: formatEndpoint(listener?.at ?? this.#wish()),
      target: target === null ? '*' : formatEndpoint(target),
      bound: listener !== null,
      exposed: !isLoopback(this.#forward.listen) || (listener?.overriddenBy ?? null) !== null,
      probe: null,
    };
  }

  /** On the server: for another process, whose server may be asked for the same port again. */
  listening(): Listening | null {
    const listener = this.#asking?.listener ?? null;
    return listener === null ? null : { at: listener.at, descriptors: [] };
  }

  async letGo(): Promise<void> {
    this.#closed = true;
    const asking = this.#asking;
    this.#asking = null;
    await this.#leave(asking);
  }

  connections(most: number): readonly FlowView[] {
    return this.#flows.living(most).map((flow) => flow.view());
  }

  async close(drainMs: number): Promise<void> {
    this.#closed = true;
    const asking = this.#asking;
    this.#asking = null;
    const left = await this.#leave(asking);
    if (left !== null) {
      this.#parts.events.log('warn', 'remote-left', left.message);
      this.#flows.broken(left);
    }
    await this.#flows.drained(drainMs);
    this.#flows.resetAll(cutOff('the tunnel is down'));
  }

  /** Ends a listener; resolves when the server confirmed, or soon. Not null: it is still there. */
  async #leave(asking: Asking | null): Promise<TunnelError | null> {
    if (asking === null) return null;
    asking.retry?.cancel();
    if (asking.listener === null) return null;
    const left = await asking.listener.close(confirmMs);
    const { at } = asking.listener;
    if (at.kind === 'unix') await this.#clear(asking, at.path, leaveMs, () => true); // sshd leaves the file
    return left;
  }

  /** The address to ask for: a port the server chose once is asked for again. */
  #wish(): Endpoint {
    const { listen } = this.#forward;
    return listen.kind === 'tcp' && listen.port === 0 && this.#lastPort !== null
      ? tcp(listen.host, this.#lastPort)
      : listen;
  }

  async #ask(asking: Asking): Promise<void> {
    const at = this.#wish();
    try {
      this.#listening(asking, await this.#listen(asking.session, at));
    } catch (thrown) {
      await this.#refused(asking, at, asTunnelError(thrown));
    }
  }

  /**
   * 127.0.0.1 is what a bare port means here: with `localhost`, OpenSSH is content when one of both loopbacks is free,
   * and a port that another program has would look like ours. But PermitListen may know only ssh's own default.
   */
  async #listen(session: Session, at: Endpoint): Promise<RemoteListener> {
    const accept = (channel: Channel): void => this.#accept(channel);
    try {
      return await session.listenRemote(at, accept, { timeoutMs: askMs });
    } catch (thrown) {
      const error = asTunnelError(thrown);
      if (error.facts.forbidden !== true || at.kind !== 'tcp' || at.host !== '127.0.0.1') throw error;
      const usual = tcp('localhost', at.port);
      return session.listenRemote(usual, accept, { timeoutMs: askMs }).catch(() => Promise.reject(error));
    }
  }

  #listening(asking: Asking, listener: RemoteListener): void {
    if (this.#asking !== asking) return void listener.close(confirmMs); // closed, or another link, meanwhile
    asking.listener = listener;
    if (listener.at.kind === 'tcp') this.#lastPort = listener.at.port;
    const { events } = this.#parts;
    const where = formatEndpoint(listener.at);
    events.log('info', 'remote-listening', `the server listens on ${where}`);
    if (listener.overriddenBy !== null)
      events.log(
        'warn',
        'remote-exposed',
        `asked for ${where}, but the server's GatewayPorts binds ${listener.overriddenBy}`,
      );
    this.#flows.broken(null);
    events.changed();
  }

  async #refused(asking: Asking, at: Endpoint, error: TunnelError): Promise<void> {
    if (this.#asking !== asking || error.code === 'LINK_LOST') return;
    const { clock, backoffMs } = this.#parts;
    if (clock.monotonic() < asking.movingUntilMs) return this.#askSoon(asking, movingRetryMs);
    asking.attempt += 1;
    if (this.#flows.status(0).error?.message !== error.message)
      this.#parts.events.log('warn', 'remote-refused', error.message, { attempt: asking.attempt });
    asking.refusedAtMs ??= clock.monotonic();
    if (clock.monotonic() - asking.refusedAtMs >= samePortMs) this.#lastPort = null;
    const isAsked = (): boolean => this.#asking === asking;
    const cleared = at.kind === 'unix' && (await this.#clear(asking, at.path, askMs, isAsked));
    if (!isAsked()) return;
    const delayMs = cleared ? 0 : backoffMs(asking.attempt);
    this.#askSoon(asking, delayMs);
    this.#flows.broken(error);
  }

  /**
   * Removes a socket file that an old session of ours left on the server: sshd does not remove it, and cannot bind over it.
   * True when it was removed. Each of the two questions may take `timeoutMs`; `isWanted` is asked between them, since the file
   * may be the listener of a later session by the time that the answer comes.
   */
  async #clear(
    { session }: Asking,
    path: string,
    timeoutMs: number,
    isWanted: () => boolean,
  ): Promise<boolean> {
    if (session.removeSocket === undefined || !(await isDead(session, path, timeoutMs)) || !isWanted())
      return false;
    const removal = session.removeSocket(path, timeoutMs).catch(() => false);
    this.#removal = removal;
    const removed = await removal;
    if (this.#removal === removal) this.#removal = null;
    return removed;
  }

  #askSoon(asking: Asking, delayMs: number): void {
    const { clock } = this.#parts;
    const cancel = clock.schedule(delayMs, () => this.#again(asking));
    asking.retry = { atMs: clock.monotonic() + delayMs, cancel };
  }

  #again(asking: Asking): void {
    asking.retry = null;
    void this.#ask(asking);
  }

  /** Called from the packet parser: must not throw. */
  #accept(channel: Channel): void {
    const flow = new RemoteFlow(channel, this.#parts.clock, this.#flows);
    this.#flows.add(flow);
    flow.start(connectHere(this.#forward));
  }
}

/** What a flow counts its bytes in, and tells of its end. */
type FlowOwner = { readonly traffic: Traffic; remove(flow: RemoteFlow, error: TunnelError | null): void };

/** A connection that came from the server: dialled here, then joined. */
export class RemoteFlow implements Flow {
  place = -1;
  readonly #channel: Channel;
  readonly #clock: Clock;
  readonly #flows: FlowOwner;
  readonly #leaving = new GiveUp();
  readonly #acceptedMs: number;
  #over = false;
  #running: Splice | null = null;
  /** Dialled here, once it is. */
  #socket: Socket | null = null;
  #resetBy: TunnelError | null = null;

  constructor(channel: Channel, clock: Clock, flows: FlowOwner) {
    this.#channel = channel;
    this.#clock = clock;
    this.#flows = flows;
    this.#acceptedMs = clock.monotonic();
  }

  view(): FlowView {
    const ageMs = this.#clock.monotonic() - this.#acceptedMs;
    return viewOf(this.#socket, { ageMs, running: this.#running !== null });
  }

  start(connect: ConnectHere): void {
    const left = (clean: boolean): void => this.#stop(clean ? null : flowError('link lost'));
    connect({ channel: this.#channel, clock: this.#clock, signal: this.#leaving, left })
      .then((connected) => this.#run(connected))
      .catch((thrown: unknown) => this.#stop(asTunnelError(thrown)));
  }

  /** Ends it now, as a fault. */
  reset(error: TunnelError): void {
    this.#resetBy = error;
    if (this.#running === null) this.#stop(error);
    else this.#running.reset(error.message);
  }

  #run(connected: Connected): void {
    if (this.#over) return void connected.socket.destroy();
    this.#socket = connected.socket;
    this.#running = new Splice({
      ...connected,
      traffic: this.#flows.traffic,
      early: [],
      ended: false,
      finished: ({ failed, reason }) =>
        this.#finish(failed ? (this.#resetBy ?? flowError(reason ?? 'link lost')) : null),
    });
  }

  #stop(error: TunnelError | null): void {
    this.#finish(error);
    this.#leaving.abort();
    this.#channel.close();
  }

  #finish(error: TunnelError | null): void {
    if (this.#over) return;
    this.#over = true;
    this.#flows.remove(this, error);
  }
}

/** The server can see that nobody answers at the socket. A live one, or one nothing can be told of, is not dead. */
async function isDead(session: Session, path: string, timeoutMs: number): Promise<boolean> {
  try {
    const target = { kind: 'unix', path } as const;
    const channel = await session.openChannel(target, { host: '127.0.0.1', port: 0 }, { timeoutMs });
    channel.close();
    return false;
  } catch (thrown) {
    return asTunnelError(thrown).facts.reason === 'connect-failed';
  }
}

function cutOff(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `client cut off, on the server: ${why}`);
}
