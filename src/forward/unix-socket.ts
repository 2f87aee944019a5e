// Unix sockets we listen on: the path must fit, a dead one is cleared away, nothing else ever is.
import { existsSync, lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { TunnelError } from '../errors.ts';
import { shellWord } from '../model/shell-word.ts';

/** sun_path holds 108 bytes on Linux, 104 on macOS and the BSDs, with the closing NUL (unix(7)). */
const pathLimit = process.platform === 'linux' ? 107 : 103;
/** A listener of this machine answers a connect at once; one that does not in this time is taken for alive. */
const answerMs = 1000;

/**
 * Makes room for a listener on a path: a socket file that nobody answers is removed.
 * Throws LISTEN_FAILED when the path is too long, is no socket, or somebody listens there.
 */
export async function clearSocketPath(path: string): Promise<void> {
  const length = Buffer.byteLength(path);
  if (length > pathLimit)
    throw failed(
      path,
      `the path has ${length} bytes, a socket's may have ${pathLimit}`,
      'use a shorter path',
    );
  // libuv reports a missing folder as EACCES: said here, where it can be known
  if (!existsSync(dirname(path)))
    throw failed(path, 'its folder does not exist', `mkdir -p ${shellWord(dirname(path))}`);
  const kind = kindOf(path);
  if (kind === 'none') return;
  if (kind === 'other')
    throw failed(path, 'there is a file that is not a socket', 'move it away, or use another path');
  if (await answers(path)) throw failed(path, 'another process listens there', `lsof ${shellWord(path)}`);
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return; // its owner removed it meanwhile
    throw failed(path, `a dead socket is there and cannot be removed (${(error as Error).message})`, null);
  }
}

/** Runs a synchronous bind so that the socket file is 0600 from its birth: bind(2) applies the umask. */
export function withPrivateUmask(bind: () => void): void {
  const before = process.umask(0o177);
  try {
    bind();
  } finally {
    process.umask(before);
  }
}

function kindOf(path: string): 'none' | 'socket' | 'other' {
  try {
    return lstatSync(path).isSocket() ? 'socket' : 'other';
  } catch {
    return 'none';
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const timer = setTimeout(() => settle(true), answerMs);
    const settle = (answer: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    // ECONNREFUSED: a file without a listener. Anything else (EACCES, EAGAIN) may be alive.
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}

function failed(path: string, why: string, hint: string | null): TunnelError {
  return new TunnelError('LISTEN_FAILED', `listen failed, on ${path}: ${why}`, { hint, facts: { path } });
}
