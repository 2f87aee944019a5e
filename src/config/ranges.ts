// Port ranges (`local: 3000-3005`): one forward each, as the config's other parts know them. Pure.
import { port, wrong, type Parsed } from './value.ts';

/** Consecutive ports: the first one, and how many. */
export interface PortRange {
  readonly first: number;
  readonly count: number;
}

/** More listeners than anybody means by one line. */
const most = 1000;

/** `PORT` or `FIRST-LAST`. Null: it is neither. */
export function portRange(written: string): Parsed<PortRange> | null {
  const [, from, to = from] = /^(\d+)(?:-(\d+))?$/.exec(written) ?? [];
  if (from === undefined) return null;
  const [first, last] = [port(from), port(to)];
  if ('problem' in first) return first;
  if ('problem' in last) return last;
  const count = last.value - first.value + 1;
  if (count < 1) return wrong('is a range that ends before it begins');
  return count > most
    ? wrong(`is a range of more than ${most} ports`)
    : { value: { first: first.value, count } };
}

const unequal = (one: number, other: number): string =>
  `is a range of ${other} where the other side has ${one}: both need the same number of ports`;

/** One end of a forward as it is written in a map: what stands before the port, and the ports. */
interface End extends PortRange {
  readonly before: string;
}

/** Null for what is no range: a plain address, a path, `auto`. */
function rangeOf(value: unknown): Parsed<End> | null {
  if (typeof value !== 'string' || /^[./~]/.test(value)) return null;
  const [, before = '', ports = ''] = /^(.*:)?(\d+-\d+)$/s.exec(value) ?? [];
  const read = ports === '' ? null : portRange(ports);
  if (read === null || 'problem' in read) return read;
  return { value: { before, ...read.value } };
}

/** A side as a range, where the other side is one: a plain port is a range of one. */
const lone = { value: { before: '', first: 0, count: 1 } } as const;

export type Ends = { readonly local: unknown; readonly remote: unknown };

/** Both ends for each port of a range; null where neither is one. A problem names the side that it is told at. */
export function expandEnds({
  local,
  remote,
}: Ends): readonly Ends[] | { readonly side: 'local' | 'remote'; readonly problem: string } | null {
  const [here, there] = [rangeOf(local), rangeOf(remote)];
  if (here === null && there === null) return null;
  if (here !== null && 'problem' in here) return { side: 'local', problem: here.problem };
  if (there !== null && 'problem' in there) return { side: 'remote', problem: there.problem };
  const [one, other] = [(here ?? lone).value, (there ?? lone).value];
  if (one.count !== other.count)
    return here === null
      ? { side: 'remote', problem: unequal(one.count, other.count) }
      : { side: 'local', problem: unequal(other.count, one.count) };
  return Array.from({ length: one.count }, (_, index) => ({
    local: here === null ? local : `${one.before}${one.first + index}`,
    remote: there === null ? remote : `${other.before}${other.first + index}`,
  }));
}
