// Putting a supervisor of this version in the place of the one that runs: listeners and connections stay (SPEC 4).
import { askHandOver } from '../control/reach.ts';
import type { Methods } from '../control/protocol.ts';
import { TunnelError } from '../errors.ts';
import type { Context } from './context.ts';
import { isRunning, locateTarget } from './supervisor.ts';

/**
 * `byPerson`: somebody asked for it, or can answer what a fresh login asks. Null: none runs. Throws DAEMON_MISMATCH with why it
 * was not done; the one that runs then goes on.
 */
export async function replaceSupervisor(
  context: Context,
  byPerson: boolean,
): Promise<Methods['hand-over']['result'] | null> {
  const { supervisor, owner } = locateTarget(context);
  return askHandOver(supervisor, owner, { program: context.program, byPerson });
}

/** Whether one runs, of this protocol: one of another is replaced. Throws as `replaceSupervisor`. */
export async function isRunningOrReplaced(context: Context, signal: AbortSignal): Promise<boolean> {
  try {
    return await isRunning(locateTarget(context), signal);
  } catch (thrown) {
    if (!(thrown instanceof TunnelError) || thrown.code !== 'DAEMON_MISMATCH') throw thrown;
    const fresh = await replaceSupervisor(context, context.interactive);
    if (fresh === null) return false;
    context.talk(`the supervisor spoke another protocol; ${replacedBy(fresh)}`);
    return true;
  }
}

export function replacedBy({ pid, version }: Methods['hand-over']['result']): string {
  return `supervisor ${version} (pid ${pid}) goes on with its listeners`;
}
