// Selections: which tunnels a command means, given what the engine knows. Pure.
import { matchSelectors, selects, type Selectable } from '../config/selectors.ts';
import { meantByDefault } from '../model/status.ts';
import type { KnownTunnel } from '../supervisor/engine.ts';

/**
 * `up` without selectors means what has autostart; `restart` and `wait` what is wanted, else what has autostart; every
 * other command all (SPEC 2).
 */
export type Default = 'autostart' | 'wanted' | 'all';

/** Names in the order of `known`. Throws NO_SUCH_TUNNEL for a selector that matches nothing. */
export function select(
  selectors: readonly string[],
  known: readonly KnownTunnel[],
  otherwise: Default,
): readonly string[] {
  if (selectors.length > 0 || otherwise === 'all') return matchSelectors(selectors, known);
  const meant = otherwise === 'wanted' ? meantByDefault(known) : known.filter(({ autostart }) => autostart);
  return meant.map(({ name }) => name);
}

/** The same of a tunnel that is not known yet, in a file that is about to be read. */
export function selector(
  selectors: readonly string[],
  otherwise: Default,
): (tunnel: Selectable & { readonly autostart: boolean }) => boolean {
  if (selectors.length > 0) return (tunnel) => selectors.some((each) => selects(each, tunnel));
  return ({ autostart }) => otherwise !== 'autostart' || autostart;
}
