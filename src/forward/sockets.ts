// Sockets of this machine: listening on TCP and unix (both loopbacks for `localhost`, ports of the system's choice, errors
// that explain), and dialling a target within a deadline. No other file of forward/ makes a socket.
import { existsSync, linkSync, rmSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { TunnelError, type ErrorFacts } from '../errors.ts';
import type { Listening } from '../model/carrier.ts';
import type { Clock } from '../model/clock.ts';
import { bindHosts, formatEndpoint, isLoopback, type Endpoint, type TcpEndpoint } from '../model/endpoint.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import { shellWord } from '../model/shell-word.ts';
import { noRoomFor } from './descriptors.ts';
import { shareReads } from './reads.ts';
import { resetSocket } from '../model/reset-socket.ts';
import { identityOf, kindOf, nameBeside, pathLimit, unixFailed, withPrivateUmask } from './socket-path.ts';
import { blockingConnection, holderOf, type Holder } from './tcp-table.ts';

export interface Listener {
  /** The real address, with the port that was chosen. */
  readonly at: Endpoint;
  /** Other machines can reach it. */
  readonly exposed: boolean;
  /** Descriptors that listen, for another process to go on with; none where it could not. */
  readonly descriptors: readonly number[];
  /** Stops listening at once; resolves when the port is free. Accepted connections go on. Idempotent. */
  close(): Promise<void>;
  /** Stops listening in this process alone: the address is another one's now. */
  letGo(): Promise<void>;
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
  /** Listens already, in another process until now: nothing has to be bound. */
  readonly adopted?: Listening | null;
}

/** Kernel queue of connections not yet accepted; the kernel caps it (somaxconn). */
const backlog = 4096;
/** A client of another machine that is silent for so long is asked whether it lives (tcp(7)). */
const keepAliveMs = 60_000;
/** Tries to find one port that is free on both loopbacks. */
const pairTries = 16;

/** Listens. Throws LISTEN_FAILED with who holds the port, and its facts `port`, `freePort`, `holderPid`. */
export async function listen(at: Endpoint, parts: ListenParts): Promise<Listener> {
  if (parts.adopted != null) return adopt(parts.adopted, parts);
  if (at.kind === 'unix') {
    await clearSocketPath(at.path);
    return bindUnix(at.path, parts);
  }
  const { servers, port } = await bindPort(at, { ...parts, exposed: !isLoopback(at) });
  return listenerOn({ kind: 'tcp', host: at.host, port }, servers);
}

function listenerOn(at: Endpoint, servers: readonly Server[], isHandedOn = true): Listener {
  const file = at.kind === 'unix' ? identityOf(at.path) : null;
  return {
    at,
    exposed: at.kind === 'tcp' && !isLoopback(at),
    get descriptors() {
      const found = servers.map(descriptorOf);
      return isHandedOn && found.every((descriptor) => descriptor >= 0) ? found : [];
    },
    close() {
      if (at.kind === 'unix' && file !== null && identityOf(at.path) === file)
        rmSync(at.path, { force: true });
      return closeAll(servers);
    },
    letGo: () => closeAll(servers),
  };
}

/** Node tells the descriptor of a server nowhere else; -1 where there is none (Windows, closed). */
function descriptorOf(server: Server): number {
  return (server as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

async function adopt({ at, descriptors }: Listening, parts: ListenParts): Promise<Listener> {
  const all = { ...parts, exposed: !isLoopback(at) };
  const servers: Server[] = [];
  try {
    for (const fd of descriptors) servers.push(await bind((server) => server.listen({ fd, backlog }), all));
  } catch (error) {
    await closeAll(servers);
    throw new TunnelError('LISTEN_FAILED', `listen failed, on ${formatEndpoint(at)}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  return listenerOn(at, servers);
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

/**
 * Binds beside the path and links it there: libuv unlinks the name that was bound when it closes a server, and in a process
 * that has handed its listener on that must not be the path.
 */
async function bindUnix(path: string, parts: ListenParts): Promise<Listener> {
  const bindAt = (name: string): Promise<Server> =>
    bind((server) => withPrivateUmask(() => server.listen({ path: name, backlog })), parts);
  try {
    const beside = nameBeside(path);
    const server = await bindAt(beside ?? path);
    if (beside === null || linked(beside, path, server)) {
      return listenerOn({ kind: 'unix', path }, [server], beside !== null);
    }
    return listenerOn({ kind: 'unix', path }, [await bindAt(path)], false);
  } catch (error) {
    throw new TunnelError('LISTEN_FAILED', `listen failed, on ${path}: ${reasonOf(error)}`, {
      facts: { path },
      cause: error,
    });
  }
}

/** False on a file system without links: the listener is closed then, and one there is not handed on. */
function linked(beside: string, path: string, server: Server): boolean {
  try {
    linkSync(beside, path);
    return true;
  } catch (error) {
    server.close();
    if (noLinks.includes(errorCode(error))) return false;
    throw error;
  } finally {
    rmSync(beside, { force: true });
  }
}

const noLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

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
        shareReads(socket);
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
  const free = { command: 'up --remap', on: { tunnel: null }, note: `port ${freePort} is free` };
  const hint = freePort === null ? 'choose another port' : free;
  throw new TunnelError('LISTEN_FAILED', `listen failed, on ${formatEndpoint(at)}: ${why}`, {
    hint:
      holder?.supervises == null
        ? hint
        : [
            `tunnel -c ${shellWord(holder.supervises)} down    # takes down all tunnels of that config\n`,
            hint,
          ],
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
  EEXIST: 'in use',
  EACCES: 'permission denied',
  EADDRNOTAVAIL: 'this machine does not have that address',
  ENOTFOUND: 'no such host name',
  EAFNOSUPPORT: 'this machine does not have that address family',
};

function reasonOf(error: unknown): string {
  return reasons[errorCode(error)] ?? (error instanceof Error ? error.message : String(error));
}

/** How far from the port that was asked for a free one is looked for. */
const searchPorts = 100;

/** The first free port above `port` on all of `hosts`; null when none is near. Racy by nature: a proposal. */
export async function nearestFreePort(hosts: readonly string[], port: number): Promise<number | null> {
  const last = Math.min(port + searchPorts, 65_535);
  for (let candidate = port + 1; candidate <= last; candidate += 1) {
    if (await allFree(hosts, candidate)) return candidate;
  }
  return null;
}

async function allFree(hosts: readonly string[], port: number): Promise<boolean> {
  for (const host of hosts) {
    if (!(await free(host, port))) return false;
  }
  return true;
}

function free(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code !== 'EADDRINUSE' && error.code !== 'EACCES'),
    );
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

// Unix sockets: the path must fit, a dead file is cleared away, and nothing else ever is.

/** A listener of this machine answers a connect at once; one that does not in this time is taken for alive. */
const answerMs = 1000;

/**
 * Makes room for a listener on a path: a socket file that nobody answers is removed.
 * Throws LISTEN_FAILED when the path is too long, is no socket, or somebody listens there.
 */
async function clearSocketPath(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > pathLimit)
    throw unixFailed(
      path,
      `the path has ${length} bytes, a socket's may have ${pathLimit}`,
      'use a shorter path',
    );
  // libuv reports a missing folder as EACCES: said here, where it can be known
  if (!existsSync(dirname(path)))
    throw unixFailed(path, 'its folder does not exist', `mkdir -p ${shellWord(dirname(path))}`);
  const kind = kindOf(path);
  if (kind === 'none') return;
  if (kind === 'other')
    throw unixFailed(path, 'there is a file that is not a socket', 'move it away, or use another path');
  if (await answers(path)) throw unixFailed(path, 'another process listens there', `lsof ${shellWord(path)}`);
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // its owner removed it meanwhile
    throw unixFailed(
      path,
      `a dead socket is there and cannot be removed (${(error as Error).message})`,
      null,
    );
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const timer = setTimeout(() => settle(true), answerMs);
    const settle = (answer: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    // ECONNREFUSED: a file without a listener. Anything else (EACCES, EAGAIN) may be alive.
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

// Dialling: a target of a remote forward, TCP or unix.

interface DialLimits {
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends the attempt: rejects with LINK_LOST, since only a channel that is gone ends it. */
  readonly signal?: GiveUpSignal;
}

/** Why a dial failed, for those who must tell it on: facts.dial of its error. */
export type DialFault = NonNullable<ErrorFacts<'UNREACHABLE'>['dial']>;

/** Connects, half-open allowed, Nagle off. Throws UNREACHABLE or TIMED_OUT with facts.dial. */
export function dial(target: Endpoint, limits: DialLimits): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = startConnect(target);
    // For good: what fails between here and the next listener shows as its 'close'.
    socket.on('error', () => undefined);
    const settle = (): void => {
      cancel();
      limits.signal?.removeEventListener('abort', abort);
      socket.off('connect', connected);
      socket.off('error', failed);
    };
    const giveUp = (error: TunnelError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const connected = (): void => {
      const full = noRoomFor(socket);
      if (full !== null)
        return giveUp(fault(target, 'UNREACHABLE', 'too many descriptors are in use here', 'other'));
      settle();
      resolve(socket);
    };
    const failed = (error: NodeJS.ErrnoException): void => giveUp(dialError(target, error));
    const abort = (): void => giveUp(fault(target, 'LINK_LOST', 'nobody waits for it any more', 'other'));
    const cancel = limits.clock.schedule(limits.timeoutMs, () =>
      giveUp(fault(target, 'TIMED_OUT', `no answer in ${limits.timeoutMs / 1000}s`, 'timeout')),
    );
    socket.on('error', failed);
    socket.on('connect', connected);
    limits.signal?.addEventListener('abort', abort);
    if (limits.signal?.aborted === true) abort();
  });
}

function startConnect(target: Endpoint): Socket {
  if (target.kind === 'unix') return connect({ path: target.path, allowHalfOpen: true });
  return connect({
    host: target.host,
    port: target.port,
    allowHalfOpen: true,
    noDelay: true,
    autoSelectFamilyAttemptTimeout: 2000, // Node's 250 ms would give up on slow targets
  });
}

const faults: Readonly<Record<string, readonly [DialFault, string]>> = {
  ECONNREFUSED: ['refused', 'connection refused'],
  EHOSTUNREACH: ['unreachable', 'no route to the host'],
  ENETUNREACH: ['unreachable', 'no route to the network'],
  EADDRNOTAVAIL: ['unreachable', 'no route to the host'],
  ENOTFOUND: ['unresolved', 'no such host name'],
  EAI_AGAIN: ['unresolved', 'the name server does not answer'],
  ETIMEDOUT: ['timeout', 'no answer'],
  ENOENT: ['absent', 'there is no such socket'],
  EACCES: ['denied', 'permission denied'],
  EPERM: ['denied', 'permission denied'],
};

function dialError(target: Endpoint, error: NodeJS.ErrnoException): TunnelError {
  // Several addresses of a name failed: what the last one said is as good as any.
  const last = error instanceof AggregateError ? (error.errors.at(-1) as NodeJS.ErrnoException) : error;
  const [kind, why] = faults[last.code ?? ''] ?? (['other', last.message] as const);
  return fault(target, kind === 'timeout' ? 'TIMED_OUT' : 'UNREACHABLE', why, kind);
}

function fault(
  target: Endpoint,
  code: 'UNREACHABLE' | 'TIMED_OUT' | 'LINK_LOST',
  why: string,
  dial: DialFault,
): TunnelError {
  return new TunnelError(code, `connect failed, on ${formatEndpoint(target)}: ${why}`, { facts: { dial } });
}
