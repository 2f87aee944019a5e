// Where a forward could listen instead of an address that is taken. Pure.
import type { Endpoint } from '../model/endpoint.ts';

const nearbyPorts = 20;

/** Where to listen instead, the nearest ports first, then any; none for a unix socket. */
export function remapCandidates(listen: Endpoint): readonly Endpoint[] {
  if (listen.kind === 'unix' || listen.port === 0) return [];
  const near = Array.from({ length: nearbyPorts }, (_unused, index) => listen.port + 1 + index);
  return [...near.filter((port) => port <= 65_535), 0].map((port) => ({ ...listen, port }));
}
