// Which file carries which forward: the one place that knows.
import type { Carrier, CarrierParts, CreateCarrier } from '../model/carrier.ts';
import type { Forward } from '../model/forward.ts';
import type { Hold } from '../model/tunnel.ts';
import { createDynamicCarrier } from './dynamic.ts';
import { createFtpCarrier } from './ftp.ts';
import { createLocalCarrier } from './local.ts';
import { ProbingCarrier } from './probe.ts';
import { RemoteCarrier } from './remote.ts';

export const createCarrier: CreateCarrier = (forward, hold, parts) =>
  new ProbingCarrier(carrierOf(forward, hold, parts), parts);

function carrierOf(forward: Forward, hold: Hold, parts: CarrierParts): Carrier {
  switch (forward.type) {
    case 'local':
      return forward.protocol === 'ftp'
        ? createFtpCarrier(forward, hold, parts)
        : createLocalCarrier(forward, hold, parts);
    case 'remote':
      return new RemoteCarrier(forward, parts);
    case 'dynamic':
      return createDynamicCarrier(forward, hold, parts);
  }
}
