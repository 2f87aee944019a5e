// Small real proxies on 127.0.0.1: SOCKS5 and HTTP CONNECT, open or with one user.
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

export interface TestProxy extends AsyncDisposable {
  readonly port: number;
  /** host:port of every connection asked for. */
  readonly asked: string[];
}

interface ProxyUser {
  readonly user: string;
  readonly password: string;
}

export async function startProxy(scheme: 'socks5' | 'http', login: ProxyUser | null): Promise<TestProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
    const serve = scheme === 'socks5' ? serveSocks : serveHttp;
    serve(socket, login, asked).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function read(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const chunk = socket.read(length) as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.destroyed || socket.readableEnded) throw new Error('closed');
    await new Promise((resolve) => socket.once('readable', resolve).once('end', resolve));
  }
}

async function splice(
  socket: Socket,
  host: string,
  port: number,
  answer: (error: Error | null) => void,
): Promise<void> {
  const target = connect({ host, port, noDelay: true });
  target.once('connect', () => {
    answer(null);
    socket.pipe(target).pipe(socket);
  });
  target.on('error', (error) => {
    answer(error);
    socket.end();
  });
  socket.on('close', () => target.destroy());
}

async function serveSocks(socket: Socket, login: ProxyUser | null, asked: string[]): Promise<void> {
  const methods = await read(socket, (await read(socket, 2))[1] ?? 0);
  const method = login === null ? 0 : 2;
  if (!methods.includes(method)) return void socket.end(Buffer.from([5, 0xff]));
  socket.write(Buffer.from([5, method]));
  if (login !== null) {
    const user = await read(socket, (await read(socket, 2))[1] ?? 0);
    const password = await read(socket, (await read(socket, 1))[0] ?? 0);
    const good = user.toString() === login.user && password.toString() === login.password;
    socket.write(Buffer.from([1, good ? 0 : 1]));
    if (!good) return void socket.end();
  }
  const kind = (await read(socket, 4))[3];
  const host =
    kind === 1
      ? [...(await read(socket, 4))].join('.')
      : (await read(socket, (await read(socket, 1))[0] ?? 0)).toString();
  const port = (await read(socket, 2)).readUInt16BE(0);
  asked.push(`${host}:${port}`);
  await splice(socket, host, port, (error) =>
    socket.write(Buffer.from([5, error === null ? 0 : 5, 0, 1, 0, 0, 0, 0, 0, 0])),
  );
}

async function serveHttp(socket: Socket, login: ProxyUser | null, asked: string[]): Promise<void> {
  let head = '';
  while (!head.endsWith('\r\n\r\n')) head += (await read(socket, 1)).toString('latin1');
  const basic = login === null ? null : Buffer.from(`${login.user}:${login.password}`).toString('base64');
  if (basic !== null && !head.includes(`Proxy-Authorization: Basic ${basic}\r\n`))
    return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
  const [, host = '', port = '0'] = /^CONNECT (.+):(\d+) /.exec(head) ?? [];
  asked.push(`${host}:${port}`);
  await splice(socket, host, Number(port), (error) =>
    socket.write(`HTTP/1.1 ${error === null ? '200 OK' : '502 Bad Gateway'}\r\n\r\n`),
  );
}
