// Which environment variables hold secrets: everything an `env:` source names, kept from every command we start (SPEC 2). Pure.
import type { Host } from '../model/host.ts';
import type { SecretRef } from '../model/secret.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';

/** Names of all variables that some source of the config reads. */
export function withheldVariables(
  config: Pick<ResolvedConfig, 'tunnels' | 'secretVariables'>,
): ReadonlySet<string> {
  const names = new Set<string>(config.secretVariables);
  for (const ref of config.tunnels.flatMap(refsOf)) if (ref?.from === 'env') names.add(ref.name);
  return names;
}

function refsOf(tunnel: ResolvedConfig['tunnels'][number]): (SecretRef | null)[] {
  const hosts = tunnel.ways.flatMap((way) => [...way]).flatMap(hostRefs);
  const forwards = tunnel.forwards.map((forward) =>
    forward.type === 'dynamic' ? (forward.socksAuth?.password ?? null) : null,
  );
  return [...hosts, ...forwards];
}

function hostRefs(host: Host): (SecretRef | null)[] {
  return [host.password, host.passphrase, host.totp, host.proxy?.password ?? null];
}

/** The environment for a command of the user's: the caller's own without those. */
export function environmentWithout(
  variables: Readonly<Record<string, string>>,
  withheld: ReadonlySet<string>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !withheld.has(name)));
}
