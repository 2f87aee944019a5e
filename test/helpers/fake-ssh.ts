// A dialer and sessions without a network: a test sees each dial and decides what becomes of it.
import type { TypedSecrets } from '../../src/model/handover.ts';
import type { ErrorCode } from '../../src/errors.ts';
import { TunnelError } from '../../src/errors.ts';
import { formatAddress } from '../../src/model/host.ts';
import type { Host } from '../../src/model/host.ts';
import type {
  CallerEnvironment,
  Channel,
  ChannelReader,
  DialContext,
  Dialer,
  OpenTransport,
  RemoteListener,
  Session,
  UserCertificate,
} from '../../src/model/session.ts';
import { settle } from './fake-clock.ts';

export const unreachable = (): TunnelError =>
  new TunnelError('UNREACHABLE', 'connect failed, on it: refused', { facts: { tcpLevel: true } });
/** Of a key that has logged in there before. */
export const refused = (): TunnelError =>
  new TunnelError('AUTH_REFUSED', 'authentication failed, on it: no', { facts: { proven: true } });
export const kexFailed = (): TunnelError =>
  new TunnelError('KEX_FAILED', 'key exchange failed, on it: closed');
export const lost = (): TunnelError => new TunnelError('LINK_LOST', 'link lost, on it: silence');

export class FakeSession implements Session {
  readonly host: Host;
  readonly algorithms = { kex: 'k', hostKey: 'h', cipher: 'c', mac: 'm' };
  readonly login: Session['login'];
  latencyMs: number | null = 12.3;
  pings = 0;
  closes = 0;
  ended = false;
  readonly channels: FakeChannel[] = [];
  readonly #lateListeners: ((late: boolean) => void)[] = [];
  #idleListeners: (() => void)[] = [];
  #listeners: ((reason: TunnelError | null) => void)[] = [];
  #reason: TunnelError | null = null;

  constructor(host: Host, attended = false, certificate: UserCertificate | null = null) {
    this.host = host;
    this.login = { accepted: ['agent key'], attended, ...(certificate === null ? {} : { certificate }) };
  }

  openChannel(): Promise<Channel> {
    const channel = new FakeChannel(() => this.#tellIdle());
    this.channels.push(channel);
    return Promise.resolve(channel);
  }

  listenRemote(at: Parameters<Session['listenRemote']>[0]): Promise<RemoteListener> {
    return Promise.resolve({ at, overriddenBy: null, close: () => Promise.resolve(null) });
  }

  ping(): Promise<number> {
    this.pings += 1;
    return Promise.resolve(1);
  }

  onLate(listener: (late: boolean) => void): void {
    this.#lateListeners.push(listener);
  }

  /** A ping is late, or life was seen after that. */
  async late(late: boolean): Promise<void> {
    for (const listener of this.#lateListeners) listener(late);
    await settle();
  }

  onEnd(listener: (reason: TunnelError | null) => void): void {
    if (this.ended) listener(this.#reason);
    else this.#listeners.push(listener);
  }

  onIdle(listener: () => void): void {
    this.#idleListeners.push(listener);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.channels.some(({ closed }) => !closed)) return;
    for (const listener of this.#idleListeners.splice(0)) listener();
  }

  close(): Promise<void> {
    this.closes += 1;
    this.end(null);
    return Promise.resolve();
  }

  end(reason: TunnelError | null): void {
    if (this.ended) return;
    this.ended = true;
    this.#reason = reason;
    for (const listener of this.#listeners.splice(0)) listener(reason);
    for (const channel of this.channels) channel.finish(false);
  }
}

export class FakeChannel implements Channel {
  closed = false;
  readonly #ended: () => void;
  #reader: ChannelReader | null = null;

  constructor(ended: () => void = () => undefined) {
    this.#ended = ended;
  }

  attach(reader: ChannelReader): void {
    this.#reader = reader;
  }

  consumed(): void {}

  write(): boolean {
    return true;
  }

  end(): void {}

  close(): void {
    this.finish(true);
  }

  finish(clean: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.#ended();
    this.#reader?.closed(clean);
  }
}

export interface PendingDial {
  readonly host: Host;
  readonly via: Session | null;
  readonly transport: OpenTransport | null;
  readonly context: DialContext;
  open(attended?: boolean, certificate?: UserCertificate | null): Promise<FakeSession>;
  fail(error: TunnelError): Promise<void>;
}

export interface PendingReach {
  readonly host: Host;
  readonly signal: AbortSignal;
  answer(): Promise<FakeTransport>;
  fail(error?: TunnelError): Promise<void>;
}

export class FakeTransport implements OpenTransport {
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
  }
}

/** Keeps every dial and knock open until the test decides. */
export class FakeDialer implements Dialer {
  dials: PendingDial[] = [];
  reaches: PendingReach[] = [];
  readonly sessions: FakeSession[] = [];
  /** The hosts in use, each time that what was typed for others was forgotten. */
  readonly keptFor: string[][] = [];
  dialCount = 0;
  reachCount = 0;
  digest = 'as it was';
  examined = 0;
  /** Does not hear an abort: its sessions come late. */
  deaf = false;

  reach(host: Host, signal: AbortSignal): Promise<OpenTransport | null> {
    this.reachCount += 1;
    return new Promise((resolve, reject) => {
      const transport = new FakeTransport();
      const pending: PendingReach = {
        host,
        signal,
        answer: async () => (take(), resolve(transport), await settle(), transport),
        fail: async (error = unreachable()) => (take(), reject(error), await settle()),
      };
      const take = (): void => {
        this.reaches = this.reaches.filter((other) => other !== pending);
      };
      signal.addEventListener('abort', () => (take(), reject(signal.reason as Error)));
      this.reaches.push(pending);
    });
  }

  dial(
    host: Host,
    from: { via: Session | null; transport: OpenTransport | null },
    context: DialContext,
  ): Promise<Session> {
    this.dialCount += 1;
    return new Promise((resolve, reject) => {
      const take = (): void => {
        this.dials = this.dials.filter((other) => other !== pending);
      };
      const pending: PendingDial = {
        host,
        ...from,
        context,
        open: async (attended = false, certificate = null) => {
          const session = new FakeSession(host, attended, certificate);
          this.sessions.push(session);
          // What is aborted already has been cleaned up by the dialer.
          if (!this.dials.includes(pending)) session.end(null);
          take();
          resolve(session);
          await settle();
          return session;
        },
        fail: async (error) => (take(), reject(error), await settle()),
      };
      context.signal.addEventListener('abort', () => {
        if (this.deaf) return;
        take();
        reject(context.signal.reason as Error);
      });
      this.dials.push(pending);
    });
  }

  forgetAllBut(hosts: readonly Host[]): void {
    this.keptFor.push([...new Set(hosts.map(formatAddress))]);
  }

  typed(): TypedSecrets {
    return { passwords: [], passphrases: [] };
  }

  inherit(): void {}

  circumstances(_host: Host, _code: ErrorCode, _environment: CallerEnvironment): Promise<string> {
    this.examined += 1;
    return Promise.resolve(this.digest);
  }

  /** The only dial under way, or the one to a host. */
  dialTo(name?: string): PendingDial {
    const found = this.dials.filter(({ host }) => name === undefined || host.name === name);
    if (found.length !== 1) throw new Error(`${found.length} dials to ${name ?? 'anything'} under way`);
    return found[0] as PendingDial;
  }

  get liveSessions(): number {
    return this.sessions.filter(({ ended }) => !ended).length;
  }
}
