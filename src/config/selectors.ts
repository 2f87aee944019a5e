// Selectors: NAME, glob or tag:NAME -> the names they stand for. Pure.
import { TunnelError } from '../errors.ts';
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

/** `*` stands for any run, `?` for one character, `[abc]` for one of them. Never exponential, whatever the pattern. */
export function globMatches(pattern: string, text: string): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let mark = 0;
  const steps = globSteps(pattern);
  while (next < text.length) {
    const step = steps[at];
    if (step === '*') {
      star = at++;
      mark = next;
    } else if (step !== undefined && step(text.charAt(next))) {
      at++;
      next++;
    } else if (star >= 0) {
      at = star + 1;
      next = ++mark;
    } else return false;
  }
  while (steps[at] === '*') at++;
  return at === steps.length;
}

type Step = '*' | ((character: string) => boolean);

function globSteps(pattern: string): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern.charAt(at);
    const close = character === '[' ? pattern.indexOf(']', at + 2) : -1;
    if (character === '*') {
      if (steps.at(-1) !== '*') steps.push('*');
    } else if (character === '?') steps.push(() => true);
    else if (close > 0) {
      steps.push(oneOf(pattern.slice(at + 1, close)));
      at = close;
    } else steps.push((other) => other === character);
  }
  return steps;
}

function oneOf(inside: string): (character: string) => boolean {
  const negated = inside.startsWith('!') || inside.startsWith('^');
  const set = negated ? inside.slice(1) : inside;
  const ranges: [string, string][] = [];
  for (let at = 0; at < set.length; at++) {
    const from = set.charAt(at);
    const ranged = set.charAt(at + 1) === '-' && at + 2 < set.length;
    ranges.push([from, ranged ? set.charAt(at + 2) : from]);
    if (ranged) at += 2;
  }
  return (character) => ranges.some(([from, to]) => character >= from && character <= to) !== negated;
}

function noSuchTunnel(lost: readonly string[], known: readonly Selectable[]): TunnelError {
  const first = lost[0] ?? '';
  const isTag = first.startsWith('tag:');
  const words = isTag ? known.flatMap(({ tags }) => tags) : known.map(({ name }) => name);
  const near = nearest(isTag ? first.slice('tag:'.length) : first, words);
  const named = near === null ? null : isTag ? `tag:${near}` : near;
  const what = isTag ? 'no tunnel has that tag' : 'no such tunnel';
  return new TunnelError('NO_SUCH_TUNNEL', `selection failed, on ${lost.join(', ')}: ${what}`, {
    hint: named === null ? 'tunnel status' : `did you mean ${named}?`,
    facts: { selectors: lost },
  });
}
