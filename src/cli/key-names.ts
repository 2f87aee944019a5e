// The names that the keys of a host may stand under in known_hosts files, from the word a person has for it.
import { login } from '../config/address.ts';
import { findConfig } from '../config/locate.ts';
import { openHostNames, type HostNames } from '../config/named-host.ts';
import { formatAddress, formatLogin, type Host } from '../model/host.ts';
import { hostKeyName } from '../trust/known-hosts.ts';
import type { Where } from '../client/supervisor.ts';

export interface KeyNames {
  /** As written; and of the hosts that this word names. */
  readonly exact: readonly string[];
  /** Of hosts of the config on that machine, on whatever port and under whatever alias. */
  readonly sameMachine: readonly string[];
}

/** `hosts`: what the tunnels go through. Runs nothing, and a config that cannot be read is none. */
export async function keyNamesOf(where: Where, word: string, hosts: readonly Host[]): Promise<KeyNames> {
  const written = storedName(word);
  if (word.startsWith('|')) return { exact: [word], sameMachine: [] };
  const named = hosts.filter((host) => [host.name, formatAddress(host), formatLogin(host)].includes(word));
  const same = hosts.filter(({ hostname }) => hostname.toLowerCase() === written);
  const resolved = await resolve(where, word);
  const names = [written, ...[...named, ...(resolved === null ? [] : [resolved])].map(nameOf)];
  return { exact: [...new Set(names)], sameMachine: [...new Set(same.map(nameOf))] };
}

const nameOf = (host: Host): string => hostKeyName(host.hostname, host.port, host.hostKeyAlias);

/** HOST, HOST:PORT and [HOST]:PORT all mean the name a known_hosts line has; port 22 is not written there. */
function storedName(word: string): string {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(word.slice(word.lastIndexOf('@') + 1));
  if (bracketed !== null) return hostKeyName(bracketed[1] ?? '', Number(bracketed[2] ?? 22), null);
  const read = login(word);
  if ('problem' in read) return word;
  return hostKeyName(read.value.host, read.value.port ?? 22, null);
}

async function resolve(where: Where, word: string): Promise<Host | null> {
  const read = login(word);
  if ('problem' in read) return null;
  try {
    return (await hostNames(where).waysTo(word))[0].at(-1) ?? null;
  } catch {
    return null; // what ssh_config or the config says wrongly of it, `check` and `trust` tell
  }
}

function hostNames({ places, facts, options }: Where): HostNames {
  try {
    return openHostNames(findConfig(places, facts, options.config).path, facts, { run: false });
  } catch {
    return openHostNames(null, facts, { run: false });
  }
}
