// A socket file that an old session of ours left on the server: sshd does not remove it, and cannot bind over it.
import { asTunnelError } from '../errors.ts';
import type { Session } from '../model/session.ts';

/**
 * Removes a dead socket file on the server where the session can. True when it was removed.
 * Dead: the server can see that nobody answers there. A live one, or one nothing can be told of, stays.
 * Each of the two questions may take `timeoutMs`.
 */
export async function clearStaleSocket(session: Session, path: string, timeoutMs: number): Promise<boolean> {
  if (session.removeSocket === undefined) return false;
  try {
    const channel = await session.openChannel(
      { kind: 'unix', path },
      { host: '127.0.0.1', port: 0 },
      { timeoutMs },
    );
    channel.close();
    return false; // somebody listens there
  } catch (thrown) {
    if (asTunnelError(thrown).facts['reason'] !== 'connect-failed') return false;
  }
  return session.removeSocket(path, timeoutMs).catch(() => false);
}
