// Listeners on the server (-R): asking for them, what the server says about it, and the connections that come in.
import { TunnelError, type Hint } from '../../errors.ts';
import { cleanQuote } from '../../model/clean.ts';
import type { Clock } from '../../model/clock.ts';
import { formatEndpoint, formatHostPort, tcp, type Endpoint } from '../../model/endpoint.ts';
import type { Channel, Origin, RemoteListener } from '../../model/session.ts';
import type { IncomingOpen, Reply, Wire } from '../ssh2/wire.ts';

export type Accept = (channel: Channel, origin: Origin) => void;

/** What was asked for, and what it became. */
interface Taker {
  readonly asked: Endpoint;
  readonly bound: Endpoint;
  readonly accept: Accept;
}

export interface ListenersParts {
  readonly clock: Clock;
  readonly wire: Wire;
  /** What a person can do about a refusal: names the host. */
  readonly hostName: string;
  /** A connection that nobody asked for; at most once for each address. */
  readonly stray: (where: string) => void;
}

/** Addresses of strays that are told of. */
const mostStrays = 20;

export class Listeners {
  readonly #parts: ListenersParts;
  readonly #takers: Taker[] = [];
  /** Addresses of listeners that the server did not end when it was asked to, and what it bound in their place. */
  readonly #left = new Map<string, { readonly overriddenBy: string | null }>();
  readonly #strays = new Set<string>();
  /** One request at a time, so that what the server says meanwhile is about it. */
  #last: Promise<unknown> = Promise.resolve();
  #words: string[] = [];
  #lost: TunnelError | null = null;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
  }

  /** SSH_MSG_DEBUG: the only place where OpenSSH says why it refused, and that it bound something else. */
  heard(words: string): void {
    if (this.#words.length < 20) this.#words.push(cleanQuote(words));
  }

  /** Who takes a channel that the server opens; null for one that nobody asked for. */
  takerOf(open: IncomingOpen): ((channel: Channel) => void) | null {
    const { destIP, destPort, srcIP, srcPort, socketPath } = open.data;
    if (open.type === 'forwarded-streamlocal@openssh.com') {
      const path = socketPath ?? '';
      const taker = this.#takers.find(({ bound }) => bound.kind === 'unix' && bound.path === path);
      return this.#take(taker, path, { host: path, port: 0 });
    }
    if (open.type !== 'forwarded-tcpip') return null;
    const [host, port] = [destIP ?? '', destPort ?? 0];
    return this.#take(this.#tcpTaker(host, port), formatHostPort(host, port), {
      host: srcIP ?? '',
      port: srcPort ?? 0,
    });
  }

  /**
   * RFC 4254 7.2: the address and port that were asked for. Some servers name port 0 where that was asked, though they
   * told the real one; some another name of the address. The one listener that can be meant takes it.
   */
  #tcpTaker(host: string, port: number): Taker | undefined {
    const exact = this.#takers.find(
      ({ bound }) => bound.kind === 'tcp' && bound.host === host && bound.port === port,
    );
    if (exact !== undefined) return exact;
    const tcpTakers = this.#takers.flatMap((taker) =>
      taker.asked.kind === 'tcp' && taker.bound.kind === 'tcp'
        ? [{ taker, asked: taker.asked, bound: taker.bound }]
        : [],
    );
    const samePort = tcpTakers.filter(({ asked, bound }) => (port === 0 ? asked : bound).port === port);
    const sameHost = samePort.filter(({ asked }) => asked.host === host);
    const [only, other] = sameHost.length > 0 ? sameHost : samePort;
    return other === undefined ? only?.taker : undefined;
  }

  #take(taker: Taker | undefined, where: string, origin: Origin): ((channel: Channel) => void) | null {
    if (taker !== undefined) return (channel) => taker.accept(channel, origin);
    if (this.#left.has(where)) return null; // told of when it was to be ended
    if (this.#strays.size < mostStrays && !this.#strays.has(where)) {
      this.#strays.add(where);
      this.#parts.stray(where);
    }
    return null;
  }

  lose(reason: TunnelError): void {
    this.#lost = reason;
    this.#takers.length = 0;
    this.#left.clear();
  }

  /** Throws FORWARD_REFUSED, TIMED_OUT or the session's reason. */
  listen(at: Endpoint, accept: Accept, limits: { timeoutMs: number }): Promise<RemoteListener> {
    const turn = this.#last.then(() => this.#listen(at, accept, limits.timeoutMs));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #listen(at: Endpoint, accept: Accept, timeoutMs: number): Promise<RemoteListener> {
    if (this.#lost !== null) throw this.#lost;
    const { wire } = this.#parts;
    // a reply just before ours: what the server said about the login until then is not about this
    wire.ping(() => {
      this.#words = [];
    });
    const reply = await this.#ask(
      (done) => (at.kind === 'tcp' ? wire.listenTcp(at.host, at.port, done) : wire.listenUnix(at.path, done)),
      timeoutMs,
      (late) => {
        if (late.ok) this.#cancel(realEndpoint(at, late.data), null, () => undefined); // nobody waits for it any more
      },
    );
    if (this.#lost !== null) throw this.#lost;
    if (reply === null) throw listenTimedOut(at, timeoutMs);
    // refused because it is there: one that was to be ended, and was not
    const left = reply.ok ? undefined : this.#left.get(formatEndpoint(at));
    if (!reply.ok && left === undefined) throw listenRefused(at, this.#words, this.#parts.hostName);
    const bound = reply.ok ? realEndpoint(at, reply.data) : at;
    const taker: Taker = { asked: at, bound, accept };
    this.#forget(this.#takers.find((before) => formatEndpoint(before.bound) === formatEndpoint(bound)));
    this.#takers.push(taker);
    this.#left.delete(formatEndpoint(bound));
    const overridden = this.#words.some((words) => words.includes('overridden by server GatewayPorts'));
    const overriddenBy = left?.overriddenBy ?? (overridden ? '0.0.0.0' : null);
    return {
      at: bound,
      overriddenBy,
      close: (closeTimeoutMs) => this.#end(taker, overriddenBy, closeTimeoutMs),
    };
  }

  /** False: it was not known any more. */
  #forget(taker: Taker | undefined): boolean {
    const at = taker === undefined ? -1 : this.#takers.indexOf(taker);
    if (at >= 0) this.#takers.splice(at, 1);
    return at >= 0;
  }

  async #end(taker: Taker, overriddenBy: string | null, timeoutMs: number): Promise<TunnelError | null> {
    if (!this.#forget(taker)) return null;
    const before = this.#words.length;
    const reply = await this.#ask(
      (done) => this.#cancel(taker.bound, overriddenBy, done),
      timeoutMs,
      () => undefined,
    );
    if (this.#lost !== null || reply?.ok === true) return null;
    return stillListens(taker.bound, reply === null ? null : this.#words.slice(before), timeoutMs);
  }

  #cancel(at: Endpoint, overriddenBy: string | null, done: (reply: Reply) => void): void {
    const { wire } = this.#parts;
    if (this.#lost !== null) return done({ ok: false });
    const key = formatEndpoint(at);
    this.#left.set(key, { overriddenBy }); // until the server says otherwise
    const answered = (reply: Reply): void => {
      if (reply.ok) this.#left.delete(key);
      done(reply);
    };
    if (at.kind === 'tcp') wire.unlistenTcp(at.host, at.port, answered);
    else wire.unlistenUnix(at.path, answered);
  }

  /** Null when no reply came in time; one that comes later goes to `late`. */
  #ask(
    send: (done: (reply: Reply) => void) => void,
    timeoutMs: number,
    late: (reply: Reply) => void,
  ): Promise<Reply | null> {
    return new Promise((resolve) => {
      let over = false;
      const cancel = this.#parts.clock.schedule(timeoutMs, () => {
        over = true;
        resolve(null);
      });
      send((reply) => {
        if (over) return late(reply);
        cancel();
        resolve(reply);
      });
    });
  }
}

/** RFC 4254 7.1: with port 0 asked, the reply holds the port that was chosen. */
function realEndpoint(at: Endpoint, data: Buffer | null): Endpoint {
  if (at.kind === 'unix' || at.port !== 0 || data === null || data.length < 4) return at;
  return tcp(at.host, data.readUInt32BE(0));
}

function listenTimedOut(at: Endpoint, timeoutMs: number): TunnelError {
  return new TunnelError(
    'TIMED_OUT',
    `listening on ${formatEndpoint(at)} of the server failed: it gave no answer in ${timeoutMs / 1000}s`,
    { facts: { layer: 'listen' } },
  );
}

/** `words`: what the server said besides no; null: it gave no answer. */
function stillListens(at: Endpoint, words: readonly string[] | null, timeoutMs: number): TunnelError {
  const said = words?.at(-1);
  const why =
    words === null
      ? `it gave no answer in ${timeoutMs / 1000}s`
      : `it refused to stop, ${said === undefined ? 'and gave no reason' : `and says: ${said}`}`;
  return new TunnelError(
    'FORWARD_REFUSED',
    `the server still listens on ${formatEndpoint(at)}: ${why}; connections there are refused until the link ends`,
    { facts: { layer: 'listen', stillListens: true } },
  );
}

/** `forbidden`: the server said so in words, trying again is of no use (SPEC 3). */
function listenRefused(at: Endpoint, words: readonly string[], hostName: string): TunnelError {
  const said = words.filter((line) => !line.includes('overridden by')).at(-1) ?? null;
  const why = said === null ? 'it gave no reason' : `the server says: ${said}`;
  return new TunnelError(
    'FORWARD_REFUSED',
    `listening on ${formatEndpoint(at)} of the server failed: ${why}`,
    {
      hint: said === null ? busyHint(at) : forbiddenHint(at, hostName),
      facts: { layer: 'listen', forbidden: said !== null, words: said },
    },
  );
}

function busyHint(at: Endpoint): string {
  return at.kind === 'tcp'
    ? "the port may be taken there, by an old session of ours too (ClientAliveInterval in the server's sshd_config ends those); ports below 1024 need root"
    : "an old socket file may be in the way: the server's sshd_config may set StreamLocalBindUnlink yes, or remove the file there";
}

function forbiddenHint(at: Endpoint, hostName: string): Hint {
  const settings =
    at.kind === 'tcp'
      ? 'AllowTcpForwarding, PermitListen, DisableForwarding'
      : 'AllowStreamLocalForwarding, DisableForwarding';
  return [
    `look at ${settings} in the sshd_config of ${hostName}, and at restrict and permitlisten in its authorized_keys; a change there is for new sessions: `,
    { command: 'restart' },
  ];
}
