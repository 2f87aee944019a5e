// Addresses as the config writes them: ports, HOST:PORT, [V6]:PORT, socket paths, [user@]host[:port], and ssh's -L -R -D. Pure.
import {
  harmless,
  harmlessRule,
  ok,
  port,
  several,
  text,
  word,
  wrong,
  type Fault,
  type Parsed,
} from './value.ts';
import { isIPv6, tcp, type Endpoint } from '../model/endpoint.ts';
import { portRange } from './ranges.ts';

const localForms = 'must be PORT, HOST:PORT, "[V6]:PORT", /path.sock or auto';
const targetForms = 'must be PORT, HOST:PORT, "[V6]:PORT" or /path.sock';

/** Where a local or dynamic forward listens. A bare port is on 127.0.0.1; `auto` is port 0. Paths may begin with ~/ or ./ */
export function localListen(value: unknown): Parsed<Endpoint> {
  if (value === 'auto') return ok(tcp('127.0.0.1', 0));
  if (value === 0 || value === '0') return wrong('must be 1-65535, or auto for a free port');
  return address(value, localForms, { autoPort: true, zero: false, wildcard: true });
}

/** The target of a forward, dialled from the server for a local forward, from here for a remote one. A bare port is on 127.0.0.1. */
export function target(value: unknown): Parsed<Endpoint> {
  return address(value, targetForms, { autoPort: false, zero: false, wildcard: false });
}

/** Where a remote forward listens on the server: port 0 lets the server pick. A bare port is on its loopback. */
export function remoteListen(value: unknown): Parsed<Endpoint> {
  if (value === 0 || value === '0') return ok(tcp('127.0.0.1', 0));
  const bare =
    typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value)) ? port(value) : null;
  if (bare !== null) return 'problem' in bare ? bare : ok(tcp('127.0.0.1', bare.value));
  return address(value, 'must be PORT, HOST:PORT, "[V6]:PORT", /path.sock or 0', {
    autoPort: false,
    zero: true,
    wildcard: true,
  });
}

/** `metrics:` PORT or HOST:PORT. */
export function tcpListen(value: unknown): Parsed<{ readonly host: string; readonly port: number }> {
  const forms = 'must be PORT, HOST:PORT or "[V6]:PORT"';
  const read = address(value, forms, { autoPort: false, zero: false, wildcard: true });
  if ('problem' in read) return read;
  return read.value.kind === 'tcp' ? ok({ host: read.value.host, port: read.value.port }) : wrong(forms);
}

interface Rules {
  readonly autoPort: boolean;
  readonly zero: boolean;
  readonly wildcard: boolean;
}

function address(value: unknown, forms: string, rules: Rules): Parsed<Endpoint> {
  if (typeof value === 'number' || (typeof value === 'string' && /^\d+$/.test(value))) {
    const bare = port(value);
    return 'problem' in bare ? bare : ok(tcp('127.0.0.1', bare.value));
  }
  if (Array.isArray(value)) return wrong(`${forms}; YAML needs quotes around "[V6]:PORT"`);
  const written = text(value);
  if ('problem' in written) return typeof value === 'string' ? written : wrong(forms);
  if (isPath(written.value)) return socketPath(written.value);
  if (/\$\{?\w/.test(written.value)) return wrong(`${forms}; no variables are filled in here`);
  if ('value' in spelledForward(`L ${written.value}`) && !isIPv6(written.value))
    return wrong(
      'is a whole forward as ssh writes it: put it in forwards: as "L …", or write local and remote apart',
    );
  const split = splitHostPort(written.value);
  if (split === 'unbracketed') return wrong('must have IPv6 in brackets, and quotes around it: "[::1]:5432"');
  if (split === null) return wrong(forms);
  return hostAndPort(split, forms, rules);
}

function hostAndPort(split: { host: string; port: string }, forms: string, rules: Rules): Parsed<Endpoint> {
  if (split.host === '') return wrong('must name the host before ":", 0.0.0.0 for every interface');
  if (split.host === '*' && !rules.wildcard) return wrong(forms);
  if (split.host !== '*' && !/^[^\s/@*[\]]+$/.test(split.host)) return wrong(forms);
  if (rules.autoPort && split.port === 'auto') return ok(tcp(split.host, 0));
  if (rules.zero && split.port === '0') return ok(tcp(split.host, 0));
  const read = /^\d+$/.test(split.port) ? port(split.port) : wrong<number>(forms);
  return 'problem' in read ? read : ok(tcp(split.host, read.value));
}

function isPath(written: string): boolean {
  return /^(\/|~\/|\.\.?\/)/.test(written);
}

/** sun_path holds 108 bytes at most, with its NUL (unix(7)); a path with ~ is measured again where it is bound. */
function socketPath(path: string): Parsed<Endpoint> {
  if (path.endsWith('/')) return wrong('must be the path of a socket, not of a folder');
  if (Buffer.byteLength(path) > 107)
    return wrong('must be a path of at most 107 bytes: a socket has no room for more');
  return ok({ kind: 'unix', path });
}

/** Splits HOST:PORT or [V6]:PORT; 'unbracketed' for IPv6 without its brackets; null for neither. */
function splitHostPort(written: string): { host: string; port: string } | 'unbracketed' | null {
  const bracketed = /^\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]:(\w+)$/.exec(written);
  if (bracketed !== null) return { host: bracketed[1] ?? '', port: bracketed[2] ?? '' };
  if (isIPv6(written) || isIPv6(written.slice(0, written.lastIndexOf(':')))) return 'unbracketed';
  const plain = /^([^:]*):(\w+)$/.exec(written);
  return plain === null ? null : { host: plain[1] ?? '', port: plain[2] ?? '' };
}

export interface Login {
  readonly user: string | null;
  readonly host: string;
  readonly port: number | null;
}

/**
 * [user@]host[:port], with IPv6 in brackets, or the same behind ssh:// . The host may be an alias, and ssh_config takes
 * nearly any word for one (aws/box/1, a:b): only digits behind the one colon are a port.
 */
export function login(value: unknown): Parsed<Login> {
  const read = word(value);
  if ('problem' in read) return read;
  const [, scheme = '', written = ''] = /^(ssh:\/\/)?(.*)$/is.exec(read.value) ?? [];
  const plain = scheme === '' ? written : written.replace(/\/$/, '');
  const at = plain.lastIndexOf('@');
  const user = at < 0 ? null : plain.slice(0, at);
  const rest = plain.slice(at + 1);
  const bracketed = /^\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\](?::(\d+))?$/.exec(rest);
  const match = bracketed ?? /^([^:[\]]+):(\d+)$/.exec(rest) ?? /^([^[\]]+)$/.exec(rest);
  const [, host = '', digits] = match ?? [];
  const isUriPath = scheme !== '' && host.includes('/');
  if (host === '' || isUriPath || user === '' || user?.startsWith('-') || host.startsWith('-'))
    return wrong('must be a name, or [user@]host[:port]');
  if (!harmless(host, 'host') || !harmless(user ?? '', 'user')) return wrong(harmlessRule);
  if (digits === undefined) return ok({ user, host, port: null });
  const number = port(digits);
  if ('problem' in number) return wrong(`has a port that ${number.problem}`);
  return ok({ user, host, port: number.value });
}

/** True for a name that only ssh_config can give a meaning: no network knows a host of that name. */
export function isAliasOnly(host: string): boolean {
  return /[/:]/.test(host) && !isIPv6(host);
}

/** A name or an address and nothing else; brackets around IPv6 are taken off. */
export function hostAddress(value: unknown): Parsed<string> {
  const read = word(value);
  if ('problem' in read) return read;
  const bare = read.value.replace(/^\[([0-9A-Fa-f:.%\w]+)\]$/, '$1');
  if (bare.includes('@')) return wrong('must be a host name alone: the user has a key of its own, user');
  if (/^[^:]*:\d+$/.test(bare) || bare.includes(']'))
    return wrong('must be a host name alone: the port has a key of its own, port');
  if (!harmless(bare, 'host')) return wrong(harmlessRule);
  return /^[^\s/,[\]]+$/.test(bare) ? ok(bare) : wrong('must be a host name or an address');
}

/** Hops, nearest first: a list, or one text with commas as ssh's ProxyJump writes it. `none` clears what was inherited. */
export function hops(value: unknown): Parsed<readonly string[]> {
  if (value === 'none') return ok([]);
  if (typeof value === 'string') {
    const items = value.split(',').map((each) => each.trim());
    const bad = items.map((item) => login(item)).find((read) => 'problem' in read);
    if (bad === undefined) return ok(items);
    return items.length > 1 && 'problem' in bad ? wrong(`has an entry that ${bad.problem}`) : (bad as Fault);
  }
  if (!Array.isArray(value)) return wrong('must be a host, or a list of hosts');
  return several(value.entries(), (item) => {
    const read = login(item);
    return 'value' in read ? ok(String(item)) : read;
  });
}

/** HOST:PORT globs that a SOCKS server may reach; `*` for any port. */
export function targetGlob(value: unknown): Parsed<string> {
  const forms = 'must be HOST:PORT, where * stands for any part';
  const read = text(value);
  if ('problem' in read) return read;
  const match = /^(\[[^\]\s]+\]|[^:\s]+):(\d+|\*)$/.exec(read.value);
  if (match === null) return wrong(forms);
  const number = match[2] === '*' ? ok(0) : port(match[2]);
  return 'problem' in number ? number : read;
}

export interface SpelledForward {
  readonly spelled: true;
  readonly type: 'local' | 'remote' | 'dynamic';
  readonly local?: Endpoint;
  readonly remote?: Endpoint;
  /** Of a range: how many forwards it stands for; the endpoints are the first one's. */
  readonly count?: number;
}

const forms =
  'must be a map, or ssh\'s spelling: "L [bind:]port:host:port", "R [bind:]port:host:port" or "D [bind:]port"';

/** One `forwards:` item that is a text. `R [bind:]port` alone is a SOCKS server on the far side. */
export function spelledForward(value: unknown): Parsed<SpelledForward> {
  const read = text(value);
  if ('problem' in read) return wrong(forms);
  const match = /^-?([LRD])\s*(\S+)$/.exec(read.value.trim());
  const parts = match === null ? null : splitColons(match[2] ?? '');
  if (match === null || parts === null) return wrong(forms);
  const zero = match[1] === 'R';
  const listen = takeListen(parts, zero);
  if ('problem' in listen) return listen;
  const rest = parts.slice(listen.value.used);
  if (rest.length === 0 && listen.value.count > 1)
    return wrong('is a range: only a forward with a target at its other end can be one');
  if (match[1] === 'D')
    return rest.length === 0
      ? { value: { spelled: true, type: 'dynamic', local: listen.value.endpoint } }
      : wrong('must be "D [bind:]port"');
  if (rest.length === 0 && match[1] === 'R')
    return { value: { spelled: true, type: 'remote', remote: listen.value.endpoint } };
  const dialled = takeTarget(rest);
  if ('problem' in dialled) return dialled;
  const { endpoint, count } = dialled.value;
  if (count !== listen.value.count)
    return wrong(`has ${listen.value.count} and ${count} ports: a range needs the same number at both ends`);
  const spelled = { spelled: true, ...(count === 1 ? {} : { count }) } as const;
  return match[1] === 'L'
    ? { value: { ...spelled, type: 'local', local: listen.value.endpoint, remote: endpoint } }
    : { value: { ...spelled, type: 'remote', remote: listen.value.endpoint, local: endpoint } };
}

/** Cuts at colons outside brackets; brackets are taken off. Null when they do not pair. */
function splitColons(written: string): string[] | null {
  const parts: string[] = [];
  const pattern = /(?:\[([^\]]*)\]|([^:[\]]*))(:|$)/y;
  while (pattern.lastIndex <= written.length) {
    const match = pattern.exec(written);
    if (match === null) return null;
    parts.push(match[1] ?? match[2] ?? '');
    if (match[3] === '') return parts;
  }
  return parts;
}

interface Taken {
  readonly endpoint: Endpoint;
  /** How many ports; 1 for what is no range. */
  readonly count: number;
}

/** The listening side: a socket path, a port, or bind and port. An empty or `*` bind is every interface, as in ssh. */
function takeListen(parts: readonly string[], zero: boolean): Parsed<Taken & { readonly used: number }> {
  const [first = '', second = ''] = parts;
  if (first.startsWith('/')) return { value: { endpoint: { kind: 'unix', path: first }, used: 1, count: 1 } };
  if (first === 'auto' && !zero) return { value: { endpoint: tcp('127.0.0.1', 0), used: 1, count: 1 } };
  const bare = /^\d+(-\d+)?$/.test(first);
  const written = bare ? first : second;
  const ports = zero && written === '0' ? { value: { first: 0, count: 1 } } : portRange(written);
  if (ports === null) return wrong(forms);
  if ('problem' in ports) return inPort(ports);
  const bind = bare ? '127.0.0.1' : first === '' ? '*' : first;
  const { first: number, count } = ports.value;
  return { value: { endpoint: tcp(bind, number), used: bare ? 1 : 2, count } };
}

function takeTarget(parts: readonly string[]): Parsed<Taken> {
  const [first = '', second = ''] = parts;
  if (parts.length === 1 && first.startsWith('/'))
    return { value: { endpoint: { kind: 'unix', path: first }, count: 1 } };
  const ports = portRange(second);
  if (parts.length !== 2 || first === '' || ports === null) return wrong(forms);
  if ('problem' in ports) return inPort(ports);
  return { value: { endpoint: tcp(first, ports.value.first), count: ports.value.count } };
}

const inPort = ({ problem }: Fault): Fault =>
  wrong<never>(problem.startsWith('is ') ? problem : `has a port that ${problem}`) as Fault;
