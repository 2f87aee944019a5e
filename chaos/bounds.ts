// How long things may take, by what the tunnels of a run were told (scene.ts). Pure.
import { longestPauseMs } from './script.ts';
import type { Struck } from './faults.ts';
import { pathOf } from './scene.ts';
import { terms } from './terms.ts';

/** A login, on a machine that does other things too. */
const loginMs = 1000;
/** Silence until a peer counts as dead. */
const deadMs = terms.keepaliveMs * (terms.keepaliveCount + 1);
/** Until sshd gives up a session whose line is dead. */
const serverDeadMs = terms.clientAliveSeconds * 1000 * (terms.clientAliveCount + 1);

/** A tunnel is up again so soon after the last fault on its path. */
export function recoveryBoundMs(tunnel: string): number {
  const hops = tunnel.startsWith('near') ? 1 : 2;
  const link = deadMs + hops * (terms.connectTimeoutMs + terms.reconnectMaxMs + loginMs);
  // its port on the server may still be held by the session before
  return tunnel.endsWith('Back') ? link + serverDeadMs + terms.reconnectMaxMs : link;
}

/** Nothing happens on a connection for so long, with nothing wrong on its path: it hangs. */
export function hangBoundMs(tunnel: string): number {
  return recoveryBoundMs(tunnel) + serverDeadMs + longestPauseMs;
}

/** Since when nothing is wrong on a tunnel's path; null while something is. */
export function calmSinceMs(tunnel: string, strikes: readonly Struck[]): number | null {
  let since = 0;
  for (const { strike, endedMs } of strikes) {
    if (!(pathOf[tunnel] ?? []).includes(strike.place)) continue;
    if (endedMs === null) return null;
    since = Math.max(since, endedMs);
  }
  return since;
}
