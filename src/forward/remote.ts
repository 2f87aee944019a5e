// Remote forwards (-R): a listener on the server, asked for on every link anew; its connections are dialled here.
//
//   link up ─▶ asking ─▶ listening ─(link lost)─▶ nothing
//                │ ▲
//        refused ▼ │ backoff, on the same link
//              waiting
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Carrier, CarrierParts, CarrierStatus, LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import { formatEndpoint, isLoopback, tcp, type Endpoint } from '../model/endpoint.ts';
import type { Forward, RemoteForward } from '../model/forward.ts';
import type { Channel, RemoteListener, Session } from '../model/session.ts';
import type { Hold } from '../model/tunnel.ts';
import { Crowd } from './crowd.ts';
import { sameEndpoint } from './listening.ts';
import { RemoteFlow } from './remote-flow.ts';
import { connectHere } from './remote-target.ts';
import { Roster } from './roster.ts';
import { clearStaleSocket } from './stale-socket.ts';
import { createTally } from './tally.ts';

const askMs = 10_000;
/** The server confirms the end of a listener at once, or is not waited for (SPEC 4, `down`). */
const confirmMs = 2000;
/** Removing its socket file together with the end of a listener must not keep `down` waiting. */
const leaveMs = 1000;
const firstRetryMs = 500;
const lastRetryMs = 30_000;
/** So often the port of the last link is asked for again before the server may pick another. */
const samePortTries = 5;

interface Asking {
  readonly session: Session;
  attempt: number;
  listener: RemoteListener | null;
  retry: { readonly atMs: number; readonly cancel: Cancel } | null;
}

export class RemoteCarrier implements Carrier {
  readonly #parts: CarrierParts;
  readonly #tally;
  readonly #crowd: Crowd;
  readonly #flows = new Roster<RemoteFlow>();
  #forward: RemoteForward;
  #asking: Asking | null = null;
  #lastPort: number | null;
  #closed = false;

  constructor(forward: RemoteForward, parts: CarrierParts) {
    this.#forward = forward;
    this.#parts = parts;
    this.#lastPort = parts.preferredPort;
    this.#tally = createTally(parts);
    this.#crowd = new Crowd(parts.clock);
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
    void this.#leave(this.#asking);
    this.#asking = null;
    this.#tally.broken(null);
    if (session !== null && !this.#closed) {
      this.#asking = { session, attempt: 0, listener: null, retry: null };
      void this.#ask(this.#asking);
    }
    this.#parts.events.changed();
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
    for (const flow of this.#flows.all()) flow.reset(ended('the tunnel is restarted'));
  }

  status(): CarrierStatus {
    const listener = this.#asking?.listener ?? null;
    const { target } = this.#forward;
    return {
      ...this.#tally.status(0),
      held: 0,
      retryAtMs: this.#asking?.retry?.atMs ?? null,
      listen: formatEndpoint(listener?.at ?? this.#wish()),
      target: target === null ? '*' : formatEndpoint(target),
      bound: listener !== null,
      exposed: !isLoopback(this.#forward.listen) || (listener?.overriddenBy ?? null) !== null,
      probe: null,
    };
  }

  resetCounts(): void {
    this.#tally.reset();
    this.#parts.events.changed();
  }

  async close(drainMs: number): Promise<void> {
    this.#closed = true;
    const asking = this.#asking;
    this.#asking = null;
    const left = await this.#leave(asking);
    if (left !== null) {
      this.#parts.events.log('warn', 'remote-left', left.message);
      this.#tally.broken(left);
    }
    await this.#crowd.drained(drainMs);
    for (const flow of this.#flows.all()) flow.reset(ended('the tunnel is down'));
  }

  /** Ends a listener; resolves when the server confirmed, or soon. Not null: it is still there. */
  async #leave(asking: Asking | null): Promise<TunnelError | null> {
    if (asking === null) return null;
    asking.retry?.cancel();
    if (asking.listener === null) return null;
    const left = await asking.listener.close(confirmMs);
    const { at } = asking.listener;
    if (at.kind === 'unix') await clearStaleSocket(asking.session, at.path, leaveMs); // sshd leaves the file
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
      if (error.facts['forbidden'] !== true || at.kind !== 'tcp' || at.host !== '127.0.0.1') throw error;
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
    this.#tally.broken(null);
    events.changed();
  }

  async #refused(asking: Asking, at: Endpoint, error: TunnelError): Promise<void> {
    if (this.#asking !== asking || error.code === 'LINK_LOST') return;
    asking.attempt += 1;
    if (this.#tally.status(0).error?.message !== error.message)
      this.#parts.events.log('warn', 'remote-refused', error.message, { attempt: asking.attempt });
    if (asking.attempt >= samePortTries) this.#lastPort = null;
    const cleared = at.kind === 'unix' && (await clearStaleSocket(asking.session, at.path, askMs));
    if (this.#asking !== asking) return;
    const delayMs = cleared ? 0 : Math.min(lastRetryMs, firstRetryMs * 2 ** (asking.attempt - 1));
    const { clock } = this.#parts;
    const cancel = clock.schedule(delayMs, () => this.#again(asking));
    asking.retry = { atMs: clock.monotonic() + delayMs, cancel };
    this.#tally.broken(error);
  }

  #again(asking: Asking): void {
    asking.retry = null;
    void this.#ask(asking);
  }

  /** Called from the packet parser: must not throw. */
  #accept(channel: Channel): void {
    this.#tally.accepted();
    this.#crowd.enter();
    const flow = new RemoteFlow({
      channel,
      clock: this.#parts.clock,
      traffic: this.#tally.traffic,
      over: (error) => {
        this.#flows.remove(flow);
        this.#tally.ended(error);
        this.#crowd.leave();
      },
    });
    this.#flows.add(flow);
    flow.start(connectHere(this.#forward));
  }
}

function ended(why: string): TunnelError {
  return new TunnelError('LINK_LOST', `client cut off, on the server: ${why}`);
}
