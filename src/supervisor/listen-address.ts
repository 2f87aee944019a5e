// Listen addresses of one machine: whether two are in each other's way, and where else one could listen. Pure.
import { bindHosts, isWildcard } from '../model/endpoint.ts';
import type { Endpoint } from '../model/endpoint.ts';

/** True when both cannot be bound at once. Port 0 is never in the way. */
export function overlaps(a: Endpoint, b: Endpoint): boolean {
  if (a.kind === 'unix' || b.kind === 'unix')
    return a.kind === 'unix' && b.kind === 'unix' && a.path === b.path;
  if (a.port !== b.port || a.port === 0) return false;
  if (isWildcard(a.host) || isWildcard(b.host)) return sameFamily(a.host, b.host);
  const hosts = bindHosts(a.host.toLowerCase());
  return bindHosts(b.host.toLowerCase()).some((host) => hosts.includes(host));
}

/** `::` takes IPv4 too where the system is dual-stack, as Node binds it; 0.0.0.0 leaves IPv6 alone. */
function sameFamily(a: string, b: string): boolean {
  const dual = (host: string): boolean => isWildcard(host) && host !== '0.0.0.0';
  if (dual(a) || dual(b)) return true;
  const specific = a === '0.0.0.0' ? b : a;
  return !specific.includes(':');
}

const nearbyPorts = 20;

/** Where to listen instead, the nearest ports first, then any; none for a unix socket. */
export function remapCandidates(listen: Endpoint): readonly Endpoint[] {
  if (listen.kind === 'unix' || listen.port === 0) return [];
  const near = Array.from({ length: nearbyPorts }, (_unused, index) => listen.port + 1 + index);
  return [...near.filter((port) => port <= 65_535), 0].map((port) => ({ ...listen, port }));
}
