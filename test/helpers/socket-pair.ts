// Two connected sockets on this machine, TCP or unix, both half-open capable, and what a client saw of its end.
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { once } from 'node:events';
import { wasReset } from '../../src/forward/reset.ts';
import { temporaryFolder } from './folder.ts';

export interface SocketPair {
  readonly client: Socket;
  readonly served: Socket;
}

export async function socketPair(kind: 'tcp' | 'unix' = 'tcp'): Promise<SocketPair> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  const path = join(temporaryFolder('pair'), 's');
  if (kind === 'tcp') server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  const address = server.address();
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client =
    typeof address === 'object' && address !== null
      ? connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
      : connect({ path, allowHalfOpen: true });
  const [[served]] = await Promise.all([accepted, once(client, 'connect')]);
  server.close();
  return { client, served };
}

export interface Watched {
  /** Everything received so far. */
  readonly received: () => Buffer;
  /** 'end' for a clean end, 'reset' for an error; resolves when either is seen. */
  readonly ending: Promise<'end' | 'reset'>;
  readonly closed: Promise<void>;
}

/** Reads a client to its end. */
export function watchSocket(socket: Socket): Watched {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  socket.resume();
  return {
    received: () => Buffer.concat(chunks),
    ending: new Promise((resolve) => {
      socket.once('end', () => resolve(wasReset(socket) ? 'reset' : 'end'));
      socket.once('error', () => resolve('reset'));
      socket.once('close', (failed) => resolve(failed ? 'reset' : 'end'));
    }),
    closed: new Promise((resolve) => socket.once('close', () => resolve())),
  };
}
