// FTP through a local forward (`protocol: ftp`): the control connection is read along, its data connections follow.
import type { Carrier, CarrierParts } from '../model/carrier.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import type { LocalForward } from '../model/forward.ts';
import type { Hold } from '../model/tunnel.ts';
import { FtpControl } from './ftp-control.ts';
import { ListeningCarrier } from './listening.ts';
import { reach } from './reach.ts';

export function createFtpCarrier(forward: LocalForward, hold: Hold, parts: CarrierParts): Carrier {
  return new ListeningCarrier(forward, hold, parts, {
    target: ({ target }) => formatEndpoint(target),
    open:
      ({ target }) =>
      async (request) => {
        const channel = await reach(request, target);
        // A server on a unix socket has its data ports on the SSH server itself.
        const host = target.kind === 'tcp' ? target.host : '127.0.0.1';
        return { kind: 'channel', channel: new FtpControl(channel, request, host) };
      },
    takesOver: (before, after) => before.protocol === after.protocol,
  });
}
