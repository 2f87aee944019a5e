// The traffic of a run: clients that connect by every way, the targets they reach, and an eye on those that make no progress.
import { connect, createServer, type Server, type Socket } from 'node:net';
import { connectionOf } from './blocks.ts';
import type { Connection, Way } from './connection.ts';
import { wasReset } from './ends.ts';
import type { FairClock } from './fair-clock.ts';

/** A way with the addresses of a run. */
export interface OpenWay extends Way {
  /** Where a client connects now: a port of 127.0.0.1, or a path. Null: nowhere (a remote one while its link is away). */
  readonly at: () => string | number | null;
  /** For SOCKS: the port behind it. */
  readonly socksTo: number | null;
}

export interface Targets extends AsyncDisposable {
  readonly port: number;
  readonly path: string;
}

const headBytes = 8;

/** Serves whoever names a connection that is known, on a port and on a path. */
export async function startTargets(
  path: string,
  known: (id: number) => Connection | undefined,
  clock: FairClock,
): Promise<Targets> {
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // one that is known hears of it besides
    void arrive(socket, known, clock);
  };
  const servers = [await listen({ port: 0, host: '127.0.0.1' }, serve), await listen({ path }, serve)];
  const address = servers[0]?.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    path,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

function listen(where: object, serve: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
    server.once('error', reject);
    server.listen(where, () => resolve(server));
  });
}

/** Reads the first bytes, which name the connection, and plays its target. */
async function arrive(
  socket: Socket,
  known: (id: number) => Connection | undefined,
  clock: FairClock,
): Promise<void> {
  const chunks: Buffer[] = [];
  const named = await new Promise<boolean>((resolve) => {
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      if (Buffer.concat(chunks).length < headBytes) return;
      socket.off('data', take).pause();
      resolve(true);
    };
    socket.on('data', take);
    socket.once('end', () => resolve(false)).once('close', () => resolve(false));
  });
  const id = named ? connectionOf(Buffer.concat(chunks)) : null;
  const connection = id === null ? undefined : known(id);
  if (connection === undefined) return void socket.destroy();
  connection.arrivals += 1;
  connection.arrivedMs ??= clock.now();
  if (connection.arrivals > 1) return void socket.destroy();
  await connection.target.play(socket, connection.script.target, clock, chunks);
}

/** Connects and plays the client of a connection; resolves when its socket is closed. */
export async function playClient(connection: Connection, way: OpenWay, clock: FairClock): Promise<void> {
  const at = way.at();
  if (at === null) return;
  const where = typeof at === 'string' ? { path: at } : { port: at, host: '127.0.0.1' };
  const socket = connect({ ...where, allowHalfOpen: true, noDelay: true });
  const failure = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
    socket.once('connect', () => resolve(null)).once('error', resolve);
  });
  const { client } = connection;
  client.touchedMs = clock.now();
  if (failure !== null) {
    client.closed = true;
    // one that was taken, and reset before this process heard of it, was not refused
    if (failure.code === 'ECONNRESET') client.gaveUp(failure.code);
    else connection.refused = failure.code ?? failure.message;
    return;
  }
  client.port = socket.localPort ?? null;
  const greeting = way.socksTo === null ? Buffer.alloc(0) : await greetSocks(socket, way.socksTo);
  if (Buffer.isBuffer(greeting))
    return client.play(socket, connection.script.client, clock, greeting.length > 0 ? [greeting] : []);
  client.touchedMs = clock.now();
  client.gaveUp(greeting);
  socket.destroy();
}

/** SOCKS5 without a login (RFC 1928): what came after its answer, or in a word what came instead of one. */
function greetSocks(socket: Socket, port: number): Promise<Buffer | string> {
  const answerBytes = 2 + 10;
  let read = Buffer.alloc(0);
  socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]));
  return new Promise((resolve) => {
    const take = (chunk: Buffer): void => {
      read = Buffer.concat([read, chunk]);
      if (read.length < answerBytes && (read[3] ?? 0) === 0) return;
      socket.off('data', take).off('end', ended).pause();
      resolve(read[3] === 0 ? read.subarray(answerBytes) : `SOCKS reply ${read[3]}`);
    };
    socket.on('data', take);
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    // nobody may ask twice: the system tells a reset once
    const ended = (): void => resolve(wasReset(socket) ? 'ECONNRESET' : 'end');
    socket.once('end', ended);
    socket.once('close', () => resolve('close'));
  });
}
