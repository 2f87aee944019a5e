// Whether a local connection was reset: what its client got, or sent, must not pass for the whole.
import { readSync } from 'node:fs';
import type { Socket } from 'node:net';

/** A handle of Node: its descriptor (-1 on Windows), and for TCP its peer, answered by 0 or a negative errno. */
interface SocketHandle {
  readonly fd?: number;
  getpeername?(out: object): number;
}

const oneByte = Buffer.alloc(1);

/**
 * True when an 'end' was not an end but a reset; to be asked in the listener of that event, when everything was read.
 * libuv reports a reset that arrives together with data as an end of file (uv__stream_io, the POLLHUP short cut after a
 * partial read), and what was cut short would pass for the whole. The error then still waits in the kernel: one more
 * read(2) has it, where an end is 0 bytes again. The kernel tells it once: where a write to the socket has had it, and where there is
 * no descriptor to read from, a socket that was reset has no peer any more; but neither has one of which both sides have ended.
 * Of a socket that is closed here nobody can tell, and an end that is not sure is none.
 */
export function wasReset(socket: Socket): boolean {
  const handle = handleOf(socket);
  if (handle === null) return true;
  if (typeof handle.fd === 'number' && handle.fd >= 0) {
    try {
      if (readSync(handle.fd, oneByte) !== 0) return true;
    } catch {
      return true; // ECONNRESET, or another word for an end that was none
    }
  }
  return !socket.writableEnded && hasNoPeer(socket);
}

/** A TCP connection that is over for the kernel (getpeername(2): ENOTCONN): before we have ended it, it was reset. */
export function hasNoPeer(socket: Socket): boolean {
  const handle = handleOf(socket);
  return typeof handle?.getpeername === 'function' && handle.getpeername({}) !== 0;
}

function handleOf(socket: Socket): SocketHandle | null {
  return (socket as unknown as { readonly _handle?: SocketHandle | null })._handle ?? null;
}
