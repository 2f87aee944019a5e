// A local port that could be used instead of one that is taken: free on this machine, and of no tunnel of the file. A proposal.
import type { Declared } from '../config/declared.ts';
import { nearestFreePort } from '../forward/sockets.ts';
import { bindHosts, collide, tcp } from '../model/endpoint.ts';

/** The port itself where it is free, else the next one that is; null when none is near. */
export async function freePortFrom(
  host: string,
  port: number,
  tunnels: Declared['tunnels'] | null,
): Promise<number | null> {
  for (let before = port - 1; ;) {
    const found = await nearestFreePort(bindHosts(host), before);
    if (found === null || !isOfATunnel(host, found, tunnels)) return found;
    before = found;
  }
}

function isOfATunnel(host: string, port: number, tunnels: Declared['tunnels'] | null): boolean {
  const at = tcp(host, port);
  return [...(tunnels?.values() ?? [])].some(({ forwards }) =>
    forwards.some(({ type, listen }) => type !== 'remote' && collide(listen, at)),
  );
}
