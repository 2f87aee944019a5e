// Hints in a tunnel's own name: an error of a login knows only the host, and `tunnel up` and `why` take tunnels. Pure.
import { TunnelError } from '../errors.ts';
import type { Way } from './host.ts';
import type { Tunnel } from './tunnel.ts';

/** Commands that a login's error hints at and that are about one tunnel; `trust` and `secret` take hosts as well. */
const commands = ['up', 'why', 'restart', 'status'] as const;

/** The error with commands on a host of the tunnel turned into commands on the tunnel; itself when there are none. */
export function forTunnel(error: TunnelError, tunnel: Pick<Tunnel, 'name' | 'ways'>): TunnelError {
  const { code, message, hint, facts, cause } = error;
  if (hint === null) return error;
  const changed = hintOn(hint, tunnel);
  return changed === hint ? error : new TunnelError(code, message, { hint: changed, facts, cause });
}

/** A hint that may name a host of the tunnel, in the tunnel's name. */
export function hintOn(
  hint: string,
  tunnel: { readonly name: string; readonly ways: readonly Way[] },
): string {
  const hosts = new Set(tunnel.ways.flat().map(({ name }) => name));
  // A listener knows no tunnel: without a name it would be all of them.
  let changed = hint.replace(/tunnel up --remap(?=\s*(#|$))/m, `tunnel up --remap ${tunnel.name}`);
  for (const host of hosts)
    for (const command of commands)
      changed = replaceWord(changed, `tunnel ${command} ${host}`, `tunnel ${command} ${tunnel.name}`);
  return changed;
}

/** Only where the name ends there: `tunnel why db` is not the beginning of `tunnel why db-replica`. */
function replaceWord(text: string, word: string, instead: string): string {
  const [first = '', ...rest] = text.split(word);
  return rest.reduce(
    (before, after) => before + (/^[\w@.:-]*\w/.test(after) ? word : instead) + after,
    first,
  );
}
