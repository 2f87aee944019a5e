// Lines of one tunnel: what `up`, `restart`, `wait` and `down` print on stdout.
import { statePaint, stateText } from './status.ts';
import type { ForwardStatus, TunnelStatus } from '../model/status.ts';
import type { Paint } from './color.ts';

/** `uppercase  up  127.0.0.1:2345 → katie.example.org:12000 via katie` */
export function renderTunnelLine(tunnel: TunnelStatus, paint: Paint): string {
  const ways = tunnel.forwards.map((forward) => arrow(tunnel, forward)).join(', ');
  const via = [...tunnel.via, tunnel.host].join(', ');
  const state = statePaint(tunnel.state, paint)(stateText(tunnel));
  return `${paint.bold(tunnel.name)}  ${state}  ${ways} via ${via}`;
}

/** `katie  down  127.0.0.1:2345 closed`. `left`: listeners that the server would not end. */
export function renderDownLine(
  tunnel: TunnelStatus,
  { closed, left }: { readonly closed: readonly string[]; readonly left: readonly string[] },
  paint: Paint,
): string {
  const parts = [
    ...(closed.length === 0 ? [] : [`${closed.join(', ')} closed`]),
    ...(left.length === 0 ? [] : [`${left.join(', ')} not closed`]),
  ];
  const what = parts.length === 0 ? 'was not up' : parts.join('; ');
  return `${paint.bold(tunnel.name)}  ${statePaint(tunnel.state, paint)(tunnel.state)}  ${what}`;
}

/** Said at `up` of a listener that other machines can reach (SPEC 2). */
export function exposureNotes(tunnel: TunnelStatus): string[] {
  return tunnel.forwards
    .filter(({ exposed }) => exposed)
    .map(({ type, listen }) => {
      const where = type === 'remote' ? `${listen} on ${tunnel.host}` : listen;
      return `${tunnel.name}: ${where} is exposed, other machines can reach it`;
    });
}

function arrow(tunnel: TunnelStatus, forward: ForwardStatus): string {
  if (forward.type === 'remote') return `${forward.listen} on ${tunnel.host} → ${forward.target} here`;
  if (forward.type === 'dynamic') return `${forward.listen} → anywhere (SOCKS)`;
  return `${forward.listen} → ${forward.target}`;
}
