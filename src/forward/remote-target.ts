// Where a connection from the server goes: a fixed target, or whatever its client asks for (reverse dynamic).
import type { Socket } from 'node:net';
import { TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { RemoteForward } from '../model/forward.ts';
import type { Channel } from '../model/session.ts';
import { allows } from './allow.ts';
import { dial, type DialFault } from './sockets.ts';
import { notAllowed, refused } from './dynamic.ts';
import { replyFor, shakeHands } from './handshake.ts';
import type { Outcome } from './socks.ts';
import { TappedChannel } from './tapped-channel.ts';

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
  return { socket: await dial(target, { timeoutMs: dialMs, clock, signal }), channel };
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
    const socket = await dial(target, { timeoutMs: dialMs, clock, signal });
    tapped.send(replyFor(protocol, 'ok'));
    return { socket, channel: tapped.release() };
  } catch (thrown) {
    const fault = thrown instanceof TunnelError ? thrown.facts['dial'] : null;
    if (!signal.aborted) tapped.send(replyFor(protocol, outcomes[fault as DialFault] ?? 'failed'));
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
