// Endless bulk through a port, in a process of its own so that it does not slow what is measured: flood.ts PORT up|down.
import { connect } from 'node:net';

const chunk = Buffer.alloc(256 * 1024, 7);
const [port, direction] = process.argv.slice(2);
const socket = connect({ port: Number(port), host: '127.0.0.1' });

function pour(): void {
  while (!socket.destroyed && socket.write(chunk));
}

socket.on('error', () => undefined);
socket.once('close', () => process.exit(0));
socket.resume();
if (direction === 'down') socket.write(`down ${2 ** 40}\n`);
else {
  socket.write('up\n');
  socket.on('drain', pour);
  pour();
}
console.log('flows');
process.stdin.resume().once('end', () => process.exit(0)); // gone with the benchmark, however that ends
