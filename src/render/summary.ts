// The sum of a status in one line: how many serve, how many do not, and the first reason. Pure.
import { cleanText } from '../model/clean.ts';
import { isReady, type StatusDocument, type TunnelState, type TunnelStatus } from '../model/status.ts';
import { groupFailures } from './error.ts';
import { cut } from './screen.ts';

/** In the order in which they are said: what serves, then the most urgent. */
const said: readonly TunnelState[] = [
  'up',
  'asleep',
  'needs-you',
  'retrying',
  'connecting',
  'stopping',
  'down',
];

/** `270 up, 30 retrying: bastion:22 does not answer`, at most `columns` wide. */
export function summaryLine({ tunnels }: StatusDocument, columns = Infinity): string {
  const parts = said.flatMap((state) => {
    const members = tunnels.filter((tunnel) => tunnel.state === state);
    return members.length === 0 ? [] : [`${members.length} ${state}${reasonOf(members)}`];
  });
  const text = cleanText(parts.join(', '));
  return columns === Infinity ? text : cut(text, columns);
}

/** The reason that most of them share. */
function reasonOf(members: readonly TunnelStatus[]): string {
  const groups = groupFailures(
    members.flatMap(({ name, error }) => (error === null ? [] : [{ tunnel: name, error }])),
  );
  const [most] = groups.toSorted((a, b) => b.tunnels.length - a.tunnels.length);
  if (most === undefined) return '';
  const others = groups.length - 1;
  return `: ${most.error.message}${others === 0 ? '' : ` (and ${others} more cause${others === 1 ? '' : 's'})`}`;
}

/** What somebody looks at when something is wrong: wanted, and not ready. */
export function isProblem(tunnel: TunnelStatus): boolean {
  return (tunnel.wanted || tunnel.state !== 'down') && !isReady(tunnel);
}
