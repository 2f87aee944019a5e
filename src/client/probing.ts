// One login by the way a tunnel goes, in the command's own process, for `tunnel why` without a live link. Each step is told.
import { asTunnelError, type TunnelError } from '../errors.ts';
import type { Way } from '../model/host.ts';
import type { DialContext, Session } from '../model/session.ts';
import type { SshHouse } from '../ssh/parts.ts';

/**
 * Logs in to every hop in turn, once, and leaves again; `use` may try something through the last session.
 * Answers what failed; null when all went well. The steps go to `context.step`.
 */
export async function probeWay(
  way: Way,
  ssh: Pick<SshHouse, 'dialer'>,
  context: DialContext,
  use: (session: Session) => Promise<void> = () => Promise.resolve(),
): Promise<TunnelError | null> {
  const sessions: Session[] = [];
  try {
    for (const host of way) {
      const via = sessions.at(-1) ?? null;
      sessions.push(await ssh.dialer.dial(host, { via, transport: null }, context));
    }
    const last = sessions.at(-1);
    if (last !== undefined) await use(last);
    return null;
  } catch (thrown) {
    return asTunnelError(thrown);
  } finally {
    for (const session of sessions.reverse()) await session.close();
  }
}
