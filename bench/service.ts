// The service behind the tunnels, a process of its own: "down N" sends N bytes, "up" swallows, "parts" answers each byte from then on
// in two small parts that lie 2 ms apart, anything else is echoed.
// Prints its port.
import { createServer, type Socket } from 'node:net';

const chunk = Buffer.alloc(256 * 1024, 7);

function serve(socket: Socket): void {
  socket.on('error', () => undefined); // a reset is the client's right
  socket.once('data', (first) => {
    const line = first.toString('latin1', 0, 32);
    if (line.startsWith('down ')) return void send(socket, Number.parseInt(line.slice(5), 10));
    if (line.startsWith('up\n')) {
      socket.on('end', () => socket.end('ok'));
      socket.resume();
      return;
    }
    if (line.startsWith('parts')) return answerInParts(socket);
    socket.write(first);
    socket.on('data', (data) => socket.write(data));
    socket.on('end', () => socket.end());
  });
}

/** As PostgreSQL, FTP and redis do: what is known is said, the rest when it is known. */
function answerInParts(socket: Socket): void {
  socket.write('ready');
  socket.on('data', () => {
    socket.write('first');
    setTimeout(() => socket.write('second'), 2);
  });
  socket.on('end', () => socket.end());
}

async function send(socket: Socket, bytes: number): Promise<void> {
  let proceed: () => void = () => undefined;
  socket.on('data', () => undefined);
  socket.on('drain', () => proceed());
  socket.on('close', () => proceed());
  for (let left = bytes; left > 0 && !socket.destroyed; left -= chunk.length) {
    const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
    if (!socket.write(part)) await new Promise<void>((resolve) => (proceed = resolve));
  }
  socket.end();
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' && address !== null ? address.port : 0);
});
process.stdin.resume().once('end', () => process.exit(0)); // gone with the benchmark, however that ends
