// Which file carries which forward: the one place that knows.
import type { CreateCarrier } from '../model/carrier.ts';
import { createLocalCarrier } from './local.ts';

export const createCarrier: CreateCarrier = (forward, hold, parts) => {
  switch (forward.type) {
    case 'local':
      return createLocalCarrier(forward, hold, parts);
    case 'remote':
    case 'dynamic':
      throw new Error('not yet');
  }
};
