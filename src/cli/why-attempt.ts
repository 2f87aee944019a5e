// One attempt by the supervisor, now, for `tunnel why`: what must be asked is asked here, and the answer resumes the link.
import { callerEnvironment } from '../model/environment.ts';
import { connectSupervisor } from '../control/reach.ts';
import type { ControlClient } from '../control/client.ts';
import { asTunnelError, reportError, type ErrorReport } from '../errors.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { StatusDocument } from '../model/status.ts';
import type { Context, Interruption } from '../client/context.ts';
import { createConversation } from './conversation.ts';
import type { Target } from '../client/supervisor.ts';

/** Longer than any attempt takes that nobody is asked in; questions stop the clock. */
const patienceMs = 60_000;

/**
 * The tunnel is wanted already, so `up` changes nothing but the time of the next try, and never offers a refused
 * credential again unless a person is here. Answers why the tunnel does not serve; null when it does.
 */
export async function attemptNow(
  context: Context,
  { supervisor }: Target,
  tunnel: Tunnel,
  interruption: Interruption,
): Promise<ErrorReport | null> {
  const client = await connectSupervisor(supervisor, context.facts);
  if (client === null) return null;
  const failed = new AbortController();
  try {
    watchFailure(client, tunnel.name, failed);
    return await bringUp(context, client, tunnel, interruption, failed.signal);
  } catch (thrown) {
    interruption.signal.throwIfAborted();
    if (failed.signal.aborted) return failed.signal.reason as ErrorReport;
    return reportError(asTunnelError(thrown));
  } finally {
    client.close();
  }
}

async function bringUp(
  context: Context,
  client: ControlClient,
  { name, ways }: Tunnel,
  interruption: Interruption,
  failed: AbortSignal,
): Promise<ErrorReport | null> {
  const conversation = createConversation({
    context,
    interruption,
    answer: async (question, value) => {
      await client.call('answer', { question, value: value?.reveal() ?? null });
    },
    ways,
  });
  const params = {
    selectors: [name],
    timeoutMs: patienceMs,
    interactive: context.interactive,
    acceptNew: false,
    environment: callerEnvironment(context.facts.env),
    remap: false,
  };
  const result = await client.call('up', params, {
    signal: AbortSignal.any([interruption.signal, failed]),
    onProgress: (progress) => {
      if (progress.kind !== 'settled') conversation.progress(progress);
    },
  });
  await conversation.settled();
  return result.failures[0]?.error ?? null;
}

/** `up` goes on trying: the first failure from now on is what `why` is after. On the same connection, so none is missed. */
function watchFailure(client: ControlClient, name: string, failed: AbortController): void {
  let before: string | null | undefined; // the time of the failure there was; clocks may be set meanwhile
  const look = ({ tunnels }: StatusDocument): void => {
    const watched = tunnels.find((tunnel) => tunnel.name === name);
    if (before === undefined) before = watched?.lastError?.at ?? null;
    const error = watched?.state === 'retrying' ? watched.error : null;
    if (error == null || error.at === before) return;
    failed.abort({ code: error.code, message: error.message, hint: error.hint } satisfies ErrorReport);
  };
  client.call('watch', { selectors: [name] }, { onProgress: look }).catch(() => undefined); // ends with the connection
}
