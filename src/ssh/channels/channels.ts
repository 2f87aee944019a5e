// The channels of one session: opening them, taking those the server opens, and turns to send when the transport is full.
import { TunnelError } from '../../errors.ts';
import type { Cancel, Clock } from '../../model/clock.ts';
import { formatEndpoint, type Endpoint } from '../../model/endpoint.ts';
import type { GiveUpSignal } from '../../model/give-up.ts';
import type { Channel, Origin } from '../../model/session.ts';
import { forwardRefused } from '../failure.ts';
import type { IncomingOpen, Wire, WireEvents } from '../ssh2/wire.ts';
import type { ReadSlabs } from './buffers.ts';
import { openingWindow, SshChannel, type ChannelHome, type OpenChannel } from './channel.ts';
import type { WindowBudget } from './window.ts';

/** More than this in the transport's own queue, and bulk waits: keystrokes and pings stay quick (SSH2.md 2.2). */
export const transportQueue = 256 * 1024;

/**
 * Connections that nobody waits for any more, and that the server has neither opened nor closed: each keeps its number.
 * A server that answers has a few of them, for targets that are silent; without an answer they would grow for ever.
 */
export const mostUnanswered = 32_768;

interface OpenLimits {
  readonly timeoutMs: number;
  readonly signal?: GiveUpSignal | undefined;
}

export interface ChannelsParts {
  readonly clock: Clock;
  readonly budget: WindowBudget;
  readonly stream: { readonly writableLength: number };
  readonly slabs: ReadSlabs | null;
  rttMs(): number | null;
  bug(thrown: unknown): void;
  /** A channel the server opens: returns who takes it, or null. */
  accept(open: IncomingOpen): ((channel: Channel) => void) | null;
  debug(words: string): void;
  disconnect(reason: number, words: string): void;
  broken(thrown: unknown): void;
}

export class Channels {
  readonly events: WireEvents;
  readonly #parts: ChannelsParts;
  /** By our number. Arrays: a Map that changes by the thousand keeps what left it (forward/flows.ts tells why). */
  readonly #openings: (Opening | undefined)[] = [];
  readonly #open: (OpenChannel | undefined)[] = [];
  /** Channels that are open, and those that somebody still waits for. */
  #count = 0;
  #opening = 0;
  /** Of the openings and the open channels: those that only the server's answer is missing to. */
  #unanswered = 0;
  #idleListeners: (() => void)[] = [];
  #waiting: OpenChannel[] = [];
  #pumping = false;
  #home: ChannelHome | null = null;
  #lost: TunnelError | null = null;

  constructor(parts: ChannelsParts) {
    this.#parts = parts;
    this.events = {
      opened: (id, remoteId, window, packetSize) => this.#opened(id, { remoteId, window, packetSize }),
      refused: (id, reason, words) => this.#refused(id)?.refused(reason, words),
      data: (id, chunk) => this.#open[id]?.received(chunk),
      extendedData: (id, bytes) => this.#open[id]?.receivedExtended(bytes),
      adjusted: (id, bytes) => this.#open[id]?.granted(bytes),
      end: (id) => this.#open[id]?.ended(),
      closed: (id) => this.#closed(id),
      requestFailed: (id) => this.#open[id]?.close(),
      asked: (id) => this.#asked(id),
      incoming: (open) => this.#incoming(open),
      debug: (words) => parts.debug(words),
      disconnect: (reason, words) => parts.disconnect(reason, words),
      broken: (thrown) => parts.broken(thrown),
    };
  }

  /** The wire is there: channels may be opened from now on. */
  start(wire: Wire): void {
    this.#home = {
      wire,
      budget: this.#parts.budget,
      slabs: this.#parts.slabs,
      rttMs: () => this.#parts.rttMs(),
      served: 0,
      nowMs: () => performance.now(),
      crowded: () => this.#crowded(),
      waitForRoom: (channel) => this.#waitForRoom(channel),
      bug: (thrown) => this.#parts.bug(thrown),
      closing: () => this.#unansweredOne(),
      over: (channel) => {
        this.#open[channel.id] = undefined;
        this.#count -= 1;
        if (channel.closing) this.#unanswered -= 1;
        wire.release(channel.id);
        this.#tellIdle();
      },
    };
  }

  /** Calls once, when no channel is open or being opened: at once if there is none. */
  onIdle(listener: () => void): void {
    this.#idleListeners.push(listener);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.#count > 0 || this.#opening > 0) return;
    for (const listener of this.#idleListeners.splice(0)) listener();
  }

  #unansweredOne(): void {
    this.#unanswered += 1;
    if (this.#unanswered > mostUnanswered)
      this.#parts.broken(new Error('the server does not answer when connections are opened or closed'));
  }

  #crowded(): boolean {
    return this.#parts.stream.writableLength > transportQueue || this.#home?.wire.rekeying === true;
  }

  #waitForRoom(channel: OpenChannel): void {
    this.#waiting.push(channel);
    if (this.#pumping || this.#crowded()) return; // the transport's drain calls pump
    this.#pumping = true;
    queueMicrotask(() => this.pump());
  }

  /** One turn each, in the order they came, while the transport has room: nobody starves. */
  pump(): void {
    this.#pumping = true; // who waits again meanwhile has its next turn in another round of the loop
    for (let turns = this.#waiting.length; turns > 0 && !this.#crowded(); turns -= 1)
      this.#waiting.shift()?.turn();
    this.#pumping = this.#waiting.length > 0 && !this.#crowded();
    if (this.#pumping) setImmediate(() => this.pump());
  }

  /** Throws FORWARD_REFUSED, TIMED_OUT or the session's reason. A confirmation that comes too late is closed again. */
  open(to: Endpoint, from: Origin, limits: OpenLimits): Promise<Channel> {
    return this.#openWith(to, limits, (wire, id, window) => {
      if (to.kind === 'tcp') wire.openTcp(id, window, to, from);
      else wire.openUnix(id, window, to.path);
    });
  }

  /** A session channel with a subsystem on it (RFC 4254 6.5). It is closed when the server has no such subsystem. */
  openSubsystem(name: string, limits: OpenLimits): Promise<Channel> {
    return this.#openSession(name, limits, (wire, remoteId) => wire.subsystem(remoteId, name));
  }

  /** A session channel that runs a command (RFC 4254 6.5). It is closed when the server runs none. */
  openCommand(command: string, limits: OpenLimits): Promise<Channel> {
    return this.#openSession('a command', limits, (wire, remoteId) => wire.exec(remoteId, command));
  }

  async #openSession(
    label: string,
    limits: OpenLimits,
    request: (wire: Wire, remoteId: number) => void,
  ): Promise<Channel> {
    const to: Endpoint = { kind: 'unix', path: label };
    const channel = await this.#openWith(to, limits, (wire, id, window) => wire.openSession(id, window));
    if (channel instanceof SshChannel && this.#home !== null) request(this.#home.wire, channel.remoteId);
    return channel;
  }

  #openWith(
    to: Endpoint,
    limits: OpenLimits,
    ask: (wire: Wire, id: number, window: number) => void,
  ): Promise<Channel> {
    const home = this.#home;
    if (home === null || this.#lost !== null) return Promise.reject(this.#lost ?? notOpen());
    if (limits.signal?.aborted === true) return Promise.reject(gaveUp(to));
    const id = home.wire.reserve();
    const opening = new Opening(to, openingWindow(home), limits, this.#parts.clock);
    opening.abandoned = () => this.#unansweredOne();
    this.#openings[id] = opening;
    this.#opening += 1;
    const settled = (): void => {
      this.#opening -= 1;
      this.#tellIdle();
    };
    opening.channel.then(settled, settled);
    ask(home.wire, id, opening.window);
    return opening.channel;
  }

  /** The opening that the server refused; its number is free again. */
  #refused(id: number): Opening | undefined {
    const opening = this.#openings[id];
    if (opening === undefined) return undefined;
    this.#openings[id] = undefined;
    if (opening.over) this.#unanswered -= 1;
    if (this.#open[id] === undefined) this.#home?.wire.release(id);
    return opening;
  }

  #opened(id: number, peer: { remoteId: number; window: number; packetSize: number }): void {
    const opening = this.#openings[id];
    if (opening === undefined || this.#home === null) return;
    this.#openings[id] = undefined;
    if (opening.over) this.#unanswered -= 1;
    const channel = new SshChannel(this.#home, { id, remoteId: peer.remoteId }, peer, opening.window);
    this.#open[id] = channel;
    this.#count += 1;
    opening.opened(channel);
  }

  #incoming(open: IncomingOpen): boolean {
    const home = this.#home;
    const take = home === null ? null : this.#parts.accept(open);
    if (home === null || take === null) return false;
    const id = home.wire.reserve();
    const window = openingWindow(home);
    const channel = new SshChannel(home, { id, remoteId: open.sender }, open, window);
    this.#open[id] = channel;
    this.#count += 1;
    home.wire.confirm(open.sender, id, window);
    try {
      take(channel);
    } catch (thrown) {
      this.#parts.bug(thrown);
      channel.close();
    }
    return true;
  }

  /** No request on a channel means anything here; sshd is content with any answer (ClientAliveInterval). */
  #asked(id: number): void {
    const channel = this.#open[id];
    if (channel !== undefined) this.#home?.wire.deny(channel.remoteId);
  }

  /** RFC 4254 lets a server close what it never opened; ssh2 takes that for a refusal, and so do we. */
  #closed(id: number): void {
    const channel = this.#open[id];
    if (channel === undefined) this.#refused(id)?.refused(2, '');
    else channel.closedByPeer();
  }

  /** The link is gone: every channel ends uncleanly, every opening fails. */
  lose(reason: TunnelError): void {
    if (this.#lost !== null) return;
    this.#lost = reason;
    this.#waiting = [];
    for (const opening of this.#openings.splice(0)) opening?.lost(reason);
    for (const channel of this.#open.slice()) channel?.lost();
  }
}

/** A channel on its way: settled once, by the server's answer, by time, by whoever gave up, or by the link's end. */
class Opening {
  /** What the server may send at once. */
  readonly window: number;
  /** The number stays taken until the server has answered, also when nobody waits for that any more. */
  readonly channel: Promise<Channel>;
  /** Called when nobody waits any more, though the server has not answered. */
  abandoned: () => void = () => undefined;
  readonly #to: Endpoint;
  readonly #limits: OpenLimits;
  readonly #cancel: Cancel;
  #resolve: (channel: Channel) => void = () => undefined;
  #reject: (error: TunnelError) => void = () => undefined;
  #settled = false;

  constructor(to: Endpoint, window: number, limits: OpenLimits, clock: Clock) {
    this.window = window;
    this.#to = to;
    this.#limits = limits;
    this.channel = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#cancel = clock.schedule(limits.timeoutMs, this.#timedOut);
    limits.signal?.addEventListener('abort', this.#gaveUp);
  }

  /** Nobody waits for it any more. */
  get over(): boolean {
    return this.#settled;
  }

  /** A confirmation that comes too late is closed again. */
  opened(channel: Channel): void {
    if (this.#settle()) this.#resolve(channel);
    else channel.close();
  }

  refused(reason: number, words: string): void {
    if (this.#settle()) this.#reject(forwardRefused(this.#to, reason, words));
  }

  lost(why: TunnelError): void {
    if (this.#settle()) this.#reject(why);
  }

  readonly #timedOut = (): void => {
    if (!this.#settle()) return;
    this.#reject(openTimedOut(this.#to, this.#limits.timeoutMs));
    this.abandoned();
  };

  readonly #gaveUp = (): void => {
    if (!this.#settle()) return;
    this.#reject(gaveUp(this.#to));
    this.abandoned();
  };

  /** False when it was settled before. */
  #settle(): boolean {
    if (this.#settled) return false;
    this.#settled = true;
    this.#cancel();
    this.#limits.signal?.removeEventListener('abort', this.#gaveUp);
    return true;
  }
}

function notOpen(): TunnelError {
  return new TunnelError('LINK_LOST', 'channel open failed: the session is not open');
}

function openTimedOut(to: Endpoint, timeoutMs: number): TunnelError {
  return new TunnelError(
    'TIMED_OUT',
    `connection to ${formatEndpoint(to)} failed: the server gave no answer in ${timeoutMs / 1000}s`,
    {
      hint: 'the target may drop packets silently: check its firewall and address',
      facts: { layer: 'channel' },
    },
  );
}

function gaveUp(to: Endpoint): TunnelError {
  return new TunnelError(
    'LINK_LOST',
    `connection to ${formatEndpoint(to)} given up: nobody waits for it any more`,
    {
      facts: { layer: 'channel', aborted: true },
    },
  );
}
