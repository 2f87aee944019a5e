// Ports for servers that must be told theirs, each given once while its taker lives: to no other test, round or benchmark that
// runs beside it, even while its server is down.
import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';

/**
 * A free TCP port on 127.0.0.1, for this process until it ends. Not one of those that the system gives to outgoing connections
 * and to port 0 (32768 and up, ip_local_port_range).
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(12_000, 32_000);
    if ((await isFree(port)) && (await claim(port))) return port;
  }
}

/** Null: it cannot listen. */
function listening(on: string | { readonly host: string; readonly port: number }): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(on, () => resolve(server));
  });
}

async function isFree(port: number): Promise<boolean> {
  const server = await listening({ host: '127.0.0.1', port });
  if (server === null) return false;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return true;
}

/** By a name that only one process of a machine can listen on, and that is gone with it: an abstract socket of Linux (unix(7)). */
async function claim(port: number): Promise<boolean> {
  if (process.platform !== 'linux') return true;
  const server = await listening(`\0tunnel-test-port-${port}`);
  server?.unref();
  return server !== null;
}
