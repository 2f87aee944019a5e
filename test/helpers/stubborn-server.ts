// An SSH server that lets everybody in and listens where it is asked to, but ends no listener before its link, as some do.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import ssh2, { type Connection } from 'ssh2';
import { temporaryFolder } from './folder.ts';

export interface StubbornServer extends AsyncDisposable {
  readonly port: number;
  readonly logins: number;
  /** Global requests by name, in order. */
  readonly requests: readonly string[];
  /** What becomes of a cancel; `refuse` at first. `late`: refused too, but only when the next request comes. */
  cancel: 'refuse' | 'late' | 'obey';
}

type Bind = { bindAddr: string; bindPort: number };

export async function startStubbornServer(): Promise<StubbornServer> {
  const keyFile = join(temporaryFolder('stubborn'), 'host');
  execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keyFile]);
  const requests: string[] = [];
  const open = new Set<Connection>();
  const server = new ssh2.Server({ hostKeys: [readFileSync(keyFile)] }, (connection) => {
    open.add(connection);
    serve(connection, stubborn, requests);
    connection.once('close', () => open.delete(connection));
  });
  const stubborn = {
    port: 0,
    logins: 0,
    requests,
    cancel: 'refuse' as StubbornServer['cancel'],
    async [Symbol.asyncDispose]() {
      for (const connection of open) connection.end();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  stubborn.port = (server.address() as AddressInfo).port;
  return stubborn;
}

function serve(
  connection: Connection,
  settings: { logins: number; cancel: StubbornServer['cancel'] },
  requests: string[],
): void {
  const listeners = new Map<string, Server>();
  let owed: (() => void) | undefined;
  connection.on('error', () => undefined);
  connection.on('authentication', (context) => context.accept());
  connection.on('ready', () => (settings.logins += 1));
  connection.once('close', () => {
    for (const listener of listeners.values()) listener.close();
  });
  connection.on('request', ((
    accept: ((port?: number) => void) | undefined,
    reject: (() => void) | undefined,
    name: string,
    bind: Bind,
  ) => {
    requests.push(name);
    owed?.();
    owed = undefined;
    const key = `${bind.bindAddr}:${bind.bindPort}`;
    if (name === 'cancel-tcpip-forward') {
      if (settings.cancel === 'late') return void (owed = reject);
      if (settings.cancel === 'refuse') return reject?.();
      listeners.get(key)?.close(() => accept?.());
      listeners.delete(key);
      return;
    }
    const listener = createServer({ allowHalfOpen: true }, (socket) => forward(connection, socket, bind));
    listener.once('error', () => reject?.());
    listener.listen(bind.bindPort, '127.0.0.1', () => {
      listeners.set(key, listener);
      accept?.((listener.address() as AddressInfo).port);
    });
  }) as never);
}

function forward(connection: Connection, socket: Socket, { bindAddr, bindPort }: Bind): void {
  socket.on('error', () => undefined);
  connection.forwardOut(bindAddr, bindPort, '127.0.0.1', socket.remotePort ?? 0, (error, channel) => {
    if (error !== undefined) return socket.destroy();
    channel.on('error', () => socket.destroy());
    // ssh2 closes a server's channel at its `end`, with the other direction still under way: half-close is an EOF alone
    const half = channel as unknown as { eof(): void };
    socket.on('data', (chunk) => channel.write(chunk));
    socket.on('end', () => half.eof());
    channel.pipe(socket);
  });
}
