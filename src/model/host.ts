// Hosts: one SSH server fully resolved (no optional holes), and a way: the chain of servers to the last one.
import type { SecretRef } from './secret.ts';

export type AuthMethod = 'none' | 'agent' | 'publickey' | 'keyboard-interactive' | 'password' | 'hostbased';

/** Where the agent is: the SSH_AUTH_SOCK of whoever asked last, a named socket, or nowhere. */
export type AgentRef =
  | { readonly from: 'none' }
  | { readonly from: 'environment' }
  | { readonly from: 'socket'; readonly path: string };

export type HostKeyPolicy = 'ask' | 'accept-new' | 'strict';

/** Algorithm names in order of preference; null: our defaults. `+ - ^` lists are already applied. */
export interface AlgorithmChoice {
  readonly kex: readonly string[] | null;
  readonly cipher: readonly string[] | null;
  readonly mac: readonly string[] | null;
  readonly hostKey: readonly string[] | null;
  readonly pubkey: readonly string[] | null;
}

/** A SOCKS5 or HTTP CONNECT proxy in front of a server. */
export interface Proxy {
  readonly scheme: 'socks5' | 'http';
  readonly host: string;
  readonly port: number;
  readonly user: string | null;
  readonly password: SecretRef | null;
}

/** Makes the user certificate in a file, before a login where that is missing or ends soon. */
export interface CertificateCommand {
  readonly argv: readonly string[];
  readonly path: string;
  readonly renewBeforeMs: number;
}

/** One SSH server as it will be dialled. Paths are absolute; durations in milliseconds. */
export interface Host {
  /** The word the user gave: a `hosts:` name, an ssh_config alias or a host name. */
  readonly name: string;
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  /** Key files, in order. A `.pub` selects a key of the agent. */
  readonly identities: readonly string[];
  /** False: the identities are the default files, tried after the agent's keys. */
  readonly identitiesOnly: boolean;
  readonly certificates: readonly string[];
  /** Null: somebody else sees to the certificates. */
  readonly certificateCommand: CertificateCommand | null;
  readonly agent: AgentRef;
  readonly auth: readonly AuthMethod[];
  readonly password: SecretRef | null;
  readonly passphrase: SecretRef | null;
  readonly totp: SecretRef | null;
  readonly proxyCommand: string | null;
  readonly proxy: Proxy | null;
  readonly hostKeys: HostKeyPolicy;
  readonly hostKeyAlias: string | null;
  /** Foreign known_hosts files, read only: the user's, then the global ones. Our own store is not listed. */
  readonly knownHosts: readonly string[];
  readonly keepalive: { readonly intervalMs: number; readonly count: number };
  /** For each of TCP connect, first words and key exchange. */
  readonly connectTimeoutMs: number;
  /** For the server's first words. Null: none, since they come through a command that may wait for a person. */
  readonly firstWordsMs: number | null;
  readonly algorithms: AlgorithmChoice;
  readonly compression: boolean;
  readonly bindAddress: string | null;
  readonly addressFamily: 'any' | 'inet' | 'inet6';
  /** True: every login needs a person; false: none does; null: find out from what the login asked (SPEC 3). */
  readonly attended: boolean | null;
  /** A credential that worked here before is tried again later on its own (SPEC 3). */
  readonly authRetry: boolean;
}

/** The hops to a server, nearest first; the last one is the server itself. Never empty. */
export type Way = readonly [Host, ...Host[]];

/** user@hostname:port, IPv6 in brackets: how status and errors name a server. */
export function formatLogin(host: Pick<Host, 'user' | 'hostname' | 'port'>): string {
  return `${host.user}@${formatAddress(host)}`;
}

/**
 * A hop by the name its user gave it, with its address where that is another: `katie.example.org:22`,
 * `bastion (127.0.0.1:7201)`.
 */
export function formatHop(host: Pick<Host, 'name' | 'hostname' | 'port'>): string {
  return named(host, formatAddress(host));
}

/** The same with its user: `me@katie.example.org:22`, `bastion (me@127.0.0.1:7201)`. */
export function formatHopLogin(host: Pick<Host, 'name' | 'user' | 'hostname' | 'port'>): string {
  return named(host, formatLogin(host));
}

function named({ name, hostname }: Pick<Host, 'name' | 'hostname'>, where: string): string {
  const tells = `${hostname.toLowerCase()}.`.startsWith(`${name.toLowerCase()}.`);
  return tells ? where : `${name} (${where})`;
}

/**
 * The word for a hop that no other hop answers to: its name, or where that is but its hostname the port as well, since
 * another server may stand at another port there.
 */
export function hopWord(host: Pick<Host, 'name' | 'hostname' | 'port'>): string {
  return host.name.toLowerCase() === host.hostname.toLowerCase() ? formatAddress(host) : host.name;
}

/** hostname:port, IPv6 in brackets. */
export function formatAddress(host: Pick<Host, 'hostname' | 'port'>): string {
  return host.hostname.includes(':') ? `[${host.hostname}]:${host.port}` : `${host.hostname}:${host.port}`;
}
