// Selections: which tunnels a command means, given what the engine knows. Pure.
import { matchSelectors } from '../config/selectors.ts';
import type { KnownTunnel } from '../supervisor/engine.ts';

/** `up` without selectors means what has autostart; every other command means all (SPEC 2). */
export type Default = 'autostart' | 'wanted' | 'all';

/** Names in the order of `known`. Throws NO_SUCH_TUNNEL for a selector that matches nothing. */
export function select(
  selectors: readonly string[],
  known: readonly KnownTunnel[],
  otherwise: Default,
): readonly string[] {
  if (selectors.length > 0 || otherwise === 'all') return matchSelectors(selectors, known);
  const meant = (tunnel: KnownTunnel): boolean => (otherwise === 'wanted' ? tunnel.wanted : tunnel.autostart);
  return known.filter((tunnel) => meant(tunnel)).map(({ name }) => name);
}
