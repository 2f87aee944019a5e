// Order among tunnels: `after:` holds back the first dial of one until others are up. Pure.
import { TunnelError } from '../errors.ts';
import type { TunnelState } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { TimedError } from './outage.ts';

/** What it still waits for, null for nothing. `before` is given back while it says the same. */
export function waitsFor(
  tunnel: Tunnel,
  stateOf: (name: string) => TunnelState | null,
  before: TimedError | null,
  now: number,
): TimedError | null {
  for (const name of tunnel.after) {
    const state = stateOf(name);
    if (state === null || state === 'up' || state === 'asleep') continue;
    const message = `start waits, on ${tunnel.name}: ${name}, which it comes after, is ${state}`;
    if (before?.error.message === message) return before;
    const hint = state === 'down' ? `tunnel up ${name}` : `tunnel why ${name}`;
    return { error: new TunnelError('NOT_UP', message, { hint }), atMs: now };
  }
  return null;
}
