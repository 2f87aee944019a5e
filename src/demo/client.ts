// The demo's client: a plain TCP connection that says something and takes what comes back.
import { connect } from 'node:net';

/**
 * Says `text`, stays open until as many bytes have come back, then ends in good order and resolves with them.
 * Rejects with the socket's error.
 */
export function exchange(port: number, text: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let answer = '';
    const leave = (): void => void socket.destroy(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
    socket.once('close', () => {
      signal.removeEventListener('abort', leave);
      if (answer.length >= text.length) resolve(answer);
      else reject(new Error(`the connection ended after "${answer}"`));
    });
    socket.once('error', reject);
    socket.write(text);
    socket.on('data', (chunk) => {
      answer += chunk.toString();
      if (answer.length >= text.length) socket.end();
    });
    if (signal.aborted) leave();
  });
}

/** True when nothing listens there any more. */
export function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'ECONNREFUSED'));
  });
}
