// Forwards of every kind over a real sshd: a carrier on a live session, a target behind it, and a way for clients in.
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { createCarrier } from '../../src/forward/create.ts';
import type { Carrier, CarrierParts } from '../../src/model/carrier.ts';
import { systemClock } from '../../src/model/clock.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { Forward } from '../../src/model/forward.ts';
import type { Host } from '../../src/model/host.ts';
import type { Session } from '../../src/model/session.ts';
import type { Hold } from '../../src/model/tunnel.ts';
import { temporaryFolder } from './folder.ts';
import { hostOf, testContext, testDialer } from './ssh-dialer.ts';
import type { Sshd } from './sshd.ts';

export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
};

/** A live session of a test sshd. */
export function dialSshd(sshd: Sshd, more: Partial<Host> = {}): Promise<Session> {
  return testDialer().dialer.dial(hostOf(sshd, more), { via: null, transport: null }, testContext());
}

export interface LoggedCarrier {
  readonly carrier: Carrier;
  readonly logged: string[];
  readonly knocks: () => number;
}

export function makeCarrier(
  forward: Forward,
  parts: Partial<CarrierParts> = {},
  hold: Hold = { kind: 'wait', ms: 30_000 },
): LoggedCarrier {
  const logged: string[] = [];
  let knocks = 0;
  const carrier = createCarrier(forward, hold, {
    clock: systemClock,
    preferredPort: null,
    backoffMs: () => 500,
    events: {
      changed: () => undefined,
      knock: () => (knocks += 1),
      log: (_level, event, message) => logged.push(`${event}: ${message}`),
    },
    ...parts,
  });
  return { carrier, logged, knocks: () => knocks };
}

export interface TestTarget {
  readonly at: Endpoint;
  /** What happens to each connection from now on. */
  serve: (socket: Socket) => void;
  readonly living: () => number;
  stop(): Promise<void>;
}

/** A server whose behaviour each test sets. */
export async function testTarget(kind: 'tcp' | 'unix'): Promise<TestTarget> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    target.serve(socket);
  });
  const path = join(temporaryFolder('target'), 's');
  if (kind === 'tcp') server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  const address = server.address();
  const target: TestTarget = {
    at:
      typeof address === 'object' && address !== null
        ? tcp('127.0.0.1', address.port)
        : { kind: 'unix', path },
    serve: (socket) => socket.destroy(),
    living: () => sockets.size,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return target;
}

/** A client of a listener, by the address that status shows. */
export function clientOf(listen: string): Socket {
  const port = Number(listen.split(':').at(-1));
  const socket = listen.startsWith('/')
    ? connect({ path: listen, allowHalfOpen: true })
    : connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  return socket;
}

/** A client that asks a SOCKS5 proxy for a target; its first data is the target's. */
export async function socksClientOf(listen: string, target: Endpoint): Promise<Socket> {
  if (target.kind !== 'tcp') throw new Error('SOCKS is about TCP');
  const socket = clientOf(listen);
  const name = Buffer.from(target.host);
  const port = Buffer.alloc(2);
  port.writeUInt16BE(target.port);
  socket.write(
    Buffer.concat([Buffer.from([5, 1, 0, 5, 1, 0, 3, name.length]), name, port]), // pipelined
  );
  const reply: Buffer = await new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const more = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 12) return;
      socket.pause();
      socket.off('data', more);
      if (got.length > 12) socket.unshift(got.subarray(12));
      resolve(got);
    };
    socket.on('data', more);
    socket.once('close', () => reject(new Error(`proxy closed after ${got.toString('hex')}`)));
  });
  if (reply[3] !== 0) throw new Error(`SOCKS reply ${reply[3]}`);
  return socket;
}
