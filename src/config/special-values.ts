// Values of the keys that have a form of their own: agent, hold, ways, …, probe, proxy and secret sources. Pure.
import { parse as parseYaml } from 'yaml';
import { hops, login, tcpListen } from './address.ts';
import {
  argumentList,
  duration,
  listOf,
  ok,
  positiveDuration,
  several,
  storeSecret,
  text,
  variableText,
  wrong,
  word,
  type Parsed,
  port,
} from './value.ts';
import { isLoopback } from '../model/endpoint.ts';
import type { Probe } from '../model/forward.ts';
import type { Proxy } from '../model/host.ts';
import { commandProblem, tokenWords } from '../model/proxy-command.ts';
import type { SecretRef } from '../model/secret.ts';
import type { Hold, MetricsAddress } from '../model/tunnel.ts';

/** true | false | path of a socket. */
export function agent(value: unknown): Parsed<boolean | string> {
  if (typeof value === 'boolean') return ok(value);
  const read = text(value);
  if ('problem' in read || !/^(\/|~\/|\.\.?\/|\\\\)/.test(read.value))
    return wrong('must be true, false or the path of a socket');
  return read;
}

export function hold(value: unknown): Parsed<Hold> {
  if (value === 'refuse') return ok({ kind: 'refuse' });
  const read = duration(value);
  if ('problem' in read)
    return wrong(read.problem.startsWith('needs') ? read.problem : `${read.problem}, or refuse`);
  return ok({ kind: 'wait', ms: read.value });
}

/** Files, or one and the command that makes it. */
export type CertificateSetting =
  | readonly string[]
  | { readonly command: readonly string[]; readonly file: string; readonly renewBeforeMs: number };

const certificateForms =
  'must be a file, a list of files or { command: [program, argument], file: PATH, renew_before: 10m }';

export function certificate(value: unknown): Parsed<CertificateSetting> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return listOf(text)(value);
  const { command, file, renew_before: before = '10m', ...rest } = value as Record<string, unknown>;
  if (Object.keys(rest).length > 0 || command === undefined || file === undefined)
    return wrong(certificateForms);
  const argv = argumentList(command);
  if ('problem' in argv) return wrong(`has a command that ${argv.problem}`);
  const path = text(file);
  if ('problem' in path) return wrong(`has a file that ${path.problem}`);
  const renewBefore = positiveDuration(before);
  if ('problem' in renewBefore) return wrong(`has a renew_before that ${renewBefore.problem}`);
  return ok({ command: argv.value, file: path.value, renewBeforeMs: renewBefore.value });
}

/** Null: never. */
export function idleTimeout(value: unknown): Parsed<number | null> {
  if (value === 'never') return ok(null);
  return positiveDuration(value);
}

/** A server is not logged in to more often than that without need. */
export function rotation(value: unknown): Parsed<number> {
  const read = duration(value);
  return 'value' in read && read.value < 1_000 ? wrong('must be at least 1s') : read;
}

/** `none` clears what was inherited. */
export function proxyCommand(value: unknown): Parsed<string> {
  const read = text(value);
  if ('problem' in read) return read;
  const problem = commandProblem(read.value);
  return problem === null ? read : wrong(`cannot be started: ${problem}; tokens are ${tokenWords}`);
}

/** An alias, or null for "do not read ssh_config for this host". */
export function sshAlias(value: unknown): Parsed<string | null> {
  if (value === false) return ok(null);
  if (value === true) return wrong('must be the name of an alias, or false');
  return word(value);
}

/** Each entry replaces `jump`: a host, a list of hosts, or `direct`. */
export function ways(value: unknown): Parsed<readonly (readonly string[])[]> {
  if (!Array.isArray(value) || value.length === 0) return wrong('must be a list of hosts; direct for none');
  return several(value.entries(), (item) => (item === 'direct' ? ok([]) : hops(item)));
}

/** The word after `host:`, as it stands: what it names is found out when it is resolved. */
export function hostWord(value: unknown): Parsed<string> {
  const read = login(value);
  return 'problem' in read ? read : word(value);
}

export function version(value: unknown): Parsed<1> {
  return value === 1 ? ok(1) : wrong('must be 1, the only version there is');
}

const metricsForms = 'must be PORT, HOST:PORT or { listen: ADDRESS, page: true }';

/** An address, or a map with one. The page tells everything of the tunnels, and to whoever asks: that is for this machine alone. */
export function metrics(value: unknown): Parsed<MetricsAddress> {
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const { listen, page = false, ...rest } = isMap ? (value as Record<string, unknown>) : { listen: value };
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined || listen === undefined) return wrong(metricsForms);
  const read = tcpListen(listen);
  if ('problem' in read) return read;
  if (typeof page !== 'boolean') return wrong('must have page: true or page: false');
  if (page && !isLoopback({ kind: 'tcp', ...read.value }))
    return wrong('must be on loopback where it serves the page: listen: 127.0.0.1:PORT');
  return ok({ ...read.value, page });
}

const probeForms = 'must be tcp, http://…, https://…, postgres, redis or { greeting: REGEX }';

export function probe(value: unknown): Parsed<Probe> {
  if (value === 'tcp' || value === 'postgres' || value === 'redis') return { value: { kind: value } };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const [[kind, pattern] = ['', undefined], more] = Object.entries(value);
    return kind === 'greeting' && more === undefined ? greeting(pattern) : wrong(probeForms);
  }
  if (typeof value !== 'string') return wrong(probeForms);
  if (value.startsWith('greeting:')) return greeting(value.slice('greeting:'.length).trim());
  return /^https?:/i.test(value) ? web(value) : wrong(probeForms);
}

function greeting(pattern: unknown): Parsed<Probe> {
  const read = text(pattern);
  if ('problem' in read) return wrong(probeForms);
  try {
    new RegExp(read.value);
    return { value: { kind: 'greeting', pattern: read.value } };
  } catch {
    return wrong('has a greeting that is not a regular expression');
  }
}

function web(written: string): Parsed<Probe> {
  return URL.canParse(written) && new URL(written).hostname !== ''
    ? { value: { kind: 'http', url: written } }
    : wrong('must be a whole URL, like http://localhost/health');
}

const proxyForms = 'must be socks5://HOST:PORT or http://HOST:PORT';

/** A text, or `{ url, password: SOURCE }`. A password in the URL is refused, and not repeated. */
export function proxy(value: unknown): Parsed<Proxy> {
  if (typeof value !== 'object' || value === null) return proxyUrl(value);
  const { url, password, ...rest } = value as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined || url === undefined) return wrong(`${proxyForms}, or a map of url and password`);
  const read = proxyUrl(url);
  if ('problem' in read || password === undefined) return read;
  const source = secretSource(password);
  if ('problem' in source) return { ...source, problem: `has a password that ${source.problem}` };
  if (read.value.user === null) return wrong('has a password but no user: write socks5://USER@HOST:PORT');
  return { value: { ...read.value, password: source.value } };
}

function proxyUrl(value: unknown): Parsed<Proxy> {
  const read = text(value);
  if ('problem' in read) return wrong(proxyForms);
  const match = /^(socks5h?|http):\/\/(?:([^/]*)@)?(\[[0-9A-Fa-f:.]+\]|[^\s:/@[\]]+):(\d+)\/?$/i.exec(
    read.value,
  );
  if (match === null) return wrong(proxyForms);
  const [, scheme = '', login, host = '', written = ''] = match;
  if (login?.includes(':') === true)
    return wrong(
      'must not hold a password: write { url: socks5://USER@HOST:PORT, password: keychain }',
      storeSecret,
    );
  const number = port(written);
  if ('problem' in number) return wrong(`has a port that ${number.problem}`);
  const user = login === undefined || login === '' ? null : decode(login);
  if (user === undefined) return wrong('has a user that is not percent-encoded as a URL needs it');
  return {
    value: {
      scheme: scheme.toLowerCase() === 'http' ? 'http' : 'socks5',
      host: host.replace(/^\[|\]$/g, ''),
      port: number.value,
      user,
      password: null,
    },
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

const sourceForms = 'must be keychain, prompt, env:NAME, file:PATH or command:[program, argument]';

/** keychain | prompt | env:NAME | file:PATH | command:[argv...], the last also as a map `command: [argv...]`. */
export function secretSource(value: unknown): Parsed<SecretRef> {
  if (value === 'keychain' || value === 'prompt') return ok({ from: value });
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return fromMap(value);
  if (value === null) return wrong('is empty');
  if (typeof value !== 'string') return literal();
  const [, kind = '', rest = ''] = /^(env|file|command):(.*)$/s.exec(value) ?? [];
  if (kind === 'env') return variable(rest.trim());
  if (kind === 'file') return file(rest.trim());
  if (kind === 'command') return command(rest.trim());
  return literal();
}

function fromMap(value: object): Parsed<SecretRef> {
  const [[kind, rest] = ['', undefined], more] = Object.entries(value);
  if (more !== undefined) return wrong(sourceForms);
  if (kind === 'command') return argv(rest);
  if (kind === 'env' && typeof rest === 'string') return variable(rest);
  if (kind === 'file' && typeof rest === 'string') return file(rest);
  return wrong(sourceForms);
}

function variable(name: string): Parsed<SecretRef> {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
    ? ok({ from: 'env', name })
    : wrong('must be env:NAME, with the name of an environment variable');
}

/** `$CREDENTIALS_DIRECTORY/…` is where systemd puts a service's secrets (systemd.exec(5)). */
function file(path: string): Parsed<SecretRef> {
  return path === '' ? wrong('must be file:PATH') : ok({ from: 'file', path });
}

function command(written: string): Parsed<SecretRef> {
  if (!written.startsWith('[') || !written.endsWith(']'))
    return wrong('must give the command as a list: command:[program, argument]');
  try {
    return argv(parseYaml(written, { logLevel: 'silent' }));
  } catch {
    return wrong(
      'must give the command as a list: command:[program, argument], with quotes where YAML needs them',
    );
  }
}

function argv(value: unknown): Parsed<SecretRef> {
  const read = argumentList(value);
  if ('problem' in read)
    return wrong('must give the command as a list of text: command: [program, argument]');
  return ok({ from: 'command', argv: read.value });
}

function literal(): Parsed<SecretRef> {
  return wrong(
    `${sourceForms}; a secret itself never stands in this file: put it into the keychain with tunnel secret set`,
    storeSecret,
  );
}

/** What `tunnel open` may hand to a desktop, which runs a program of its choice for it. */
export const urlPattern = /^(https?|vnc|rdp|ssh|postgres|mysql|redis):/i;

/** `open:` a URL, with places to fill in. */
export function url(value: unknown): Parsed<string> {
  const read = text(value);
  if ('problem' in read) return read;
  if (!urlPattern.test(read.value) || /\s/.test(read.value))
    return wrong('must be a URL of http, https, vnc, rdp, ssh, postgres, mysql or redis');
  return variableText(read.value);
}
