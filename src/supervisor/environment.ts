// Environments of the commands that asked for a tunnel: kept in memory only, the newest first (SPEC 2, `env:NAME`).
import { createHash } from 'node:crypto';
import type { Host } from '../model/host.ts';
import type { SecretRef } from '../model/secret.ts';
import type { CallerEnvironment } from '../model/session.ts';

/** `stamp` grows with each command: the newest wins. */
export interface StampedEnvironment {
  readonly stamp: number;
  readonly environment: CallerEnvironment;
}

/** More agent sockets than this are not tried: each was left behind by a terminal that ran `up`. */
const agentSocketLimit = 8;

export const noEnvironment: CallerEnvironment = { variables: {}, agentSockets: [] };

/** One environment of several: newer variables cover older ones, newer agent sockets come first. */
export function mergeEnvironments(stamped: readonly StampedEnvironment[]): CallerEnvironment {
  const newestFirst = stamped.toSorted((a, b) => b.stamp - a.stamp).map(({ environment }) => environment);
  const sockets = new Set(newestFirst.flatMap(({ agentSockets }) => agentSockets));
  return {
    variables: Object.assign({}, ...newestFirst.toReversed().map(({ variables }) => variables)) as Record<
      string,
      string
    >,
    agentSockets: [...sockets].slice(0, agentSocketLimit),
  };
}

/** A digest of what the `env:` sources of a host say now: equal when a new command brought nothing new. */
export function environmentDigest(host: Host, environment: CallerEnvironment): string {
  const refs: (SecretRef | null | undefined)[] = [
    host.password,
    host.passphrase,
    host.totp,
    host.proxy?.password,
  ];
  const hash = createHash('sha256');
  for (const ref of refs) {
    if (ref?.from !== 'env') continue;
    hash.update(`${ref.name}=${environment.variables[ref.name] ?? '\0'}\0`);
  }
  if (host.agent.from === 'environment') hash.update(environment.agentSockets.join('\0'));
  return hash.digest('hex');
}
