// Selectors: NAME, glob or tag:NAME -> the names they stand for. Pure.
import { TunnelError } from '../errors.ts';
import { globMatches } from './glob.ts';
import { nearest } from './nearest.ts';

export interface Selectable {
  readonly name: string;
  readonly tags: readonly string[];
}

/**
 * Names that the selectors stand for, in the order of `known`, each once. No selectors: every name.
 * Throws NO_SUCH_TUNNEL for the selectors that match nothing, with a near name as the hint.
 */
export function matchSelectors(selectors: readonly string[], known: readonly Selectable[]): string[] {
  if (selectors.length === 0) return known.map(({ name }) => name);
  const lost = selectors.filter((selector) => !known.some((tunnel) => selects(selector, tunnel)));
  if (lost.length > 0) throw noSuchTunnel(lost, known);
  return known
    .filter((tunnel) => selectors.some((selector) => selects(selector, tunnel)))
    .map(({ name }) => name);
}

/** True when one selector matches one tunnel. */
export function selects(selector: string, tunnel: Selectable): boolean {
  if (!selector.startsWith('tag:')) return globMatches(selector, tunnel.name);
  const tag = selector.slice('tag:'.length);
  return tunnel.tags.some((own) => globMatches(tag, own));
}

function noSuchTunnel(lost: readonly string[], known: readonly Selectable[]): TunnelError {
  const first = lost[0] ?? '';
  const isTag = first.startsWith('tag:');
  const words = isTag ? known.flatMap(({ tags }) => tags) : known.map(({ name }) => name);
  const near = nearest(isTag ? first.slice('tag:'.length) : first, words);
  const named = near === null ? null : isTag ? `tag:${near}` : near;
  const what = isTag ? `no tunnel has the tag ${first.slice('tag:'.length)}` : `no tunnel is named ${first}`;
  return new TunnelError('NO_SUCH_TUNNEL', what, {
    hint: named === null ? { command: 'status' } : { meant: named, insteadOf: first },
    facts: { selectors: lost },
  });
}
