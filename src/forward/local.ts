// Local forwards (-L): a connection accepted here is one channel to the target.
import type { Carrier, CarrierParts } from '../model/carrier.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { LocalForward } from '../model/forward.ts';
import type { Hold } from '../model/tunnel.ts';
import { ListeningCarrier } from './listening.ts';
import { reach } from './reach.ts';

export function createLocalCarrier(forward: LocalForward, hold: Hold, parts: CarrierParts): Carrier {
  return new ListeningCarrier(forward, hold, parts, {
    target: ({ target }) => formatEndpoint(target),
    open:
      ({ target }) =>
      async (request) => ({ kind: 'channel', channel: await reach(request, target) }),
    takesOver: (before, after) => before.protocol === after.protocol,
  });
}
