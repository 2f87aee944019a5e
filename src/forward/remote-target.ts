// Where a connection from the server goes: a fixed target, or whatever its client asks for (reverse dynamic).
import type { Socket } from 'node:net';
import { TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { RemoteForward } from '../model/forward.ts';
import type { Channel, ChannelReader } from '../model/session.ts';
import { allows } from './allow.ts';
import { notAllowed, refused } from './dynamic.ts';
import { replyFor, shakeHands, type FirstBytes } from './proxy-request.ts';
import { shareReads } from './reads.ts';
import { dial, type DialFault } from './sockets.ts';
import type { Outcome } from './socks.ts';

/** How long a target here may take to answer. */
const dialMs = 10_000;

export interface TargetRequest {
  readonly channel: Channel;
  readonly clock: Clock;
  readonly signal: GiveUpSignal;
  /** The far client has gone (`clean`), or the link. */
  readonly left: (clean: boolean) => void;
}

export interface Connected {
  readonly socket: Socket;
  /** To be joined with the socket. */
  readonly channel: Channel;
}

/** How a forward gets from a channel to a socket here. Throws TunnelError, having told the client what it can. */
export type ConnectHere = (request: TargetRequest) => Promise<Connected>;

export function connectHere(forward: RemoteForward): ConnectHere {
  const { target, allow } = forward;
  return target === null
    ? (request) => connectAsked(allow, request)
    : (request) => connectTo(target, request);
}

async function connectTo(target: Endpoint, { channel, clock, signal }: TargetRequest): Promise<Connected> {
  return { socket: await dialHere(target, { clock, signal }), channel };
}

/** Connects; the socket is paused until its user listens, since what a shared buffer brings before that is lost. */
async function dialHere(target: Endpoint, limits: Pick<TargetRequest, 'clock' | 'signal'>): Promise<Socket> {
  const socket = await dial(target, { timeoutMs: dialMs, ...limits });
  shareReads(socket);
  return socket.pause();
}

async function connectAsked(
  allow: readonly string[],
  { channel, clock, signal, left }: TargetRequest,
): Promise<Connected> {
  const tapped = new TappedChannel(channel, left);
  const asked = await shakeHands(tapped, { clock, signal, login: null });
  const sayLast = (bytes: Buffer, error: TunnelError): never => {
    if (bytes.length > 0) tapped.send(bytes);
    throw error;
  };
  if (asked.kind === 'refused') return sayLast(asked.reply, refused(asked.why));
  const { protocol, target } = asked;
  if (!allows(allow, target))
    return sayLast(replyFor(protocol, 'prohibited'), notAllowed(formatEndpoint(target)));
  try {
    const socket = await dialHere(target, { clock, signal });
    tapped.send(replyFor(protocol, 'ok'));
    return { socket, channel: tapped.release() };
  } catch (thrown) {
    const fault = thrown instanceof TunnelError ? thrown.facts.dial : undefined;
    if (!signal.aborted) tapped.send(replyFor(protocol, fault === undefined ? 'failed' : outcomes[fault]));
    throw thrown;
  }
}

const outcomes: Readonly<Record<DialFault, Outcome>> = {
  refused: 'refused',
  unreachable: 'unreachable',
  unresolved: 'unreachable',
  timeout: 'timeout',
  absent: 'failed',
  denied: 'prohibited',
  other: 'failed',
};

/** A channel whose first bytes we read ourselves, before it is handed on as if nobody had touched it. */
class TappedChannel implements FirstBytes {
  readonly #channel: Channel;
  #kept: Buffer[] = [];
  /** Consumed by us, and put back: the reader will say so once more. */
  #again = 0;
  #ended = false;
  #closed: { readonly clean: boolean } | null = null;
  #notify: (() => void) | null = null;
  #reader: ChannelReader | null = null;

  /** Attaches to the channel. `left`: it was closed before anybody else had it. */
  constructor(channel: Channel, left: (clean: boolean) => void) {
    this.#channel = channel;
    channel.attach({
      data: (chunk) => {
        if (this.#reader !== null) return this.#reader.data(chunk);
        this.#kept.push(chunk); // bounded by the window, since only what is taken is consumed
        this.#notify?.();
      },
      end: () => {
        this.#ended = true;
        if (this.#reader !== null) return this.#reader.end();
        this.#notify?.();
      },
      closed: (clean) => {
        this.#closed = { clean };
        if (this.#reader !== null) return this.#reader.closed(clean);
        left(clean);
      },
      drain: () => this.#reader?.drain(),
    });
  }

  take(): Buffer[] {
    const taken = this.#kept;
    this.#kept = [];
    if (taken.length > 0) this.#channel.consumed(taken.reduce((sum, { length }) => sum + length, 0));
    return taken;
  }

  putBack(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#kept.unshift(bytes);
    this.#again += bytes.length;
  }

  ended(): boolean {
    return this.#ended;
  }

  notify(listener: (() => void) | null): void {
    this.#notify = listener;
  }

  send(bytes: Buffer): void {
    this.#channel.write(bytes);
  }

  close(): void {
    this.#channel.close();
  }

  /** The channel from here on: whoever attaches gets what was not taken, and what came meanwhile. */
  release(): Channel {
    const channel = this.#channel;
    return {
      attach: (reader) => this.#hand(reader),
      consumed: (bytes) => {
        const known = Math.min(bytes, this.#again);
        this.#again -= known;
        if (bytes > known) channel.consumed(bytes - known);
      },
      write: (chunk) => channel.write(chunk),
      end: () => channel.end(),
      close: () => channel.close(),
    };
  }

  #hand(reader: ChannelReader): void {
    // In its own turn, as channels do; what comes before it queues behind.
    queueMicrotask(() => {
      this.#reader = reader;
      for (const chunk of this.#kept.splice(0)) reader.data(chunk);
      if (this.#ended) reader.end();
      if (this.#closed !== null) reader.closed(this.#closed.clean);
    });
  }
}
