// Small TCP services that stand behind the SSH server in tests, and clients that talk to them.
import { createHash } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';

export interface Target extends AsyncDisposable {
  readonly port: number;
  readonly server: Server;
  /** Connections it has seen. */
  accepted(): number;
}

/** Serves each connection with `serve`; half-open sockets are kept. */
export async function startTarget(serve: (socket: Socket) => void, host = '127.0.0.1'): Promise<Target> {
  let accepted = 0;
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => undefined); // a reset is the client's right
    socket.once('close', () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    server,
    accepted: () => accepted,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Text in, TEXT out. */
export const uppercase = (socket: Socket): void => {
  socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
  socket.on('end', () => socket.end());
};

/** Answers the SHA-256 of everything it was sent, after the client's end. */
export const hashing = (socket: Socket): void => {
  const hash = createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk));
  socket.on('end', () => socket.end(hash.digest('hex')));
};

/** How a client's connection ended. */
export interface Outcome {
  readonly text: string;
  /** ECONNRESET and friends; null for a clean end. */
  readonly error: string | null;
}

/** Connects, sends, half-closes, reads to the end. */
export async function request(
  port: number,
  text: string,
  options: { halfClose?: boolean } = {},
): Promise<Outcome> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const outcome = outcomeOf(socket);
  if (options.halfClose === false) {
    socket.write(text);
    await new Promise<void>((resolve) => {
      let received = 0;
      socket.on('data', (chunk) => {
        received += chunk.length;
        if (received >= text.length) resolve();
      });
      socket.once('close', () => resolve());
    });
    socket.end();
  } else {
    socket.end(text);
  }
  return outcome;
}

/** Reads a socket to its end. */
export function outcomeOf(socket: Socket): Promise<Outcome> {
  const chunks: Buffer[] = [];
  let error: string | null = null;
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', (fault: NodeJS.ErrnoException) => {
    error = fault.code ?? fault.message;
  });
  socket.once('end', () => socket.end());
  return new Promise((resolve) =>
    socket.once('close', () => resolve({ text: Buffer.concat(chunks).toString(), error })),
  );
}
