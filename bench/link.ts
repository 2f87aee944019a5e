// A link in user space, a process of its own, since netem needs root: link.ts PORT MS RATE carries every byte to PORT and back, arriving
// MS later, at most RATE bytes a second each way (Infinity: no limit). Prints its port.
// Its queue is bounded as a router's is: when it is full, the sender waits.
import { connect, createServer, type Socket } from 'node:net';

/** What may wait to be sent: as large as a router's buffer for some ten milliseconds of such a link. */
const queueBytes = 512 * 1024;

const [port = 0, delayMs = 0, bytesPerSecond = Infinity] = process.argv.slice(2).map(Number);

/** One direction. The link's own clock says when a byte has left it, so a timer that comes late costs no capacity. */
function carry(from: Socket, to: Socket): void {
  const underWay: { readonly due: number; readonly deliver: () => void; readonly bytes: number }[] = [];
  const mostHeld = (bytesPerSecond * delayMs) / 1000 + 2 * queueBytes;
  const queueMs = (queueBytes * 1000) / bytesPerSecond;
  let [held, busyUntil] = [0, 0];
  let timer: NodeJS.Timeout | null = null;
  const deliver = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    for (let next = underWay[0]; next !== undefined && !to.writableNeedDrain; next = underWay[0]) {
      const wait = next.due - performance.now();
      if (wait > 0) {
        timer = setTimeout(deliver, wait);
        break;
      }
      underWay.shift();
      held -= next.bytes;
      next.deliver();
    }
    if (from.isPaused() && held < mostHeld && busyUntil - performance.now() <= queueMs) from.resume();
  };
  const enter = (bytes: number, what: () => void): void => {
    busyUntil = Math.max(busyUntil, performance.now()) + (bytes * 1000) / bytesPerSecond;
    underWay.push({ due: busyUntil + delayMs, bytes, deliver: what });
    held += bytes;
    timer ??= setTimeout(deliver, delayMs);
  };
  from.on('data', (data: Buffer) => {
    enter(data.length, () => to.writable && to.write(data));
    const queuedMs = busyUntil - performance.now();
    if (held < mostHeld && queuedMs <= queueMs) return;
    from.pause();
    setTimeout(deliver, queuedMs - queueMs / 2);
  });
  to.on('drain', deliver);
  from.on('end', () => enter(0, () => to.end()));
  from.on('close', (isBroken) => isBroken && enter(0, () => to.destroy()));
  from.on('error', () => undefined); // a reset is passed on by 'close'
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  carry(near, far);
  carry(far, near);
});
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  console.log(typeof address === 'object' && address !== null ? address.port : 0);
});
process.stdin.resume().once('end', () => process.exit(0)); // gone with the benchmark, however that ends
