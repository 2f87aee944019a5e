// The settings of one host by ssh_config, read from its plain keys and values (ssh_config(5)), as settings of our own. Pure.
import { login } from '../address.ts';
import type { AuthMethod, HostKeyPolicy } from '../../model/host.ts';

/** Lower-case keys with their values as written, and only what somebody set. The form of `ssh -G`, less its defaults. */
export type SshValues = ReadonlyMap<string, readonly string[]>;

/** A question to ssh_config: an alias, with the user and port that are set above it. */
export interface SshQuery {
  readonly alias: string;
  readonly user: string | null;
  readonly port: number | null;
  /** Set where the way there comes from elsewhere: ssh_config's ProxyJump and ProxyCommand do not count, nor that they go in a circle. */
  readonly way?: 'given';
}

export interface SshAnswer {
  readonly values: SshValues;
  /** Set keys that narrow trust and are not supported: the user's own, which are an error, and the system's. */
  readonly unsupported: { readonly user: readonly string[]; readonly system: readonly string[] };
  readonly warnings: readonly string[];
}

/** A sentence that says why ssh_config could not be read. */
export type SshFailure = { readonly failure: string };
export type AskSsh = (query: SshQuery) => Promise<SshAnswer | SshFailure>;

/** Undefined: not set. Key files are as written, with their tokens; the agent and the user's known_hosts are filled in. */
export interface SshSettings {
  readonly hostname?: string;
  readonly user?: string;
  readonly port?: number;
  /** Empty: `none`. */
  readonly identities?: readonly string[];
  readonly identitiesOnly?: boolean;
  /** none, SSH_AUTH_SOCK, $NAME or a path. */
  readonly identityAgent?: string;
  readonly certificates?: readonly string[];
  /** Nearest first. */
  readonly proxyJump?: readonly string[];
  readonly proxyCommand?: string;
  readonly userKnownHosts?: readonly string[];
  readonly globalKnownHosts?: readonly string[];
  readonly hostKeyAlias?: string;
  readonly hostKeys?: HostKeyPolicy;
  readonly auth?: readonly AuthMethod[];
  readonly connectTimeoutMs?: number;
  readonly keepaliveMs?: number;
  readonly keepaliveCount?: number;
  readonly ciphers?: readonly string[];
  readonly kex?: readonly string[];
  readonly macs?: readonly string[];
  readonly hostKeyAlgorithms?: readonly string[];
  readonly pubkeyAlgorithms?: readonly string[];
  readonly bindAddress?: string;
  readonly addressFamily?: 'any' | 'inet' | 'inet6';
  readonly compression?: boolean;
}

/** Keys that narrow what is trusted. To ignore one would trust more than the user does (SPEC 2). */
const trustKeys: Readonly<Record<string, string>> = {
  revokedhostkeys: 'RevokedHostKeys',
  casignaturealgorithms: 'CASignatureAlgorithms',
  requiredrsasize: 'RequiredRSASize',
  knownhostscommand: 'KnownHostsCommand',
};

/** Names, as ssh_config(5) spells them, of the set keys that narrow what is trusted. */
export function trustKeysIn(values: SshValues): readonly string[] {
  return Object.keys(trustKeys)
    .filter((key) => values.has(key) && values.get(key)?.[0]?.toLowerCase() !== 'none')
    .map((key) => trustKeys[key] ?? key);
}

const isOn = (values: SshValues, key: string): boolean =>
  ['yes', 'true'].includes(values.get(key)?.[0]?.toLowerCase() ?? '');

/** Settings that cannot be had here, and without which the host is not reached: a sentence each, with the way out. */
export function sshProblems(values: SshValues, alias: string): readonly string[] {
  const problems: string[] = [];
  const command = values.get('proxycommand')?.[0]?.toLowerCase() ?? 'none';
  if (isOn(values, 'proxyusefdpass') && command !== 'none')
    problems.push(
      `ssh_config sets ProxyUseFdpass for ${alias}, which is not supported: give the host a proxy_command: that carries the bytes itself (nc -X connect -x PROXY:PORT %h %p, without -F), or jump: or proxy:`,
    );
  const methods = values.get('preferredauthentications')?.[0] ?? '';
  if (methods !== '' && methods.split(',').flatMap(methodsOf).length === 0)
    problems.push(
      `ssh_config sets PreferredAuthentications ${methods} for ${alias}, and none of these is supported: set auth: for the host`,
    );
  return problems;
}

/** Settings that are passed over here, though the host is reached all the same: the key, and what to do instead. */
const passedOver: readonly [keyword: string, name: string, instead: string][] = [
  ['bindinterface', 'BindInterface', 'bind_address: names the address to connect from'],
  ['checkhostip', 'CheckHostIP', 'a key is looked up by the name of the host alone'],
  ['pkcs11provider', 'PKCS11Provider', "put the token's keys into an agent with ssh-add -s"],
];

/** Sentences for the user about what is taken differently here. */
export function sshWarnings(values: SshValues, alias: string): readonly string[] {
  const strict = values.get('stricthostkeychecking')?.[0]?.toLowerCase() ?? '';
  const isSet = (key: string): boolean =>
    !['', 'no', 'false', 'none'].includes(values.get(key)?.[0]?.toLowerCase() ?? '');
  const unsupported = passedOver
    .filter(([key]) => isSet(key))
    .map(([, name, instead]) => `ssh_config sets ${name} for ${alias}, which is not supported: ${instead}`);
  if (isOn(values, 'permitlocalcommand') && isSet('localcommand'))
    unsupported.push(`ssh_config sets LocalCommand for ${alias}, which is not run here`);
  if (!['no', 'off', 'false'].includes(strict)) return unsupported;
  return [
    `ssh_config sets StrictHostKeyChecking ${strict === 'false' ? 'no' : strict} for ${alias}: taken as accept-new, a changed key is refused`,
    ...unsupported,
  ];
}

/** A host name as ssh goes on with it. Of addresses only IPv6 has letters, and those it leaves. */
export function inSmallLetters(hostname: string): string {
  return hostname.includes(':') ? hostname : hostname.toLowerCase();
}

export function readSshSettings(values: SshValues): SshSettings {
  const first = (key: string): string | undefined => values.get(key)?.[0];
  const list = (key: string): readonly string[] | undefined => first(key)?.split(',').filter(Boolean);
  const none = (all: readonly string[] | undefined): readonly string[] | undefined =>
    all?.filter((each) => each.toLowerCase() !== 'none');
  const jump = first('proxyjump');
  const command = first('proxycommand');
  return defined({
    hostname: first('hostname'),
    user: first('user'),
    port: number(first('port')),
    identities: distinct(none(values.get('identityfile'))),
    identitiesOnly: flag(first('identitiesonly')),
    identityAgent: first('identityagent'),
    certificates: distinct(none(values.get('certificatefile'))),
    proxyJump: jump === undefined ? undefined : (jumpHops(jump) ?? undefined),
    proxyCommand: command === undefined || command.toLowerCase() === 'none' ? undefined : command,
    userKnownHosts: none(values.get('userknownhostsfile')),
    globalKnownHosts: none(values.get('globalknownhostsfile')),
    hostKeyAlias: first('hostkeyalias'),
    hostKeys: policy(first('stricthostkeychecking')),
    auth: authOf(values),
    connectTimeoutMs: milliseconds(first('connecttimeout')),
    keepaliveMs: milliseconds(first('serveraliveinterval')),
    keepaliveCount: number(first('serveralivecountmax')),
    ciphers: list('ciphers'),
    kex: list('kexalgorithms'),
    macs: list('macs'),
    hostKeyAlgorithms: list('hostkeyalgorithms'),
    pubkeyAlgorithms: list('pubkeyacceptedalgorithms') ?? list('pubkeyacceptedkeytypes'),
    bindAddress: first('bindaddress'),
    addressFamily: family(first('addressfamily')),
    compression: flag(first('compression')),
  });
}

/** ssh lists a key file twice that stands in the user's file and in the system's. */
const distinct = (all: readonly string[] | undefined): readonly string[] | undefined =>
  all && [...new Set(all)];

function defined<T extends Record<string, unknown>>(
  values: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

function flag(value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  return ['yes', 'true'].includes(value.toLowerCase());
}

function number(value: string | undefined): number | undefined {
  return value !== undefined && /^\d+$/.test(value) ? Number(value) : undefined;
}

/** Told without going back: `(\\d+[smhdw]?)+` takes twice the time for each digit of what is none. */
export const isTime = (value: string): boolean => /^(?=\d)(?:\d+[smhdw])*\d*$/i.test(value);

/** ssh's times: seconds, or numbers with s m h d w (sshd_config(5), TIME FORMATS). None and 0 are no limit. */
export function milliseconds(value: string | undefined): number | undefined {
  if (value === undefined || !isTime(value)) return undefined;
  const seconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  let total = 0;
  for (const match of value.toLowerCase().matchAll(/(\d+)([smhdw]?)/g))
    total += Number(match[1]) * (seconds[match[2] ?? ''] ?? 1);
  return Math.min(total * 1000, 2_147_483_647);
}

function family(value: string | undefined): 'any' | 'inet' | 'inet6' | undefined {
  const lower = value?.toLowerCase();
  return lower === 'any' || lower === 'inet' || lower === 'inet6' ? lower : undefined;
}

/** `no` is taken as accept-new: a changed key is never accepted here. */
function policy(value: string | undefined): HostKeyPolicy | undefined {
  switch (value?.toLowerCase()) {
    case 'yes':
    case 'true':
      return 'strict';
    case 'ask':
      return 'ask';
    case 'accept-new':
    case 'no':
    case 'off':
    case 'false':
      return 'accept-new';
    case undefined:
    default:
      return undefined;
  }
}

const defaultAuth: readonly AuthMethod[] = ['agent', 'publickey', 'keyboard-interactive', 'password'];

/** The methods that ssh would try, in its order; undefined where ssh_config does not change them. */
function authOf(values: SshValues): readonly AuthMethod[] | undefined {
  const isOff = (key: string): boolean =>
    values.has(key) && ['no', 'false'].includes(values.get(key)?.[0]?.toLowerCase() ?? '');
  const hostbased = flag(values.get('hostbasedauthentication')?.[0]) === true;
  const preferred = values.get('preferredauthentications')?.[0]?.split(',');
  const named =
    preferred?.flatMap(methodsOf) ?? (hostbased ? ['hostbased' as const, ...defaultAuth] : defaultAuth);
  const left = named.filter((method) => {
    if (method === 'hostbased') return hostbased;
    if (method === 'password') return !isOff('passwordauthentication');
    if (method === 'keyboard-interactive')
      return !isOff('kbdinteractiveauthentication') && !isOff('challengeresponseauthentication');
    return !isOff('pubkeyauthentication');
  });
  const same =
    left.length === defaultAuth.length && left.every((method, index) => method === defaultAuth[index]);
  return same ? undefined : left;
}

function methodsOf(word: string): readonly AuthMethod[] {
  const method = word.trim().toLowerCase();
  if (method === 'publickey') return ['agent', 'publickey'];
  const known = (['keyboard-interactive', 'password', 'hostbased', 'none'] as const).find(
    (each) => each === method,
  );
  return known === undefined ? [] : [known];
}

/** The hops, nearest first; null for `none`. What `ssh -G` prints reads the same. */
export function jumpHops(written: string): readonly string[] | null {
  const jump = jumpText(written);
  if (jump.toLowerCase() === 'none') return null;
  // None is left out for being odd: that would be another way than the one that was asked for.
  return jump.split(',').map((hop) => (isUri(hop) ? withoutScheme(hop) : hop));
}

/** The value of %j: a hop without its user, port and brackets. */
export function hostOfJump(hop: string): string {
  const read = login(hop);
  return 'value' in read ? read.value.host : hop;
}

/** The text that counts: ssh ends it at the first blank or #. */
const jumpText = (written: string): string => /^[\s=]*([^\s#]*)/.exec(written)?.[1] ?? '';

const isUri = (hop: string): boolean => hop.startsWith('ssh://');

/** ssh://user@host:port/ as user@host:port. The user may be percent-encoded. */
function withoutScheme(hop: string): string {
  const plain = hop.slice('ssh://'.length).replace(/\/$/, '');
  const at = plain.lastIndexOf('@');
  if (at < 0) return plain;
  try {
    return `${decodeURIComponent(plain.slice(0, at))}${plain.slice(at)}`;
  } catch {
    return plain; // not percent-encoded after all
  }
}

/** Why ssh would refuse the line; null when it takes it. */
export function jumpProblem(written: string): string | null {
  if (jumpHops(written) === null) return null;
  const bad = jumpText(written)
    .split(',')
    .find((hop) => !isHop(isUri(hop) ? withoutScheme(hop) : hop));
  return bad === undefined ? null : `ProxyJump must be [user@]host[:port], not "${bad}"`;
}

function isHop(hop: string): boolean {
  const match = /^(?:.+@)?(?:\[[^\]@]+\]|[^[\]:@/]+)(?::(\d+))?$/.exec(hop);
  const port = match?.[1];
  return match !== null && (port === undefined || (Number(port) > 0 && Number(port) <= 65_535));
}
