// Options of ssh_config(5), as -o or as lines of a file: the keys of ours that say the same. Pure.
import type { Setting } from './found.ts';

export type Carried =
  | { readonly settings: Readonly<Record<string, Setting>>; readonly note?: string }
  /** `unknown`: it is none that we know, or one that must not be passed over. */
  | { readonly note: string; readonly unknown?: true }
  | null;

/** Our key for options whose value is taken as it stands. */
const plain: Readonly<Record<string, string>> = {
  hostname: 'hostname',
  user: 'user',
  hostkeyalias: 'host_key_alias',
  ciphers: 'ciphers',
  kexalgorithms: 'kex',
  macs: 'macs',
  hostkeyalgorithms: 'host_key_algorithms',
  pubkeyacceptedalgorithms: 'pubkey_algorithms',
  pubkeyacceptedkeytypes: 'pubkey_algorithms',
  bindaddress: 'bind_address',
  addressfamily: 'address_family',
  proxycommand: 'proxy_command',
};

/** Yes or no. */
const switches: Readonly<Record<string, string>> = {
  compression: 'compression',
  identitiesonly: 'identities_only',
};

/** Files, several of which may be named. */
const files: Readonly<Record<string, string>> = {
  identityfile: 'identity',
  certificatefile: 'certificate',
  userknownhostsfile: 'known_hosts',
};

/** Of no meaning here, since a tunnel is no shell and the supervisor holds it: passed over without a word. */
const meaningless = new Set(
  [
    'exitonforwardfailure batchmode tcpkeepalive loglevel controlmaster controlpath controlpersist requesttty',
    'forwardx11 forwardx11trusted sendenv setenv escapechar visualhostkey hashknownhosts connectionattempts stdinnull',
    'sessiontype forkafterauthentication permitlocalcommand localcommand remotecommand updatehostkeys ipqos',
    'addkeystoagent usekeychain ignoreunknown clearallforwardings checkhostip nohostauthenticationforlocalhost tag',
  ].flatMap((line) => line.split(' ')),
);

/** Null: passed over, since it changes nothing here. `keyword` in small letters. */
export function carryOption(keyword: string, words: readonly string[]): Carried {
  const value = words.join(' ');
  const own = plain[keyword];
  if (own !== undefined) return { settings: { [own]: value } };
  const flag = switches[keyword];
  if (flag !== undefined) return { settings: { [flag]: value.toLowerCase() === 'yes' } };
  const list = files[keyword];
  if (list !== undefined) return carryFiles(list, words);
  if (keyword === 'port') return { settings: { port: Number(value) } };
  if (keyword === 'proxyjump') return value === 'none' ? null : { settings: { jump: value.split(',') } };
  if (keyword === 'connecttimeout') return { settings: { connect_timeout: `${value}s` } };
  if (keyword === 'serveraliveinterval') return { settings: { keepalive: { interval: `${value}s` } } };
  if (keyword === 'serveralivecountmax') return { settings: { keepalive: { count: Number(value) } } };
  if (keyword === 'stricthostkeychecking') return carryHostKeyChecking(value.toLowerCase());
  if (keyword === 'forwardagent')
    return value === 'no' ? null : { note: 'the agent is not forwarded: a tunnel needs none there' };
  if (keyword === 'gatewayports')
    return value === 'yes'
      ? { note: 'GatewayPorts: ports listen on loopback, unless local: names 0.0.0.0' }
      : null;
  if (keyword === 'identityagent') return { settings: { agent: agentOf(value) } };
  if (keyword === 'preferredauthentications') return carryMethods(value.split(','));
  if (keyword === 'passwordauthentication' || keyword === 'pubkeyauthentication')
    return value.toLowerCase() === 'yes' ? null : carryMethods(methodsWithout(keyword));
  return meaningless.has(keyword) ? null : { note: `${keyword} is not carried over`, unknown: true };
}

function agentOf(value: string): string | boolean {
  if (value === 'none') return false;
  return value === 'SSH_AUTH_SOCK' ? true : value;
}

const methods = ['agent', 'publickey', 'keyboard-interactive', 'password'];

/** ssh's `publickey` is the agent's keys too. */
function carryMethods(named: readonly string[]): Carried {
  const known = [...methods, 'hostbased', 'none'];
  const auth = named.flatMap((name) => (name === 'publickey' ? ['agent', name] : [name]));
  const kept = [...new Set(auth)].filter((name) => known.includes(name));
  if (kept.length > 0) return { settings: { auth: kept } };
  return { note: `PreferredAuthentications ${named.join()} names no method of ours`, unknown: true };
}

function methodsWithout(keyword: string): readonly string[] {
  if (keyword === 'passwordauthentication') return methods.filter((name) => name !== 'password');
  return methods.filter((name) => name !== 'publickey' && name !== 'agent');
}

function carryFiles(key: string, paths: readonly string[]): Carried {
  const kept = paths.filter((path) => path !== '/dev/null' && path !== 'none');
  if (kept.length === paths.length) return { settings: { [key]: kept } };
  return { note: `${key}: ${paths.join(' ')} is left out: host keys are remembered here` };
}

function carryHostKeyChecking(value: string): Carried {
  if (value === 'yes') return { settings: { host_keys: 'strict' } };
  if (value === 'ask' || value === 'accept-new') return { settings: { host_keys: value } };
  return {
    settings: { host_keys: 'accept-new' },
    note: `StrictHostKeyChecking=${value} becomes accept-new: a new host key is stored, a changed one refused`,
  };
}

/** What was set first stays, as in ssh; files and the two halves of keepalive add up, methods are those of both. */
export function mergeSettings(
  one: Readonly<Record<string, Setting>>,
  other: Readonly<Record<string, Setting>>,
): Record<string, Setting> {
  const merged: Record<string, Setting> = { ...one, ...other, ...one };
  for (const key of ['identity', 'certificate', 'keepalive']) {
    const [first, second] = [one[key], other[key]];
    if (first === undefined || second === undefined) continue;
    merged[key] =
      Array.isArray(first) && Array.isArray(second)
        ? [...(first as string[]), ...(second as string[])]
        : { ...(second as object), ...(first as object) };
  }
  const [auth, less] = [one['auth'], other['auth']];
  if (Array.isArray(auth) && Array.isArray(less))
    merged['auth'] = (auth as string[]).filter((name) => (less as string[]).includes(name));
  return merged;
}
