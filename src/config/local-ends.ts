// Where a program here reaches a tunnel: as its supervisor says while it has the port, else as the file says.
import { localListen } from './address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { ForwardStatus, TunnelStatus } from '../model/status.ts';
import {
  localListeners,
  reachedAt,
  type LocalListener,
  type NamedTunnel,
} from '../model/tunnel-variables.ts';

/** Null where a port is not known: it is `auto`, and the tunnel is not up. */
export function localEnds(
  tunnel: NamedTunnel,
  status: Pick<TunnelStatus, 'forwards'> | undefined,
): readonly Endpoint[] | null {
  const ends: Endpoint[] = [];
  const listeners = localListeners(tunnel.forwards);
  for (const [index, forward] of listeners.entries()) {
    const before = listeners.slice(0, index).filter((other) => isAlike(other, forward)).length;
    const end = boundAt(status?.forwards.filter((each) => isAlike(each, forward))[before]) ?? forward.listen;
    if (end.kind === 'tcp' && end.port === 0) return null;
    ends.push(reachedAt(end));
  }
  return ends;
}

/** Forwards without a name are told apart by their order. */
function isAlike(one: Pick<LocalListener, 'name'> & { type: string }, other: LocalListener): boolean {
  return one.name === other.name && one.type === other.type;
}

/** Another port than the file's after `up --remap`, or while a changed file is not read yet. */
function boundAt(told: ForwardStatus | undefined): Endpoint | null {
  if (told?.bound !== true) return null;
  const read = localListen(told.listen);
  return 'value' in read ? read.value : null;
}
