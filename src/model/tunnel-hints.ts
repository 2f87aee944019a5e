// Hints in a tunnel's own name: an error of a login knows only the host, and `tunnel up` and `why` take tunnels. Pure.
import { TunnelError, type Hint, type HintCommand } from '../errors.ts';
import { hopWord, type Way } from './host.ts';
import type { Tunnel } from './tunnel.ts';

/** Commands that a login's error hints at and that are about one tunnel; `secret` is about a host. */
const ofOneTunnel = ['up', 'why', 'restart', 'status'];

/** True for a command on a host that would rather name a tunnel. */
export function isOfOneTunnel({ command }: HintCommand): boolean {
  return ofOneTunnel.includes(command);
}

const mayNameTunnel = (command: HintCommand): boolean =>
  command.command === 'trust' || isOfOneTunnel(command);

/** The error with commands on a host of the tunnel turned into commands on the tunnel; itself when there are none. */
export function forTunnel(error: TunnelError, tunnel: Pick<Tunnel, 'name' | 'ways'>): TunnelError {
  return error.hint === null ? error : withHint(error, hintFor(error.hint, tunnel));
}

/** The error with another hint; itself when it is the same. */
export function withHint(error: TunnelError, hint: Hint): TunnelError {
  const { code, message, facts, cause } = error;
  return hint === error.hint ? error : new TunnelError(code, message, { hint, facts, cause });
}

/**
 * A hint that may name a host of the tunnel, in the tunnel's name. `trust` too: a host's name may be that of another
 * server elsewhere, and the way of the tunnel leads to the very hop.
 */
export function hintFor(hint: Hint, tunnel: { readonly name: string; readonly ways: readonly Way[] }): Hint {
  const hops = tunnel.ways.flat();
  const isHop = ({ command }: HintCommand, word: string): boolean =>
    hops.some((host) => word === (command === 'trust' ? hopWord(host) : host.name));
  return eachCommand(hint, (command) => {
    const { on } = command;
    if (on === undefined || 'words' in on) return command;
    const isIts = 'tunnel' in on ? on.tunnel === null : mayNameTunnel(command) && isHop(command, on.host);
    return isIts ? { ...command, on: { tunnel: tunnel.name } } : command;
  });
}

/** The hint with its commands changed; the very same where `change` gives each back as it is. */
export function eachCommand(hint: Hint, change: (command: HintCommand) => HintCommand): Hint {
  if (typeof hint === 'string' || 'meant' in hint) return hint;
  if ('command' in hint) return change(hint);
  const changed = hint.map((part) => (typeof part === 'string' ? part : change(part)));
  return changed.every((part, index) => part === hint[index]) ? hint : changed;
}

/** What comes first in a hint, when that is a command of ours. */
export function firstCommand(hint: Hint): string | null {
  if (typeof hint === 'string' || 'meant' in hint) return null;
  const first = 'command' in hint ? hint : hint[0];
  return first === undefined || typeof first === 'string' ? null : first.command;
}
