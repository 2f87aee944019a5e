// Host and Match lines of ssh_config: which block is for which host (ssh_config(5), PATTERNS and Match). Pure.
import { globMatches } from '../glob.ts';

/** The facts that a Match line is compared with, as far as they are known at that point of the file. */
export interface MatchFacts {
  readonly host: string;
  readonly originalHost: string;
  readonly user: string;
  readonly localUser: string;
  /** Of a Tag line before it; '' without one. */
  readonly tag: string;
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
  /** Criteria that cannot be judged here, where all others hold: their block does not apply. */
  readonly skipped: readonly string[];
}

/** A `Match` line: all criteria hold. A problem is one for which ssh refuses the file. */
export function matchesMatch(
  words: readonly string[],
  facts: MatchFacts,
): MatchResult | { readonly problem: string } {
  const read = readCriteria(words);
  if ('problem' in read) return read;
  let matches = true;
  const skipped: string[] = [];
  for (const { name, negated, argument } of read.criteria) {
    const holds = judge(name, argument, facts);
    if (holds === null) skipped.push(name);
    else if (holds === negated) matches = false;
  }
  return {
    matches: matches && skipped.length === 0,
    wantsFinal: read.criteria.some(({ name }) => name === 'final'),
    skipped: matches ? skipped : [],
  };
}

interface Criterion {
  readonly name: string;
  readonly negated: boolean;
  readonly argument: string;
}

const alone = ['all', 'final', 'canonical'];
const withArgument =
  'host originalhost user localuser exec tagged localnetwork command sessiontype version'.split(' ');

/** `name argument` or `name=argument`, one after the other. */
function readCriteria(
  words: readonly string[],
): { readonly criteria: readonly Criterion[] } | { readonly problem: string } {
  const criteria: Criterion[] = [];
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, mark = '', written = '', inline] = /^(!?)([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const name = written.toLowerCase();
    const takesNone = alone.includes(name) && inline === undefined;
    if (!takesNone && !withArgument.includes(name))
      return { problem: `Match ${written} is nothing that is known here` };
    if (name === 'all' && (criteria.length > 1 || rest.length > 0))
      return { problem: 'Match all stands alone' };
    const argument = takesNone ? '' : takeArgument(inline, rest);
    if (argument === undefined || (argument === '' && !takesNone && !mayBeEmpty.includes(name)))
      return { problem: `Match ${name} has no value` };
    criteria.push({ name, negated: mark === '!', argument });
  }
  return criteria.length === 0 ? { problem: 'Match has no criterion' } : { criteria };
}

const mayBeEmpty = ['tagged', 'command'];

/** `name=value`, `name= value`, `name = value` and `name value` are the same to one ssh or another. */
function takeArgument(inline: string | undefined, rest: string[]): string | undefined {
  if (inline !== undefined && inline !== '') return inline;
  if (inline === undefined && rest[0] === '=') rest.shift();
  return rest.shift();
}

/** Null: not to be known here. */
function judge(name: string, argument: string, facts: MatchFacts): boolean | null {
  switch (name) {
    case 'all':
      return true;
    case 'final':
    case 'canonical':
      return facts.finalPass;
    case 'host':
      return matchesList(argument.toLowerCase(), facts.host.toLowerCase());
    case 'originalhost':
      return matchesList(argument.toLowerCase(), facts.originalHost.toLowerCase());
    case 'user':
      return matchesList(argument, facts.user);
    case 'localuser':
      return matchesList(argument, facts.localUser);
    case 'tagged':
      return argument === '' ? facts.tag === '' : matchesList(argument, facts.tag);
    case 'sessiontype':
      return matchesList(argument, 'none'); // no command and no shell: as with ssh -N
    case 'command':
      return argument === '';
    default:
      return null; // exec would run a program, localnetwork and version belong to ssh
  }
}

/** A pattern list: with commas, `!` for what it is not. */
export const matchesList = (list: string, text: string): boolean => matchesHost(list.split(','), text);

/** ssh knows * and ? only; a bracket is a bracket. */
function patternMatches(pattern: string, text: string): boolean {
  return globMatches(pattern.replaceAll('[', '[[]'), text);
}
