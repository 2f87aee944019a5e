// The smallest login there is, for tests of sessions: one unencrypted key file, nothing else.
import { readFileSync } from 'node:fs';
import { TunnelError } from '../../src/errors.ts';
import type { CreateLogin } from '../../src/ssh/auth/login.ts';

export const keyFileLogin: CreateLogin = (host) => {
  let offered = false;
  let succeeded = false;
  return {
    prepare: async () => undefined,
    install: () => undefined,
    handler(_left, _partial, next) {
      const [identity] = host.identities;
      if (offered || identity === undefined) return next(false);
      offered = true;
      next({ type: 'publickey', username: host.user, key: readFileSync(identity) });
    },
    record: () => ({ accepted: succeeded ? [`key file ${host.identities[0]}`] : [], attended: false }),
    failure: () => new TunnelError('AUTH_REFUSED', `login failed, on ${host.name}: the key was refused`),
    finish(how) {
      succeeded = how;
    },
  };
};
