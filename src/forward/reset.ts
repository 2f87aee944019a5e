// The reset: ends a local connection so that nobody can take what it got for the whole.
import type { Socket } from 'node:net';

/**
 * Ends a socket at once with a TCP reset; a unix socket, which knows none, is closed at once (SPEC 3).
 * Unsent data is dropped. Idempotent.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded && !socket.writableFinished) {
    // libuv answers EINVAL to a reset while a shutdown is pending, and Node then leaks the descriptor.
    socket.once('finish', () => resetSocket(socket));
    return;
  }
  if (socket.connecting) {
    socket.destroy();
    return;
  }
  try {
    socket.resetAndDestroy();
  } catch {
    socket.destroy(); // ERR_INVALID_HANDLE_TYPE: a unix socket
  }
}

/** What a TCP handle of Node answers: 0, or a negative errno. */
interface PeerHandle {
  getpeername?(out: object): number;
}

/**
 * True when an 'end' was not an end but a reset. libuv reports a reset that arrives together with data as an end of
 * file (uv__stream_io, the POLLHUP short cut after a partial read), and an upload cut short would pass for a whole one.
 * A socket that was reset has no peer any more (getpeername(2): ENOTCONN); one whose peer half-closed has, until both
 * sides have ended: after our own end nothing can be told, and the end is believed.
 */
export function wasReset(socket: Socket): boolean {
  if (socket.writableEnded) return false;
  const { _handle: handle } = socket as unknown as { readonly _handle?: PeerHandle | null };
  return typeof handle?.getpeername === 'function' && handle.getpeername({}) !== 0;
}
