// The reset: ends a connection so that nobody can take what it got for the whole.
import type { Socket } from 'node:net';

/**
 * Ends a socket at once with a TCP reset; a unix socket, which knows none, is closed at once (SPEC 3).
 * Unsent data is dropped. Idempotent.
 */
export function resetSocket(socket: Socket): void {
  if (socket.destroyed) return;
  if (socket.writableEnded && !socket.writableFinished) {
    // libuv answers EINVAL to a reset while a shutdown is pending. Node then leaks the descriptor, and a process that is to end by
    // itself never does, with a core busy.
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
