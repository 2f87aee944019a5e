// Reaching a target through the session: one channel, a deadline, and the question whose fault a silence is.
import { TunnelError } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Channel } from '../model/session.ts';
import type { OpenRequest } from './connection.ts';

/** How long a target may take to answer. */
const openMs = 10_000;

/**
 * Opens a channel to the target. Throws FORWARD_REFUSED, TIMED_OUT (the server lives, the target does not answer) or
 * LINK_LOST (the server did not answer either: a connection of which nothing was sent yet can be held).
 */
export async function reach(request: OpenRequest, target: Endpoint): Promise<Channel> {
  const { session, arrival, signal } = request;
  try {
    return await session.openChannel(target, arrival.origin, { timeoutMs: openMs, signal });
  } catch (error) {
    if (error instanceof TunnelError && error.code === 'TIMED_OUT' && !signal.aborted)
      await serverLives(request);
    throw error;
  }
}

/**
 * Resolves when the server answers or patience ends; throws LINK_LOST when the link is gone.
 * A frozen server is given the time its own keepalive gives it: the other connections of the link depend on it.
 */
async function serverLives({ session, signal, clock, patientUntilMs }: OpenRequest): Promise<void> {
  const { intervalMs, count } = session.host.keepalive;
  const answered = session.ping(Math.max(openMs, intervalMs * (count + 1)));
  const patience = new Promise<void>((resolve) => {
    const cancel = clock.schedule(Math.max(0, patientUntilMs - clock.monotonic()), resolve);
    const stop = (): void => (cancel(), resolve());
    signal.addEventListener('abort', stop);
    answered.then(stop, stop);
  });
  await Promise.race([answered, patience]);
}
