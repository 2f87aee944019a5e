// What is measured through one local port: bulk both ways, new connections, requests and their answers.
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';

const megabyte = 1e6;
const bufferBytes = 1024 * 1024;
const chunk = Buffer.alloc(256 * 1024, 7);

export function seconds(since: bigint): number {
  return Number(process.hrtime.bigint() - since) / 1e9;
}

/** A connection to a local port; that it failed, whoever waits for its `next` event is told. */
function open(port: number, more: Partial<TcpNetConnectOpts> = {}): Socket {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...more });
  socket.on('error', () => undefined);
  return socket;
}

/** The next event of a name; an error or a close instead of it rejects. */
function next(socket: Socket, event: 'data' | 'drain' | 'end'): Promise<void> {
  return new Promise((resolve, reject) => {
    const off = (): void => {
      socket.off(event, done).off('error', failed).off('close', closed);
    };
    const done = (): void => (off(), resolve());
    const failed = (error: Error): void => (off(), reject(error));
    const closed = (): void => failed(new Error(`closed before ${event}`));
    socket.on(event, done).on('error', failed).on('close', closed);
  });
}

/** MB/s of `bytes` received, to the end. */
export async function down(port: number, bytes: number): Promise<number> {
  let received = 0;
  const begin = process.hrtime.bigint();
  const buffer = Buffer.allocUnsafe(bufferBytes);
  const socket = open(port, {
    allowHalfOpen: true,
    // one buffer for all: the client shall cost as little as it can
    onread: { buffer, callback: (length) => (received += length) > 0 },
  });
  socket.resume(); // with onread there is no 'data', but 'end' still waits for a reader
  socket.end(`down ${bytes}\n`);
  await next(socket, 'end');
  if (received !== bytes) throw new Error(`${received} of ${bytes} bytes came`);
  return bytes / megabyte / seconds(begin);
}

/** MB/s of `bytes` sent, acknowledged by the far end. */
export async function up(port: number, bytes: number): Promise<number> {
  const socket = open(port, { allowHalfOpen: true });
  const begin = process.hrtime.bigint();
  const ended = next(socket, 'end');
  socket.write('up\n');
  socket.resume();
  for (let sent = 0; sent < bytes; sent += chunk.length) {
    if (!socket.write(chunk)) await next(socket, 'drain');
  }
  socket.end();
  await ended;
  return bytes / megabyte / seconds(begin);
}

/** MB/s of what arrives in `spanSeconds` once the first `skipSeconds` are over, and all bytes that came. */
export async function downRate(
  port: number,
  skipSeconds: number,
  spanSeconds: number,
): Promise<{ rate: number; bytes: number }> {
  let received = 0;
  const buffer = Buffer.allocUnsafe(bufferBytes);
  const socket = open(port, { onread: { buffer, callback: (length) => (received += length) > 0 } });
  socket.resume();
  socket.write(`down ${2 ** 40}\n`);
  await new Promise((resolve) => setTimeout(resolve, skipSeconds * 1000));
  const [before, begin] = [received, process.hrtime.bigint()];
  await new Promise((resolve) => setTimeout(resolve, spanSeconds * 1000));
  const rate = (received - before) / megabyte / seconds(begin);
  socket.destroy();
  return { rate, bytes: received };
}

/** MB/s of several transfers at once, which share the bytes. */
export async function together(
  transfer: typeof up,
  port: number,
  bytes: number,
  flows: number,
): Promise<number> {
  const begin = process.hrtime.bigint();
  const each = Math.ceil(bytes / flows);
  await Promise.all(Array.from({ length: flows }, () => transfer(port, each)));
  return (each * flows) / megabyte / seconds(begin);
}

/** New connections a second: connect, one echoed byte, close; `atOnce` at a time. */
export async function connections(port: number, count: number, atOnce = 8): Promise<number> {
  const begin = process.hrtime.bigint();
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const socket = open(port);
      socket.write('x');
      await next(socket, 'data');
      socket.destroy();
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return count / seconds(begin);
}

/** Milliseconds of `count` requests of 64 bytes and their answers on one connection, one after the other. */
export async function roundTrips(port: number, count: number, pauseMs = 0): Promise<number[]> {
  const socket = open(port);
  const times: number[] = [];
  const message = Buffer.alloc(64, 120);
  const ask = async (): Promise<void> => {
    socket.write(message);
    await next(socket, 'data');
  };
  await ask(); // the first one opens the channel
  for (let index = 0; index < count; index += 1) {
    if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const begin = process.hrtime.bigint();
    await ask();
    times.push(seconds(begin) * 1000);
  }
  socket.destroy();
  return times;
}

/** Milliseconds of `count` answers in two small parts, from the question to the second one. */
export async function answersInParts(port: number, count: number): Promise<number[]> {
  const socket = open(port);
  const until = async (word: string): Promise<void> => {
    while (!heard.endsWith(word)) await next(socket, 'data');
  };
  let heard = '';
  socket.setEncoding('latin1').on('data', (text: string) => (heard = text));
  socket.write('parts');
  await until('ready');
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    heard = '';
    const begin = process.hrtime.bigint();
    socket.write('?');
    await until('second');
    times.push(seconds(begin) * 1000);
  }
  socket.destroy();
  return times;
}
