// One host: layers of settings, highest first (tunnel, hosts entry, defaults, ssh_config, built-in) -> a Host without holes.
import { dirname, isAbsolute, join } from 'node:path';
import { longestMs } from '../model/duration.ts';
import type { AgentRef, AuthMethod, CertificateCommand, Host, Proxy } from '../model/host.ts';
import type { SecretRef } from '../model/secret.ts';
import type { Account } from './account.ts';
import type { HostSettings } from './schema.ts';
import { hostOfJump, inSmallLetters, type SshSettings } from './ssh-config/settings.ts';
import { expandAnyHome, expandHome, expandTokens, type TokenFacts } from './ssh-config/tokens.ts';

/** Settings of one level, and the folder where its relative paths begin. */
export interface Layer {
  readonly settings: HostSettings;
  readonly folder: string;
}

export interface HostParts {
  /** The word the user gave, without user and port. */
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly ssh: SshSettings;
  /** Over a channel of another hop: no proxy of its own. */
  readonly behindJump: boolean;
  readonly account: Account;
  readonly exists: (path: string) => boolean;
  readonly warn: (sentence: string) => void;
}

const defaultAuth: readonly AuthMethod[] = ['agent', 'publickey', 'keyboard-interactive', 'password'];
/** In the order of OpenSSH (ssh_config(5), IdentityFile). */
/** In ~/.ssh, tried where no key is named. */
export const defaultKeys = ['id_rsa', 'id_ecdsa', 'id_ecdsa_sk', 'id_ed25519', 'id_ed25519_sk', 'id_dsa'];
const defaultGlobalKnownHosts = ['/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'];

export function resolveHost(parts: HostParts): Host {
  const { name, ssh, account, behindJump } = parts;
  // In small letters, as ssh goes on with a name: %h must be the same in every path.
  const hostname = pick(parts, 'hostname') ?? ssh.hostname ?? inSmallLetters(name);
  const port = pick(parts, 'port') ?? ssh.port ?? 22;
  const user = pick(parts, 'user') ?? ssh.user ?? account.user;
  const hostKeyAlias = pick(parts, 'host_key_alias') ?? ssh.hostKeyAlias ?? null;
  const tokens = tokensOf(parts, { hostname, port, user, hostKeyAlias });
  const sshPaths = (paths: readonly string[] | undefined): readonly string[] =>
    (paths ?? []).map((path) => sshPath(path, tokens, parts));
  const way = behindJump ? { proxyCommand: null, proxy: null } : ownProxy(parts);
  return {
    name,
    hostname,
    port,
    user,
    ...keysOf(parts, sshPaths),
    agent: agentOf(parts),
    auth: pick(parts, 'auth') ?? ssh.auth ?? defaultAuth,
    password: secretOf(parts, 'password'),
    passphrase: secretOf(parts, 'passphrase'),
    totp: secretOf(parts, 'totp'),
    ...way,
    hostKeys: pick(parts, 'host_keys') ?? ssh.hostKeys ?? 'ask',
    hostKeyAlias,
    knownHosts: knownHostsOf(parts),
    keepalive: keepaliveOf(parts),
    ...timeLimits(pick(parts, 'connect_timeout') ?? positive(ssh.connectTimeoutMs), way),
    algorithms: algorithmsOf(parts),
    compression: pick(parts, 'compression') ?? ssh.compression ?? false,
    bindAddress: pick(parts, 'bind_address') ?? ssh.bindAddress ?? null,
    addressFamily: pick(parts, 'address_family') ?? ssh.addressFamily ?? 'any',
    attended: pick(parts, 'attended') ?? null,
    authRetry: pick(parts, 'auth_retry') ?? true,
  };
}

function tokensOf(
  { account, name, ssh }: HostParts,
  login: Pick<TokenFacts, 'hostname' | 'port' | 'user' | 'hostKeyAlias'>,
): TokenFacts {
  return {
    ...login,
    home: account.home,
    localUser: account.user,
    uid: account.uid,
    localHost: account.hostname,
    alias: name,
    jump: hostOfJump(ssh.proxyJump?.at(-1) ?? ''),
    env: account.env,
  };
}

function algorithmsOf(parts: HostParts): Host['algorithms'] {
  const { ssh } = parts;
  return {
    kex: pick(parts, 'kex') ?? ssh.kex ?? null,
    cipher: pick(parts, 'ciphers') ?? ssh.ciphers ?? null,
    mac: pick(parts, 'macs') ?? ssh.macs ?? null,
    hostKey: pick(parts, 'host_key_algorithms') ?? ssh.hostKeyAlgorithms ?? null,
    pubkey: pick(parts, 'pubkey_algorithms') ?? ssh.pubkeyAlgorithms ?? null,
  };
}

type Key = keyof HostSettings;

/** The highest layer that sets the key, or null. */
function layerOf({ layers }: HostParts, key: Key): Layer | null {
  return layers.find(({ settings }) => settings[key] !== undefined) ?? null;
}

/** The highest value of the key. */
function pick<K extends Key>(parts: HostParts, key: K): HostSettings[K] {
  return layerOf(parts, key)?.settings[key] as HostSettings[K];
}

function paths(parts: HostParts, key: 'identity' | 'certificate' | 'known_hosts'): readonly string[] | null {
  const layer = layerOf(parts, key);
  if (layer === null) return null;
  const written = layer.settings[key] ?? [];
  return ('command' in written ? [written.file] : written)
    .filter((path) => path !== 'none')
    .map((path) => ownPath(path, layer.folder, parts.account));
}

/** A path of our own config: ~ is $HOME, relative ones begin at the folder of the file they stand in. */
export function ownPath(path: string, folder: string, account: Pick<Account, 'home'>): string {
  const expanded = expandHome(path, account.home);
  return isAbsolute(expanded) ? expanded : join(folder, expanded);
}

/** A path of ssh_config that `ssh -G` shows as it is written. */
function sshPath(path: string, tokens: TokenFacts, { account, warn, name }: HostParts): string {
  const expanded = expandTokens(expandAnyHome(path, account.home), tokens);
  if ('problem' in expanded) warn(`ssh_config, ${name}: ${path}: ${expanded.problem}`);
  const text = 'text' in expanded ? expanded.text : path;
  if (text.startsWith('~')) warn(`ssh_config, ${name}: ${path}: there is no such user here`);
  return text.startsWith('~') ? text : fromHome(text, account);
}

/** Relative paths of ssh_config begin at the home, since there is no current folder to speak of. */
function fromHome(path: string, { home }: Account): string {
  return isAbsolute(path) ? path : join(home, path);
}

function keysOf(
  parts: HostParts,
  sshPaths: (paths: readonly string[] | undefined) => readonly string[],
): Pick<Host, 'identities' | 'identitiesOnly' | 'certificates' | 'certificateCommand'> {
  const { ssh, account, exists } = parts;
  const own = paths(parts, 'identity');
  const certificateCommand = certificateCommandOf(parts);
  for (const path of own ?? []) warnAbsent(parts, 'identity', path, [path, `${path}.pub`]);
  if (certificateCommand === null)
    for (const path of paths(parts, 'certificate') ?? []) warnAbsent(parts, 'certificate', path, [path]);
  const defaults = (): readonly string[] =>
    defaultKeys.map((key) => join(account.home, '.ssh', key)).filter((path) => exists(path));
  return {
    identities: own ?? (ssh.identities === undefined ? defaults() : sshPaths(ssh.identities)),
    identitiesOnly: pick(parts, 'identities_only') ?? (own !== null ? true : (ssh.identitiesOnly ?? false)),
    certificates: paths(parts, 'certificate') ?? sshPaths(ssh.certificates),
    certificateCommand,
  };
}

function certificateCommandOf(parts: HostParts): CertificateCommand | null {
  const layer = layerOf(parts, 'certificate');
  const written = layer?.settings.certificate ?? [];
  if (layer === null || !('command' in written)) return null;
  const { command, file, renewBeforeMs } = written;
  const argv = command.map((each) => expandHome(each, parts.account.home));
  return { argv, path: ownPath(file, layer.folder, parts.account), renewBeforeMs };
}

/** A file that the config names: what ssh_config names besides is often not there, and ssh minds as little. */
function warnAbsent(
  { account, exists, warn, name }: HostParts,
  key: string,
  path: string,
  any: readonly string[],
): void {
  if (any.some(exists)) return;
  const shown = path.startsWith(`${account.home}/`) ? `~${path.slice(account.home.length)}` : path;
  warn(`host ${name}: there is no file ${shown}, which ${key} names`);
}

function agentOf(parts: HostParts): AgentRef {
  const { ssh, account } = parts;
  const layer = layerOf(parts, 'agent');
  const written = layer?.settings.agent ?? true;
  if (written === false) return { from: 'none' };
  if (typeof written === 'string')
    return { from: 'socket', path: ownPath(written, layer?.folder ?? '/', account) };
  const named = ssh.identityAgent;
  if (named === undefined || named === 'SSH_AUTH_SOCK' || named === '$SSH_AUTH_SOCK')
    return { from: 'environment' };
  if (named.toLowerCase() === 'none') return { from: 'none' };
  const variable = /^\$(\w+)$/.exec(named)?.[1];
  if (variable === undefined) return { from: 'socket', path: fromHome(named, account) };
  const path = account.env[variable];
  return path === undefined || path === '' ? { from: 'none' } : { from: 'socket', path };
}

function knownHostsOf(parts: HostParts): readonly string[] {
  const { ssh, account } = parts;
  const whole = (files: readonly string[]): readonly string[] => files.map((path) => fromHome(path, account));
  const folder = join(account.home, '.ssh');
  const usual = [join(folder, 'known_hosts'), join(folder, 'known_hosts2')];
  const users = paths(parts, 'known_hosts') ?? whole(ssh.userKnownHosts ?? usual);
  // As ssh: nothing is filled in for everybody's files.
  const global = whole(ssh.globalKnownHosts ?? defaultGlobalKnownHosts);
  return [...new Set([...users, ...global])];
}

function keepaliveOf(parts: HostParts): Host['keepalive'] {
  const { layers, ssh } = parts;
  const own = <K extends 'interval' | 'count'>(key: K): number | undefined =>
    layers.find(({ settings }) => settings.keepalive?.[key] !== undefined)?.settings.keepalive?.[key];
  return {
    intervalMs: own('interval') ?? positive(ssh.keepaliveMs) ?? 15_000,
    count: own('count') ?? positive(ssh.keepaliveCount) ?? 3,
  };
}

/** A proxy command may wait for a person: only a limit that somebody wrote bounds that. 0 is no limit, as in ssh. */
function timeLimits(
  written: number | undefined,
  { proxyCommand }: Pick<Host, 'proxyCommand'>,
): Pick<Host, 'connectTimeoutMs' | 'firstWordsMs'> {
  const connectTimeoutMs = written === 0 ? longestMs : (written ?? 10_000);
  const bounded = proxyCommand === null || (written ?? 0) > 0;
  return { connectTimeoutMs, firstWordsMs: bounded ? connectTimeoutMs : null };
}

const positive = (value: number | undefined): number | undefined =>
  value === undefined || value <= 0 ? undefined : value;

/** The way of the highest layer that names any: a jump there would make this null. */
function ownProxy(parts: HostParts): { proxyCommand: string | null; proxy: Proxy | null } {
  const layer = wayLayer(parts.layers);
  if (layer === null) return { proxyCommand: parts.ssh.proxyCommand ?? null, proxy: null };
  const { proxy_command: command, proxy } = layer.settings;
  return {
    proxyCommand: command === undefined || command === 'none' ? null : command,
    proxy:
      proxy === undefined
        ? null
        : { ...proxy, password: absoluteSecret(proxy.password, layer.folder, parts.account) },
  };
}

/** The highest layer that says how to get there; null where only ssh_config may. */
export function wayLayer(layers: readonly Layer[]): Layer | null {
  return (
    layers.find(({ settings }) =>
      (['jump', 'proxy_command', 'proxy'] as const).some((key) => settings[key] !== undefined),
    ) ?? null
  );
}

function secretOf(parts: HostParts, key: 'password' | 'passphrase' | 'totp'): SecretRef | null {
  const layer = layerOf(parts, key);
  return layer === null ? null : absoluteSecret(layer.settings[key] ?? null, layer.folder, parts.account);
}

/** `file:` paths made absolute, ~ in a command's words filled in. */
export function absoluteSecret(ref: SecretRef | null, folder: string, account: Account): SecretRef | null {
  if (ref?.from === 'command')
    return { from: 'command', argv: ref.argv.map((each) => expandHome(each, account.home)) };
  if (ref?.from !== 'file') return ref;
  const credentials = /^\$(?:\{CREDENTIALS_DIRECTORY\}|CREDENTIALS_DIRECTORY)(\/.*)$/.exec(ref.path);
  if (credentials === null) return { from: 'file', path: ownPath(ref.path, folder, account) };
  const base = account.env['CREDENTIALS_DIRECTORY'];
  return base === undefined ? ref : { from: 'file', path: join(base, credentials[1] ?? '') };
}

/** Folder of a file, for the layer of settings that stand in it. */
export const folderOf = (file: string): string => dirname(file);
