// The known_hosts files that are ours to read and never to write: those ssh reads by default (ssh_config(5)), and those that
// the config names.
import { join } from 'node:path';
import { checkConfig } from '../config/load.ts';
import { findConfig } from '../config/locate.ts';
import type { Host } from '../model/host.ts';
import type { PlaceFacts } from '../paths.ts';
import type { Where } from './supervisor.ts';

/** Those of ssh, and of the hosts; each once. */
export function foreignKnownHosts(
  { home }: Pick<PlaceFacts, 'home'>,
  hosts: readonly Pick<Host, 'knownHosts'>[],
): readonly string[] {
  const files = [
    join(home, '.ssh', 'known_hosts'),
    join(home, '.ssh', 'known_hosts2'),
    '/etc/ssh/ssh_known_hosts',
    '/etc/ssh/ssh_known_hosts2',
    ...hosts.flatMap(({ knownHosts }) => knownHosts),
  ];
  return [...new Set(files)];
}

/** Every host that the config goes through; none where there is no config, or a broken one. Runs nothing. */
export async function hostsInConfig({ places, facts, options }: Where): Promise<readonly Host[]> {
  try {
    const { config } = await checkConfig(findConfig(places, facts, options.config).path, facts);
    return config?.tunnels.flatMap(({ ways }) => ways.flat()) ?? [];
  } catch {
    return []; // the trusted keys can be told without it
  }
}
