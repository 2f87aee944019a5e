// The known_hosts files of a project: believed only as they were when the project was allowed (SPEC 1).
import { fileDigest } from '../config/consent.ts';
import { TunnelError } from '../errors.ts';
import type { Host } from '../model/host.ts';
import type { Dialer } from '../model/session.ts';

/** A dialer that goes nowhere by a file which changed since. `allowed`: the digests of then, by path. */
export function guardedDialer(dialer: Dialer, allowed: () => ReadonlyMap<string, string>): Dialer {
  return {
    reach: (host, signal) => dialer.reach(host, signal),
    // What was allowed since may be what an error waits for.
    async circumstances(host, code, environment) {
      const digests = host.knownHosts.map((path) => allowed().get(path) ?? '');
      return [await dialer.circumstances(host, code, environment), ...digests].join(' ');
    },
    forgetAllBut: (hosts) => dialer.forgetAllBut(hosts),
    async dial(host, from, context) {
      const changed = changedFile(host, allowed());
      if (changed === undefined) return dialer.dial(host, from, context);
      from.transport?.destroy();
      throw notAllowed(host, changed);
    },
  };
}

function changedFile({ knownHosts }: Host, allowed: ReadonlyMap<string, string>): string | undefined {
  return knownHosts.find((path) => allowed.has(path) && allowed.get(path) !== fileDigest(path));
}

function notAllowed({ name }: Host, path: string): TunnelError {
  return new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host keys refused, on ${name}: ${path} came with the project, and it has changed since it was allowed`,
    { hint: ['tunnel allow && ', { command: 'up' }] },
  );
}
