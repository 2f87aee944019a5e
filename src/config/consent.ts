// Consent for project files: what such a file would do, in words; a digest of it; and which digests were allowed (SPEC 1).
import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { login } from './address.ts';
import type { Declared, DeclaredTunnel } from './declared.ts';
import type { HostSettings, TunnelSettings } from './schema.ts';
import { TunnelError } from '../errors.ts';
import { updateFile } from '../files/atomic.ts';
import { makeFolders } from '../files/folders.ts';
import { readForeignFileNow, UnreadableFile } from '../files/foreign-file.ts';
import { foreignWriter } from '../files/owned.ts';
import { cleanText } from '../model/clean.ts';
import { formatEndpoint, formatHostPort, isLoopback } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import { formatSecretRef, type SecretRef } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';

/**
 * Changes with anything but local ports, targets and tags. The target of a remote forward counts: there it is
 * something of this machine that the far side reaches. So does what stands in the project's own known_hosts. Runs nothing.
 */
export function consentDigest(declared: Declared): string {
  const tunnels = writtenTunnels(declared).map(({ name, own, settings, forwards }) => {
    const { local, remote, forwards: written, tags, ...others } = own;
    void [local, remote, written, tags];
    return [name, others, settings.socks_auth ?? null, forwards.map(lasting)];
  });
  const { tags, local, remote, forwards, ...defaults } = declared.defaults;
  void [tags, local, remote, forwards];
  const hosts = [...declared.hosts.values()].map(({ name, settings }) => [name, settings]);
  const { metrics, hooks, notify } = declared;
  const keys = ownKnownHosts(declared);
  const knownHosts = keys.size === 0 ? undefined : Object.fromEntries(keys);
  const all = { tunnels, defaults, hosts, metrics, hooks, notify, knownHosts };
  return createHash('sha256').update(canonical(all)).digest('hex');
}

/**
 * A digest of each known_hosts file that came with the project, by absolute path: whoever writes the config writes these
 * too. Not of those that are named by ~ or stand elsewhere: they are the user's.
 */
export function ownKnownHosts({ file, defaults, hosts, tunnels }: Declared): ReadonlyMap<string, string> {
  const root = dirname(file);
  const layers = [
    { settings: defaults, folder: root },
    ...hosts.values(),
    ...[...tunnels.values()].map(({ own, folder }) => ({ settings: own, folder })),
  ];
  const digests = new Map<string, string>();
  for (const { settings, folder } of layers)
    for (const written of settings.known_hosts ?? []) {
      const path = resolve(folder, written);
      const isOwn = !isAbsolute(written) || !relative(root, path).startsWith('..');
      if (written !== 'none' && !written.startsWith('~') && isOwn) digests.set(path, fileDigest(path));
    }
  return digests;
}

const largestBytes = 4 * 1024 * 1024;

/** Of a file as it is now; a word where there is none, or something else. */
export function fileDigest(path: string): string {
  try {
    return createHash('sha256').update(readForeignFileNow(path, largestBytes).bytes).digest('hex');
  } catch (thrown) {
    if (thrown instanceof UnreadableFile) return 'no file';
    throw thrown;
  }
}

/** Those of the files: what the user typed is not for consent. */
function writtenTunnels({ tunnels }: Declared): readonly DeclaredTunnel[] {
  return [...tunnels.values()].filter(({ adhoc }) => !adhoc);
}

/** The parts of a forward whose change needs consent again: all but its local port and its target. */
function lasting(forward: Forward): unknown {
  if (forward.type === 'remote') return forward;
  const { listen, ...others } = forward;
  const address = listen.kind === 'unix' ? listen.path : listen.host;
  return { ...others, target: null, address };
}

/** JSON with its keys in order, so that moving lines is no change. */
function canonical(value: unknown): string {
  if (value instanceof Array) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const pairs = Object.entries(value)
    .filter(([, each]) => each !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${pairs.map(([key, each]) => `${JSON.stringify(key)}:${canonical(each)}`).join(',')}}`;
}

interface Allowed {
  readonly version: 1;
  readonly files: Readonly<Record<string, { readonly digest: string; readonly at: string }>>;
}

const allowedFile = (stateDir: string): string => join(stateDir, 'allowed.json');

/** Others could have written it: then it is not our word. */
function isForeign(path: string): boolean {
  return foreignWriter(statSync(path), process.geteuid?.() ?? null) !== null;
}

/** True when this very content was allowed. Anything that cannot be read, or is not ours alone, counts as no. */
export function isAllowed(stateDir: string, file: string, digest: string): boolean {
  return readAllowed(stateDir).files[realPath(file)]?.digest === digest;
}

/**
 * Remembers that this content of the file may be used. `now`: milliseconds since 1970.
 * Throws DAEMON_DOWN where others may write to the state folder, a system error where nobody may.
 */
export async function allow(stateDir: string, file: string, digest: string, now: number): Promise<void> {
  makeFolders(stateDir);
  if (isForeign(stateDir))
    throw new TunnelError(
      'DAEMON_DOWN',
      `the folder ${stateDir} is not used: it is not ours, or others may write to it`,
      { hint: `ls -ld ${shellWord(stateDir)}` },
    );
  const entry = { digest, at: new Date(now).toISOString() };
  const path = allowedFile(stateDir);
  await updateFile(path, () => {
    const { files } = readAllowed(stateDir);
    const next: Allowed = { version: 1, files: { ...files, [realPath(file)]: entry } };
    return `${JSON.stringify(next, null, 2)}\n`;
  });
}

function readAllowed(stateDir: string): Allowed {
  try {
    const file = allowedFile(stateDir);
    if (isForeign(stateDir) || isForeign(file)) return { version: 1, files: {} };
    const read = JSON.parse(readFileSync(file, 'utf8')) as Partial<Allowed> | null;
    if (read?.version === 1 && typeof read.files === 'object' && read.files !== null)
      return { version: 1, files: read.files };
  } catch {
    // not there yet, or broken: then nothing is allowed
  }
  return { version: 1, files: {} };
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file; // gone in the meantime: the name is all there is
  }
}

/** One kind of thing that the file does, with what it does it to. */
export interface SummaryLine {
  readonly what: string;
  readonly items: readonly string[];
}

/** Servers, commands, secrets, files, remote forwards, listeners beyond loopback: only what there is, fit to print. */
export function summarizeProject(declared: Declared): readonly SummaryLine[] {
  const tunnels = writtenTunnels(declared);
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
    ['sets variables for env and exec', tunnels.flatMap(variablesOf)],
    [
      'opens by tunnel open',
      tunnels.flatMap(({ name, settings }) =>
        settings.open === undefined ? [] : [`${settings.open} (${name})`],
      ),
    ],
    ['opens on the server', tunnels.flatMap(remoteForwards)],
    ['shows to every user of this machine', shownPage(declared)],
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

/** Settings of a tunnel go before those of its host: they may lead to another server than the host's name says. */
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

type HooksSetting = NonNullable<TunnelSettings['hooks']>;
type Place = readonly [name: string, settings: HostSettings];

function commandsOf([name, settings]: Place): string[] {
  const command = settings.proxy_command;
  const sources = secretSources(settings).flatMap(({ ref }) =>
    ref.from === 'command' ? [`${ref.argv.join(' ')} (for ${name})`] : [],
  );
  const { certificate } = settings;
  return [
    ...(command === undefined || command === 'none' ? [] : [`${command} (to reach ${name})`]),
    ...(certificate !== undefined && 'command' in certificate
      ? [`${certificate.command.join(' ')} (for the certificate of ${name})`]
      : []),
    ...sources,
  ];
}

function hooksOf({ hooks, defaults, tunnels }: Declared): string[] {
  const commands = (of: HooksSetting, on: string): string[] =>
    Object.entries(of).flatMap(([event, argv]) =>
      argv === undefined ? [] : [`${argv.join(' ')} (on ${event}${on})`],
    );
  return [
    ...commands({ ...hooks }, ''),
    ...commands({ ...defaults.hooks }, ''),
    ...[...tunnels.values()].flatMap(({ name, own }) => commands({ ...own.hooks }, ` of ${name}`)),
  ];
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
  const { agent, certificate = [], ssh_config: alias } = settings;
  const certificates = 'command' in certificate ? [certificate.file] : certificate;
  return [
    ...(settings.identity ?? []).map((path) => `key ${path} (for ${name})`),
    ...certificates.map((path) => `certificate ${path} (for ${name})`),
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

/** A variable can make a program do anything (a URL leads anywhere), so each is shown whole. */
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

function shownPage({ metrics }: Declared): string[] {
  return metrics?.page === true ? [`its tunnels on ${formatEndpoint({ ...metrics, kind: 'tcp' })}`] : [];
}

function exposedMetrics({ metrics }: Declared): string[] {
  if (metrics === null || isLoopback({ ...metrics, kind: 'tcp' })) return [];
  return [`${formatEndpoint({ ...metrics, kind: 'tcp' })} (metrics)`];
}
