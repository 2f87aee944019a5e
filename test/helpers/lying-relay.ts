// A relay that lies once in each connection: what a checking client must see.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { resetSocket } from '../../src/model/reset-socket.ts';

export type Lie = 'none' | 'flip' | 'end' | 'drop' | 'repeat' | 'swap' | 'hang' | 'reset';

export interface Relay extends AsyncDisposable {
  readonly port: number;
}

/** Relays to `target`; lies on the way back to the client, after `afterBytes` bytes. */
export async function startRelay(target: string | number, lie: Lie, afterBytes: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const where = typeof target === 'string' ? { path: target } : { port: target, host: '127.0.0.1' };
    const far = connect({ ...where, allowHalfOpen: true, noDelay: true });
    client.pipe(far);
    relayBack(far, client, lie, afterBytes);
    for (const socket of [client, far]) {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    }
    client.on('error', () => resetSocket(far));
    far.on('error', () => resetSocket(client));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function relayBack(far: Socket, client: Socket, lie: Lie, afterBytes: number): void {
  let sent = 0;
  let lied = lie === 'none';
  let last = Buffer.alloc(0);
  far.on('data', (chunk) => {
    sent += chunk.length;
    if (lied || sent < afterBytes) {
      last = chunk;
      if (!client.writableEnded) client.write(chunk);
      return;
    }
    lied = true;
    tell(lie, chunk, last, far, client);
  });
  far.on('end', () => {
    if (lie !== 'hang') client.end();
  });
}

/** One lie about a chunk. */
function tell(lie: Lie, chunk: Buffer, last: Buffer, far: Socket, client: Socket): void {
  const half = chunk.length >> 1;
  switch (lie) {
    case 'flip': {
      const changed = Buffer.from(chunk);
      changed[half] = (changed[half] ?? 0) ^ 1;
      return void client.write(changed);
    }
    case 'end':
      client.end(chunk.subarray(0, half));
      return void far.resume();
    case 'drop':
      return void client.write(chunk.subarray(0, half));
    case 'repeat':
      return void client.write(Buffer.concat([chunk, chunk]));
    case 'swap':
      return void client.write(Buffer.concat([chunk.subarray(half), last, chunk.subarray(0, half)]));
    case 'hang':
      return void far.pause();
    case 'reset':
      resetSocket(client);
      return void far.destroy();
    case 'none':
      client.write(chunk);
  }
}
