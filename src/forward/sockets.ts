// Listening here: TCP and unix, both loopbacks for `localhost`, ports of the system's choice, and errors that explain.
import { createServer, type Server, type Socket } from 'node:net';
import { TunnelError } from '../errors.ts';
import { bindHosts, formatEndpoint, isLoopback, type Endpoint, type TcpEndpoint } from '../model/endpoint.ts';
import { shellWord } from '../model/shell-word.ts';
import { noRoomFor } from './descriptors.ts';
import { blockingConnection, holderOf, nearestFreePort, type Holder } from './holder.ts';
import { resetSocket } from './reset.ts';
import { clearSocketPath, withPrivateUmask } from './unix-socket.ts';

export interface Listener {
  /** The real address, with the port that was chosen. */
  readonly at: Endpoint;
  /** Other machines can reach it. */
  readonly exposed: boolean;
  /** Stops listening at once; resolves when the port is free. Accepted connections go on. Idempotent. */
  close(): Promise<void>;
}

export interface ListenParts {
  accept(socket: Socket): void;
  /** An accept failed; the listener goes on. */
  trouble(error: Error): void;
  /** A client was reset for want of descriptors. `first`: the first in a row that may be long. */
  turnedAway?(error: TunnelError, first: boolean): void;
  /** Clients of other machines may vanish without a word: the kernel asks after them. */
  readonly exposed?: boolean;
  /** For port 0: the port to try first. */
  readonly preferredPort: number | null;
}

/** Kernel queue of connections not yet accepted; the kernel caps it (somaxconn). */
const backlog = 4096;
/** A client of another machine that is silent for so long is asked whether it lives (tcp(7)). */
const keepAliveMs = 60_000;
/** Tries to find one port that is free on both loopbacks. */
const pairTries = 16;

/** Listens. Throws LISTEN_FAILED with who holds the port, and its facts `port`, `freePort`, `holderPid`. */
export async function listen(at: Endpoint, parts: ListenParts): Promise<Listener> {
  if (at.kind === 'unix') {
    await clearSocketPath(at.path);
    const server = await bindUnix(at.path, parts);
    return { at, exposed: false, close: () => closeAll([server]) };
  }
  const { servers, port } = await bindPort(at, { ...parts, exposed: !isLoopback(at) });
  const real: Endpoint = { kind: 'tcp', host: at.host, port };
  return { at: real, exposed: !isLoopback(real), close: () => closeAll(servers) };
}

interface Bound {
  readonly servers: readonly Server[];
  readonly port: number;
}

async function bindPort(at: TcpEndpoint, parts: ListenParts): Promise<Bound> {
  if (at.port !== 0) return bindHostsAt(at, at.port, parts).catch((error: unknown) => explain(error, at));
  if (parts.preferredPort !== null) {
    try {
      return await bindHostsAt(at, parts.preferredPort, parts);
    } catch {
      // somebody else has it now: any other will do
    }
  }
  for (let tries = 1; ; tries += 1) {
    try {
      return await bindHostsAt(at, 0, parts);
    } catch (error) {
      if (errorCode(error) !== 'EADDRINUSE' || tries >= pairTries) return explain(error, at);
    }
  }
}

/** Binds every address of the host on one port; a loopback of a family this machine lacks is left out. */
async function bindHostsAt(at: TcpEndpoint, port: number, parts: ListenParts): Promise<Bound> {
  const servers: Server[] = [];
  let chosen = port;
  try {
    for (const host of bindHosts(at.host)) {
      const server = await bindTcp(host, chosen, parts, servers.length > 0);
      if (server === null) continue;
      servers.push(server);
      chosen = portOf(server);
    }
  } catch (error) {
    await closeAll(servers);
    throw error;
  }
  return { servers, port: chosen };
}

const absentFamily = ['EADDRNOTAVAIL', 'EAFNOSUPPORT', 'EINVAL'];

/** Null when `optional` and the address family does not exist here. */
async function bindTcp(
  host: string,
  port: number,
  parts: ListenParts,
  optional: boolean,
): Promise<Server | null> {
  try {
    return await bind((server) => server.listen({ host, port, backlog, exclusive: true }), parts);
  } catch (error) {
    const code = errorCode(error);
    if (optional && absentFamily.includes(code)) return null;
    if (host === '::' && code === 'EAFNOSUPPORT') return bindTcp('0.0.0.0', port, parts, optional);
    throw error;
  }
}

async function bindUnix(path: string, parts: ListenParts): Promise<Server> {
  try {
    return await bind((server) => withPrivateUmask(() => server.listen({ path, backlog })), parts);
  } catch (error) {
    throw new TunnelError('LISTEN_FAILED', `listen failed, on ${path}: ${reasonOf(error)}`, {
      facts: { path },
      cause: error,
    });
  }
}

function bind(start: (server: Server) => void, parts: ListenParts): Promise<Server> {
  return new Promise((resolve, reject) => {
    // A half-open client still gets its answer (SSH2.md 2.1); Nagle would cost 40 ms a keystroke.
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: parts.exposed === true,
      keepAliveInitialDelay: keepAliveMs,
    });
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      server.on('error', (error) => parts.trouble(error));
      resolve(server);
    });
    server.on('connection', (socket) => {
      const full = noRoomFor(socket);
      if (full !== null) {
        resetSocket(socket.on('error', () => undefined));
        return parts.turnedAway?.(crowded(full.limit), full.first);
      }
      try {
        parts.accept(socket);
      } catch (thrown) {
        socket.destroy(); // one client's trouble: the others are served
        parts.trouble(thrown instanceof Error ? thrown : new Error(String(thrown)));
      }
    });
    start(server);
  });
}

/** Throws what the user should read of a bind error. */
async function explain(error: unknown, at: TcpEndpoint): Promise<never> {
  const code = errorCode(error);
  if (code !== 'EADDRINUSE')
    throw new TunnelError('LISTEN_FAILED', `listen failed, on ${formatEndpoint(at)}: ${reasonOf(error)}`, {
      hint: code === 'EACCES' ? 'use a port above 1023' : null,
      facts: { port: at.port },
      cause: error,
    });
  const [holder, freePort] = await Promise.all([
    holderOf(at.port).catch(() => null),
    nearestFreePort(bindHosts(at.host), at.port).catch(() => null),
  ]);
  const why = holder === null ? await blockedBy(at.port) : `port in use by ${heldBy(holder)}`;
  const hint = freePort === null ? 'choose another port' : `tunnel up --remap    # port ${freePort} is free`;
  throw new TunnelError('LISTEN_FAILED', `listen failed, on ${formatEndpoint(at)}: ${why}`, {
    hint: holder?.supervises == null ? hint : `tunnel --config ${shellWord(holder.supervises)} down\n${hint}`,
    facts: {
      port: at.port,
      freePort,
      holderPid: holder?.pid ?? null,
      holderCommand: holder?.command ?? null,
    },
    cause: error,
  });
}

function heldBy({ pid, command, supervises }: Holder): string {
  if (pid === process.pid) return 'another tunnel of this supervisor';
  return `${command} (pid ${pid}${supervises === null ? '' : `, the supervisor of ${supervises}`})`;
}

/** Nothing that listens is known: a connection that began or ended at this port keeps it too. */
async function blockedBy(port: number): Promise<string> {
  const blocking = await blockingConnection(port).catch(() => null);
  if (blocking === null) return 'port in use';
  if (blocking.kind === 'time-wait')
    return 'port in use until a connection that has ended is forgotten (TIME_WAIT, a minute at most)';
  const { of } = blocking;
  return `port in use by an outgoing connection${of === null ? '' : ` of ${of.command} (pid ${of.pid})`}`;
}

function crowded(limit: number): TunnelError {
  const why = `the supervisor may have ${limit} descriptors, and its clients have them all`;
  return new TunnelError('LISTEN_FAILED', `new connections are reset until some end: ${why}`, {
    hint: 'ulimit -Hn    # the limit; raise it where the supervisor is started (LimitNOFILE= in a unit)',
  });
}

function closeAll(servers: readonly Server[]): Promise<void> {
  // close() frees the port now; its callback would wait for accepted connections too, which go on.
  for (const server of servers) server.close();
  return new Promise((resolve) => setImmediate(resolve));
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function errorCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'in use',
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'no such host name',
  EAFNOSUPPORT: 'this machine does not have that address family',
};

function reasonOf(error: unknown): string {
  return reasons[errorCode(error)] ?? (error instanceof Error ? error.message : String(error));
}
