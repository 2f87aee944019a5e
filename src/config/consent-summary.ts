// What a project file would do, in words, before any of it is done (SPEC 1). Nothing is run to find out. Pure.
import { cleanText } from '../model/clean.ts';
import { formatEndpoint, formatHostPort, isLoopback } from '../model/endpoint.ts';
import { formatSecretRef, type SecretRef } from '../model/secret.ts';
import { login } from './address.ts';
import type { Declared, DeclaredTunnel } from './declared.ts';
import type { HostSettings } from './schema.ts';

/** One kind of thing that the file does, with what it does it to. */
export interface SummaryLine {
  readonly what: string;
  readonly items: readonly string[];
}

/** Servers, commands, secrets, files, remote forwards, listeners beyond loopback: only what there is, fit to print. */
export function summarizeProject(declared: Declared): readonly SummaryLine[] {
  const tunnels = [...declared.tunnels.values()];
  const places: readonly (readonly [string, HostSettings])[] = [
    ...[...declared.hosts.values()].map(({ name, settings }) => [name, settings] as const),
    ...tunnels.map(({ name, own }) => [name, own] as const),
    ['defaults', declared.defaults],
  ];
  const sections: readonly (readonly [string, readonly string[]])[] = [
    ['connects to', [...servers(declared, tunnels), ...places.flatMap(proxiesOf)]],
    ['runs', [...places.flatMap(commandsOf), ...hooksOf(declared)]],
    ['reads secrets', [...places.flatMap(secretsOf), ...tunnels.flatMap(socksSecrets)]],
    ['uses', places.flatMap(filesOf)],
    ['trusts', places.flatMap(trustOf)],
    ['sets variables for exec', tunnels.flatMap(variablesOf)],
    [
      'opens by tunnel open',
      tunnels.flatMap(({ name, settings }) =>
        settings.open === undefined ? [] : [`${settings.open} (${name})`],
      ),
    ],
    ['opens on the server', tunnels.flatMap(remoteForwards)],
    ['listens beyond this machine', [...tunnels.flatMap(exposed), ...exposedMetrics(declared)]],
  ];
  return sections
    .map(([what, found]) => ({ what, items: [...new Set(found.map(cleanText))] }))
    .filter(({ items }) => items.length > 0);
}

function servers(declared: Declared, tunnels: readonly DeclaredTunnel[]): string[] {
  const words = new Set<string>();
  const found = new Set<string>();
  const see = (word: string, above: readonly HostSettings[] = []): void => {
    if (above.length === 0 && words.has(word)) return;
    if (above.length === 0) words.add(word);
    found.add(serverText(word, above, declared));
    const read = login(word);
    const entry = 'value' in read ? declared.hosts.get(read.value.host) : undefined;
    for (const hop of entry?.settings.jump ?? []) see(hop);
  };
  for (const hop of declared.defaults.jump ?? []) see(hop);
  for (const { own, settings, name } of tunnels) {
    see(settings.host ?? settings.hostname ?? name, leadsElsewhere(own) ? [own] : []);
    for (const hop of [...(settings.jump ?? []), ...(settings.ways ?? []).flat()]) see(hop);
  }
  return [...found];
}

/** What stands at a tunnel goes before its host: it may lead to another server than the host's name says. */
function leadsElsewhere({ hostname, user, port }: HostSettings): boolean {
  return hostname !== undefined || user !== undefined || port !== undefined;
}

/** A name with where it leads; what ssh_config makes of an alias is not asked before consent. */
function serverText(word: string, above: readonly HostSettings[], declared: Declared): string {
  const read = login(word);
  if ('problem' in read) return word;
  const { host, user: writtenUser, port: writtenPort } = read.value;
  const entry = declared.hosts.get(host)?.settings ?? {};
  const pick = <K extends 'hostname' | 'user' | 'port'>(key: K, written: HostSettings[K]): HostSettings[K] =>
    above.find((each) => each[key] !== undefined)?.[key] ?? written ?? entry[key] ?? declared.defaults[key];
  const hostname = pick('hostname', undefined);
  const user = pick('user', writtenUser ?? undefined);
  const port = pick('port', writtenPort ?? undefined);
  if (hostname !== undefined)
    return `${word} (${user === undefined ? '' : `${user}@`}${hostname}:${port ?? 22})`;
  const as = [
    ...(above.length > 0 && user !== undefined ? [`user ${user}`] : []),
    ...(above.length > 0 && port !== undefined ? [`port ${port}`] : []),
    'as in your ssh_config, if it is there',
  ];
  return `${word} (${as.join(', ')})`;
}

/** Proxies see whom we speak to, and may answer in its place. */
function proxiesOf([name, { proxy }]: Place): string[] {
  if (proxy === undefined) return [];
  return [`${proxy.scheme} proxy ${formatHostPort(proxy.host, proxy.port)} (to reach ${name})`];
}

type Place = readonly [name: string, settings: HostSettings];

function commandsOf([name, settings]: Place): string[] {
  const command = settings.proxy_command;
  const sources = secretSources(settings).flatMap(({ ref }) =>
    ref.from === 'command' ? [`${ref.argv.join(' ')} (for ${name})`] : [],
  );
  return [
    ...(command === undefined || command === 'none' ? [] : [`${command} (to reach ${name})`]),
    ...sources,
  ];
}

function hooksOf({ hooks }: Declared): string[] {
  return Object.entries(hooks).map(([event, argv]) => `${argv.join(' ')} (on ${event})`);
}

function secretSources(settings: HostSettings): { kind: string; ref: SecretRef }[] {
  const found = (['password', 'passphrase', 'totp'] as const).map((kind) => ({ kind, ref: settings[kind] }));
  const proxy = settings.proxy?.password ?? undefined;
  return [...found, { kind: 'proxy password', ref: proxy }].flatMap(({ kind, ref }) =>
    ref === undefined ? [] : [{ kind, ref }],
  );
}

function secretsOf([name, settings]: Place): string[] {
  return secretSources(settings).map(({ kind, ref }) => `${formatSecretRef(ref)} (${kind} of ${name})`);
}

function socksSecrets({ name, own }: DeclaredTunnel): string[] {
  const ref = own.socks_auth?.password;
  return ref === undefined ? [] : [`${formatSecretRef(ref)} (SOCKS password of ${name})`];
}

function filesOf([name, settings]: Place): string[] {
  const { agent, ssh_config: alias } = settings;
  return [
    ...(settings.identity ?? []).map((path) => `key ${path} (for ${name})`),
    ...(settings.certificate ?? []).map((path) => `certificate ${path} (for ${name})`),
    ...(typeof agent === 'string' ? [`agent ${agent} (for ${name})`] : []),
    ...(typeof alias === 'string' ? [`your ssh_config of ${alias} (for ${name})`] : []),
  ];
}

function trustOf([name, settings]: Place): string[] {
  return [
    ...(settings.host_keys === 'accept-new' ? [`new host keys without asking (${name})`] : []),
    ...(settings.known_hosts ?? []).map((path) => `host keys in ${path} (${name})`),
    ...(settings.host_key_alias === undefined
      ? []
      : [`the host keys of ${settings.host_key_alias} (${name})`]),
  ];
}

/** A variable can make a program do anything (LD_PRELOAD), so each is shown whole. */
function variablesOf({ name, settings }: DeclaredTunnel): string[] {
  return Object.entries(settings.env ?? {}).map(([variable, text]) => `${variable}=${text} (${name})`);
}

function remoteForwards({ name, forwards }: DeclaredTunnel): string[] {
  return forwards.flatMap((forward) => {
    if (forward.type !== 'remote') return [];
    const to =
      forward.target === null
        ? `anything from here that matches ${forward.allow.join(', ')}`
        : `${formatEndpoint(forward.target)} here`;
    return [`${formatEndpoint(forward.listen)}, which reaches ${to} (${name})`];
  });
}

function exposed({ name, forwards }: DeclaredTunnel): string[] {
  return forwards.flatMap((forward) =>
    forward.type === 'remote' || isLoopback(forward.listen)
      ? []
      : [`${formatEndpoint(forward.listen)} (${name})`],
  );
}

function exposedMetrics({ metrics }: Declared): string[] {
  if (metrics === null || isLoopback({ kind: 'tcp', ...metrics })) return [];
  return [`${formatEndpoint({ kind: 'tcp', ...metrics })} (metrics)`];
}
