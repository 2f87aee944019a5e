// Transports: connected bytes to a server before any SSH. Straight over TCP, through a proxy, from a command, or on a
// channel of another session. Bytes that the server sent early are never lost: nobody reads before ssh2 does.
import type { Duplex } from 'node:stream';
import { TunnelError } from '../../errors.ts';
import type { Clock } from '../../model/clock.ts';
import { formatHostPort } from '../../model/endpoint.ts';
import { formatAddress, type Host } from '../../model/host.ts';
import type { LocalUser } from '../../model/proxy-command.ts';
import type { DialContext, DialStep, OpenTransport, Session } from '../../model/session.ts';
import { connectFailed, kexFailed, penaltyWords } from '../failure.ts';
import type { ReadSlabs } from '../channels/buffers.ts';
import { channelStream } from './channel.ts';
import { commandStream, type CommandStream, type CommandTurns } from './command.ts';
import { passProxy } from './proxy.ts';
import { connectTcp, TcpFailure, type TcpConnection } from './tcp.ts';

/** What is needed to reach a server. */
export interface TransportParts {
  readonly clock: Clock;
  /** The password of a proxy, read where its source says. */
  readonly proxyPassword: (host: Host, context: DialContext) => Promise<string>;
  /** Variables that hold secrets of anybody: a ProxyCommand does not get them. */
  readonly secretVariables: () => Iterable<string>;
  readonly turns: CommandTurns;
  /** Who we are: for the tokens of a ProxyCommand. */
  readonly local: LocalUser;
  readonly log: TransportLog;
}

const deaf = (): string => 'it takes connections and says nothing, no SSH banner';

export type TransportLog = NonNullable<DialContext['log']>;

export interface Transport extends OpenTransport {
  readonly stream: Duplex;
  /** What was reached, in words: "203.0.113.10:22". */
  readonly address: string;
  /** The read buffers of its socket, when they can be used again. */
  readonly slabs: ReadSlabs | null;
  /** What to say when nothing comes from there. */
  readonly silence: () => string;
  destroy(): void;
}

/** The first thing on the way, connected by a knock: a dial goes on from here. */
export class Knocked implements OpenTransport {
  readonly connection: TcpConnection;
  /** What went wrong while it waited to be used, null while it is good. */
  failed: Error | null = null;

  constructor(connection: TcpConnection) {
    this.connection = connection;
    connection.socket.on('error', (error) => {
      this.failed = error;
    });
  }

  get usable(): boolean {
    const { socket } = this.connection;
    return this.failed === null && !socket.destroyed && !socket.readableEnded && socket.writable;
  }

  destroy(): void {
    this.connection.socket.destroy();
  }
}

/** Connects to the proxy or the server itself and sends nothing. Throws UNREACHABLE or TIMED_OUT. */
export async function knock(host: Host, clock: Clock, signal: AbortSignal): Promise<Knocked | null> {
  if (host.proxyCommand !== null) return null;
  try {
    return new Knocked(await connectFirst(host, clock, signal));
  } catch (thrown) {
    throw asConnectError(host, thrown);
  }
}

/** The DNS and TCP steps of a dial and no more, told to `context.step`. Throws UNREACHABLE, TIMED_OUT or LINK_LOST. */
export async function testConnection(
  host: Host,
  clock: Clock,
  context: Pick<DialContext, 'signal' | 'step'>,
): Promise<void> {
  (await firstConnection(host, null, { clock }, context)).socket.destroy();
}

function connectFirst(host: Host, clock: Clock, signal: AbortSignal): Promise<TcpConnection> {
  const { proxy } = host;
  const to = {
    hostname: proxy?.host ?? host.hostname,
    port: proxy?.port ?? host.port,
    family: host.addressFamily,
    bindAddress: host.bindAddress,
    // a proxy's talk is read by pieces, which such a socket cannot do
    reusesReads: proxy === null,
  };
  return connectTcp(to, { timeoutMs: host.connectTimeoutMs, clock, signal });
}

function asConnectError(host: Host, thrown: unknown): unknown {
  if (!(thrown instanceof TcpFailure)) return thrown;
  if (thrown.reset && host.proxy === null)
    return kexFailed(host, 'LINK_LOST', `the server reset the connection at once; ${penaltyWords}`);
  const through = host.proxy === null ? '' : `proxy ${formatHostPort(host.proxy.host, host.proxy.port)}: `;
  return connectFailed(host, thrown.layer, `${through}${thrown.message}`, { timedOut: thrown.timedOut });
}

/** Opens the way to a host: over `knocked` when that is still good, over a channel of `via`, else anew. */
export async function openTransport(
  host: Host,
  from: { readonly via: Session | null; readonly knocked: Knocked | null },
  parts: TransportParts,
  context: DialContext,
): Promise<Transport> {
  context.signal.throwIfAborted();
  if (from.via !== null) return openThrough(host, from.via, context);
  if (host.proxyCommand !== null) return openCommand(host, host.proxyCommand, parts, context);
  const connection = await firstConnection(host, from.knocked, parts, context);
  const { socket, address } = connection;
  const destroy = (): void => void socket.destroy();
  if (host.proxy === null)
    return { stream: socket, address, slabs: connection.slabs, silence: deaf, destroy };
  const password = host.proxy.password === null ? null : await parts.proxyPassword(host, context);
  const limits = { clock: parts.clock, signal: context.signal };
  try {
    await passProxy(socket, host, { user: host.proxy.user, password }, limits);
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
  return { stream: socket, address: `${address} (proxy)`, slabs: null, silence: deaf, destroy };
}

async function firstConnection(
  host: Host,
  knocked: Knocked | null,
  parts: Pick<TransportParts, 'clock'>,
  context: Pick<DialContext, 'signal' | 'step'>,
): Promise<TcpConnection> {
  if (knocked?.usable === true) {
    reportConnection(host, knocked.connection, context);
    return knocked.connection;
  }
  knocked?.destroy();
  try {
    const connection = await connectFirst(host, parts.clock, context.signal);
    reportConnection(host, connection, context);
    return connection;
  } catch (thrown) {
    if (thrown instanceof TcpFailure) reportFailure(host, thrown, context);
    throw asConnectError(host, thrown);
  }
}

function step(host: Host, context: Pick<DialContext, 'step'>, report: Omit<DialStep, 'hop'>): void {
  context.step({ hop: host.name, ...report });
}

function reportConnection(host: Host, connection: TcpConnection, context: Pick<DialContext, 'step'>): void {
  const name = host.proxy?.host ?? host.hostname;
  const detail = `${name} is ${connection.addresses.join(', ')}`;
  if (!connection.addresses.includes(name))
    step(host, context, { layer: 'dns', status: 'ok', ms: connection.dnsMs, detail });
  step(host, context, { layer: 'tcp', status: 'ok', ms: connection.tcpMs, detail: connection.address });
}

function reportFailure(host: Host, failure: TcpFailure, context: Pick<DialContext, 'step'>): void {
  const name = host.proxy?.host ?? host.hostname;
  if (failure.layer === 'tcp' && !failure.addresses.includes(name)) {
    const detail = `${name} is ${failure.addresses.join(', ')}`;
    step(host, context, { layer: 'dns', status: 'ok', ms: 0, detail });
  }
  step(host, context, { layer: failure.layer, status: 'failed', ms: failure.ms, detail: failure.message });
}

async function openThrough(host: Host, via: Session, context: DialContext): Promise<Transport> {
  const started = performance.now();
  const target = { kind: 'tcp', host: host.hostname, port: host.port } as const;
  const report = (status: 'ok' | 'failed', detail: string): void =>
    step(host, context, { layer: 'tcp', status, ms: performance.now() - started, detail });
  try {
    const channel = await via.openChannel(
      target,
      { host: '127.0.0.1', port: 0 },
      { timeoutMs: host.connectTimeoutMs, signal: context.signal },
    );
    report('ok', `${formatAddress(host)} from ${via.host.name}`);
    const stream = channelStream(channel);
    return {
      stream,
      address: `${formatAddress(host)} via ${via.host.name}`,
      slabs: stream.slabs,
      silence: deaf,
      destroy: () => stream.destroy(),
    };
  } catch (thrown) {
    const error = throughFailure(host, via, thrown);
    report('failed', error instanceof Error ? error.message : String(error));
    throw error;
  }
}

/** A server that the last hop cannot reach is UNREACHABLE for us; a hop that forbids the way stays FORWARD_REFUSED. */
function throughFailure(host: Host, via: Session, thrown: unknown): unknown {
  const error = thrown as Partial<TunnelError>;
  const facts = error.facts ?? {};
  if (error.code === 'FORWARD_REFUSED' && facts.reason === 'connect-failed') {
    const why = `${via.host.name} cannot reach it: ${facts.words || 'connect failed'}`;
    return connectFailed(host, 'tcp', why, { timedOut: false, tcpLevel: false });
  }
  if (error.code === 'TIMED_OUT')
    return connectFailed(host, 'tcp', `${via.host.name} gets no answer from it`, {
      timedOut: true,
      tcpLevel: false,
    });
  return thrown;
}

/** Reached is what is behind it, with the server's first byte: until then the command may be at anything. */
async function openCommand(
  host: Host,
  command: string,
  parts: TransportParts,
  context: DialContext,
): Promise<Transport> {
  const started = performance.now();
  const withheld = new Set(parts.secretVariables());
  const { clock, local, log, turns } = parts;
  const report = (status: 'ok' | 'failed', detail: string): void =>
    step(host, context, { layer: 'tcp', status, ms: performance.now() - started, detail });
  let stream: CommandStream;
  try {
    stream = await commandStream(host, command, {
      clock,
      local,
      log,
      turns,
      withheld,
      variables: context.environment.variables,
      signal: context.signal,
      talk: (line) => context.talk?.(host.name, line),
      reached: () => report('ok', `proxy command ${command}`),
    });
  } catch (thrown) {
    if (thrown instanceof TunnelError) report('failed', thrown.message);
    throw thrown;
  }
  const silence = (): string =>
    `its proxy command ${stream.lastWords === '' ? '' : `(it says: ${stream.lastWords}) `}brought no word of it`;
  return { stream, address: 'proxy command', slabs: null, silence, destroy: () => stream.destroy() };
}
