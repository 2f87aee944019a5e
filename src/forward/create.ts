// Which file carries which forward: the one place that knows.
import type { CreateCarrier } from '../model/carrier.ts';
import { createDynamicCarrier } from './dynamic.ts';
import { createFtpCarrier } from './ftp-carrier.ts';
import { createLocalCarrier } from './local.ts';
import { RemoteCarrier } from './remote.ts';

export const createCarrier: CreateCarrier = (forward, hold, parts) => {
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
};
