// Algorithm lists as the config and ssh_config write them: names, or a change to the defaults by + - ^ (ssh_config(5), Ciphers). Pure.
import {
  keyPatternOrder,
  knownAlgorithms,
  opensshDefaults,
  uselessList,
  type AlgorithmKind,
} from '../keys/algorithms.ts';
import { globMatches } from './glob.ts';
import { nearest } from './nearest.ts';
import { joined, ok, wrong, type Fault, type Parsed } from './value.ts';

/** A list in our own config: text with commas or a YAML list, `+ - ^` in front of the first. Unknown names are refused. */
export function algorithmList(kind: AlgorithmKind): (value: unknown) => Parsed<readonly string[]> {
  const known = knownAlgorithms(kind);
  return (value) => {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    if (items.includes(undefined)) return ok([]); // an entry was taken out as faulty: the rest says nothing
    if (!items.every((item) => typeof item === 'string') || items.length === 0)
      return wrong('must be a list of algorithm names');
    const written = items.join(',');
    const names = items.flatMap((item, at) => item.split(',').map((name) => ({ at, name: name.trim() })));
    const faults = names.flatMap(({ at, name }, index): readonly Fault[] => {
      const plain = index === 0 ? name.replace(/^[+\-^]/, '') : name;
      if (known.includes(plain) || (written.startsWith('-') && /[*?]/.test(plain))) return [];
      const near = nearest(plain, known);
      const meant = near === null ? '' : `, did you mean "${near}"?`;
      if (Array.isArray(value)) return [{ problem: `is an unknown name${meant}`, at: [at] }];
      return [{ problem: `${names.length > 1 ? `entry ${index + 1} is` : 'is'} an unknown name${meant}` }];
    });
    const fault = joined(faults);
    if (fault !== null) return fault;
    const list = applyAlgorithms(written, opensshDefaults[kind]);
    if (list.length === 0) return wrong('leaves nothing to offer');
    const useless = kind === 'pubkey' ? null : uselessList(kind, list);
    return useless === null ? ok(list) : wrong(`leaves ${useless}`);
  };
}

/**
 * A list in ssh_config: why ssh would refuse it, null when it takes it. Names of keys may be patterns there, and what is
 * taken away need not exist.
 */
export function algorithmProblem(kind: AlgorithmKind, written: string): string | null {
  if (written.startsWith('-')) return null;
  const names = written.replace(/^[+^]/, '').split(',');
  const known = knownAlgorithms(kind);
  const bad = names.find(
    (each) => !known.some((name) => name === each || (ofKeys(kind) && globMatches(each, name))),
  );
  return bad === undefined ? null : `"${bad}" is no algorithm that is known here`;
}

const ofKeys = (kind: AlgorithmKind): boolean => kind === 'hostKey' || kind === 'pubkey';

/** The names that a list of ssh_config stands for: names of keys may be patterns there. */
export function sshAlgorithms(kind: AlgorithmKind, written: string): readonly string[] {
  if (!ofKeys(kind) || written.startsWith('-')) return applyAlgorithms(written, opensshDefaults[kind]);
  const mode = /^[+^]/.exec(written)?.[0] ?? '';
  const names = written
    .slice(mode.length)
    .split(',')
    .flatMap((each) => keyPatternOrder.filter((name) => globMatches(each, name)));
  return applyAlgorithms(mode + names.join(','), opensshDefaults[kind]);
}

/** The names that a written list stands for: `+` appends, `-` removes (wildcards allowed), `^` puts first, else it is the list. */
export function applyAlgorithms(written: string, defaults: readonly string[]): readonly string[] {
  const mode = /^[+\-^]/.exec(written)?.[0] ?? '';
  const names = written
    .slice(mode.length)
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  if (mode === '+') return [...new Set([...defaults, ...names])];
  if (mode === '^') return [...new Set([...names, ...defaults])];
  if (mode === '-') return defaults.filter((each) => !names.some((pattern) => globMatches(pattern, each)));
  return [...new Set(names)];
}
