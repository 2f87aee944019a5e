// What a project file would do, in words, for whoever has to allow it (SPEC 1). Pure; runs nothing.
import type { Declared, DeclaredHost, DeclaredTunnel } from '../config/declared.ts';
import type { HostSettings } from '../config/schema.ts';
import { cleanText } from '../model/clean.ts';
import { formatEndpoint, isLoopback } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import { formatSecretRef, type SecretRef } from '../model/secret.ts';

export interface SummaryLine {
  readonly what: string;
  readonly items: readonly string[];
}

/** Servers, commands, secrets, key files, remote forwards and listeners that others can reach; only what there is. */
export function summarize(declared: Declared): SummaryLine[] {
  const settings = everySetting(declared);
  const forwards = [...declared.tunnels.values()].flatMap((tunnel) =>
    tunnel.forwards.map((forward) => ({ tunnel, forward })),
  );
  const lines: SummaryLine[] = [
    { what: 'logs in to', items: servers(declared) },
    { what: 'runs', items: [...settings.flatMap(commandsOf), ...hooksOf(declared)] },
    { what: 'reads', items: settings.flatMap(secretsOf) },
    {
      what: 'uses keys',
      items: settings.flatMap(({ identity, certificate }) => [...(identity ?? []), ...(certificate ?? [])]),
    },
    {
      what: 'uses the agent at',
      items: settings.flatMap(({ agent }) => (typeof agent === 'string' ? [agent] : [])),
    },
    { what: 'trusts new host keys of', items: trusting(declared) },
    {
      what: 'lets servers reach',
      items: forwards.flatMap(({ tunnel, forward }) => remoteOf(tunnel, forward)),
    },
    {
      what: 'opens to other machines',
      items: exposedOf(
        declared,
        forwards.map(({ forward }) => forward),
      ),
    },
  ];
  return lines
    .map(({ what, items }) => ({ what, items: [...new Set(items.map(cleanText))] }))
    .filter(({ items }) => items.length > 0);
}

function everySetting(declared: Declared): HostSettings[] {
  const hosts = [...declared.hosts.values()].map(({ settings }) => settings);
  return [...hosts, ...[...declared.tunnels.values()].map(({ settings }) => settings), declared.defaults];
}

function servers(declared: Declared): string[] {
  const named = (name: string): string => {
    const host = declared.hosts.get(name);
    return host === undefined ? name : `${name} (${loginOf(host)})`;
  };
  return [...declared.tunnels.values()].flatMap(({ settings }) => {
    const jumps = [...(settings.jump ?? []), ...(settings.ways ?? []).flat()];
    const own = settings.host ?? settings.hostname;
    const behind = declared.hosts.get(own ?? '')?.settings.jump ?? [];
    return [...jumps, ...behind, ...(own === undefined ? [] : [own])]
      .filter((hop) => hop !== 'direct')
      .map(named);
  });
}

function loginOf({ name, settings }: DeclaredHost): string {
  const user = settings.user === undefined ? '' : `${settings.user}@`;
  return `${user}${settings.hostname ?? name}:${settings.port ?? 22}`;
}

function commandsOf(settings: HostSettings): string[] {
  const own =
    settings.proxy_command === undefined || settings.proxy_command === 'none' ? [] : [settings.proxy_command];
  const secrets = sourcesOf(settings).flatMap((ref) => (ref.from === 'command' ? [ref.argv.join(' ')] : []));
  return [...own, ...secrets];
}

const hooksOf = (declared: Declared): string[] => Object.values(declared.hooks).map((argv) => argv.join(' '));

function secretsOf(settings: HostSettings): string[] {
  return sourcesOf(settings)
    .filter(({ from }) => from === 'env' || from === 'file' || from === 'keychain')
    .map(formatSecretRef);
}

function sourcesOf(settings: HostSettings): SecretRef[] {
  return [settings.password, settings.passphrase, settings.totp].filter((ref) => ref !== undefined);
}

function trusting(declared: Declared): string[] {
  const careless = (settings: HostSettings): boolean => settings.host_keys === 'accept-new';
  if (careless(declared.defaults)) return ['every server'];
  return [
    ...[...declared.hosts.values()].filter(({ settings }) => careless(settings)).map(({ name }) => name),
    ...[...declared.tunnels.values()]
      .filter(({ settings }) => careless(settings))
      .map(({ settings, name }) => settings.host ?? name),
  ];
}

function remoteOf(tunnel: DeclaredTunnel, forward: Forward): string[] {
  if (forward.type !== 'remote') return [];
  const what = forward.target === null ? forward.allow.join(', ') : formatEndpoint(forward.target);
  return [`${what} (from ${formatEndpoint(forward.listen)} on ${tunnel.settings.host ?? tunnel.name})`];
}

function exposedOf(declared: Declared, forwards: readonly Forward[]): string[] {
  const listeners = forwards.filter(({ type, listen }) => type !== 'remote' && !isLoopback(listen));
  const { metrics } = declared;
  const open = metrics !== null && !isLoopback({ kind: 'tcp', ...metrics });
  return [
    ...listeners.map(({ listen }) => formatEndpoint(listen)),
    ...(open ? [`${metrics.host}:${metrics.port} (metrics)`] : []),
  ];
}
