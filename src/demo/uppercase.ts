// The upper-case TCP service: gives back in capitals what it gets, to those it admits.
import { createServer, type Socket } from 'node:net';
import { resetSocket } from '../model/reset-socket.ts';

export interface UppercaseService {
  readonly port: number;
  /** Connections that it refused to serve. */
  readonly refused: number;
  close(): Promise<void>;
}

/** Listens on a loopback port. `admits` is asked with the caller's port at the first byte; a stranger gets a reset. */
export async function startUppercase(
  admits: (remotePort: number) => boolean = () => true,
): Promise<UppercaseService> {
  const open = new Set<Socket>();
  let refused = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy()); // the caller went away: nothing is lost with it
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    const port = socket.remotePort ?? 0;
    socket.on('data', (chunk: Buffer) => {
      if (admits(port)) return void socket.write(chunk.toString('latin1').toUpperCase(), 'latin1');
      refused += 1;
      resetSocket(socket);
    });
    socket.once('end', () => socket.end());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get refused() {
      return refused;
    },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
