// One host by its name, resolved although no tunnel goes there yet: what a secret is set for.
import { existsSync } from 'node:fs';
import type { Host } from '../model/host.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { PlaceFacts } from '../paths.ts';
import { accountOf } from './account.ts';
import { readDeclared } from './load.ts';
import { resolveConfig } from './resolve.ts';
import { sshConfigReader } from './ssh-config.ts';

/** Every different form in which tunnels go to a host of that name (a tunnel may override its user). */
export function hostsNamed(name: string, config: ResolvedConfig): readonly Host[] {
  const found = config.tunnels.flatMap(({ ways }) => ways.flat()).filter((host) => host.name === name);
  return [...new Map(found.map((host) => [`${host.user}@${host.hostname}:${host.port}`, host])).values()];
}

/** The entry of `hosts:` with that name, as a tunnel to it would have it; null when there is none. */
export async function declaredHost(name: string, file: string, facts: PlaceFacts): Promise<Host | null> {
  const declared = readDeclared(file, facts);
  const entry = declared.hosts.get(name);
  if (entry === undefined) return null;
  const settings = { ...declared.defaults, host: name };
  const tunnel = { name, own: { host: name }, settings, forwards: [], folder: entry.folder };
  const account = accountOf(facts);
  const { config } = await resolveConfig(
    { ...declared, tunnels: new Map([[name, tunnel]]) },
    { account, askSsh: sshConfigReader(account, true), exists: existsSync },
  );
  return config.tunnels[0]?.ways[0].at(-1) ?? null;
}
