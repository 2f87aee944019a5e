// Host and Match lines of ssh_config: which block is for which host (ssh_config(5), PATTERNS and Match). Pure.
import { globMatches } from './glob.ts';

/** What a Match line is compared with, as far as it is known at that point of the file. */
export interface MatchFacts {
  readonly host: string;
  readonly originalHost: string;
  readonly user: string;
  readonly localUser: string;
  readonly finalPass: boolean;
}

/** A `Host` line: any pattern matches, and no negated one. */
export function matchesHost(patterns: readonly string[], host: string): boolean {
  if (patterns.some((each) => each.startsWith('!') && patternMatches(each.slice(1), host))) return false;
  return patterns.some((each) => !each.startsWith('!') && patternMatches(each, host));
}

export interface MatchResult {
  readonly matches: boolean;
  /** The line asks for a second pass over the files. */
  readonly wantsFinal: boolean;
  /** Criteria that cannot be judged here: their block does not apply. */
  readonly skipped: readonly string[];
}

/** A `Match` line: all criteria hold. */
export function matchesMatch(words: readonly string[], facts: MatchFacts): MatchResult {
  let matches = true;
  let wantsFinal = false;
  const skipped: string[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const negated = word.startsWith('!');
    const [criterion = '', inline] = word.replace(/^!/, '').toLowerCase().split('=');
    if (criterion === 'all') continue;
    if (criterion === 'final' || criterion === 'canonical') {
      if (criterion === 'final') wantsFinal = true;
      if (facts.finalPass === negated) matches = false;
      continue;
    }
    const argument = inline === undefined ? (rest.shift() ?? '') : word.slice(word.indexOf('=') + 1);
    const holds = judge(criterion, argument, facts);
    if (holds === null) skipped.push(criterion);
    if (holds === null || holds === negated) matches = false;
  }
  return { matches, wantsFinal, skipped };
}

function judge(criterion: string, argument: string, facts: MatchFacts): boolean | null {
  switch (criterion) {
    case 'host':
      return listMatches(argument.toLowerCase(), facts.host);
    case 'originalhost':
      return listMatches(argument.toLowerCase(), facts.originalHost);
    case 'user':
      return listMatches(argument, facts.user);
    case 'localuser':
      return listMatches(argument, facts.localUser);
    default:
      return null;
  }
}

const listMatches = (list: string, text: string): boolean => matchesHost(list.split(','), text);

/** ssh knows * and ? only; a bracket is a bracket. */
function patternMatches(pattern: string, text: string): boolean {
  return globMatches(pattern.replaceAll('[', '[[]'), text);
}
