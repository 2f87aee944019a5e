// Endpoints: where to listen or dial, as values, their one written form, and which are in each other's way.
import { normalize } from 'node:path';

export interface TcpEndpoint {
  readonly kind: 'tcp';
  /** A host name or address without brackets. */
  readonly host: string;
  /** 0-65535; 0 only where a listener lets the system choose. */
  readonly port: number;
}

export interface UnixEndpoint {
  readonly kind: 'unix';
  /** Absolute path of the socket. */
  readonly path: string;
}

export type Endpoint = TcpEndpoint | UnixEndpoint;

export function tcp(host: string, port: number): TcpEndpoint {
  return { kind: 'tcp', host, port };
}

/** HOST:PORT, [V6]:PORT or /path.sock: what status prints and the config accepts. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return endpoint.path;
  return formatHostPort(endpoint.host, endpoint.port);
}

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Addresses a listener binds for a written host: `localhost` means both loopbacks (SPEC 2). */
export function bindHosts(host: string): readonly string[] {
  if (host.toLowerCase() === 'localhost') return ['127.0.0.1', '::1'];
  if (host === '*') return ['::'];
  return [host];
}

/** True when only this machine can reach a listener bound to the endpoint. */
export function isLoopback(endpoint: Endpoint): boolean {
  if (endpoint.kind === 'unix') return true;
  const host = plainAddress(endpoint.host);
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** True when both cannot be listened on at once (by the way they are written). Port 0 is never in the way. */
export function collide(a: Endpoint, b: Endpoint): boolean {
  if (a.kind === 'unix' || b.kind === 'unix') return a.kind === b.kind && placeOf(a) === placeOf(b);
  if (a.port !== b.port || a.port === 0) return false;
  const others = bindHosts(b.host).map(plainAddress);
  return bindHosts(a.host)
    .map(plainAddress)
    .some((host) => others.some((other) => host === other || covers(host, other) || covers(other, host)));
}

/** Only endpoints of one place, a port or a path, can collide. */
export function placeOf(endpoint: Endpoint): number | string {
  return endpoint.kind === 'unix' ? normalize(endpoint.path) : endpoint.port;
}

/** `::` takes IPv4 too where the system is dual-stack, as Node binds it; 0.0.0.0 leaves IPv6 alone. */
function covers(wildcard: string, other: string): boolean {
  return wildcard === '::' || (wildcard === '0.0.0.0' && !other.includes(':'));
}

/** One spelling of an address, and of an IPv4 one in an IPv6 dress; a name in small letters. */
function plainAddress(written: string): string {
  const [host = '', ...zone] = written.toLowerCase().split('%');
  if (host === '' || host === '*') return '::';
  if (!host.includes(':')) {
    // As inet_aton(3) reads them: 127.1, 0x7f.1
    const isAddress = /^(0x[\da-f]+|\d+)(\.(0x[\da-f]+|\d+)){0,3}$/.test(host);
    return isAddress ? (canonical(host) ?? host) : host;
  }
  const short = canonical(`[${host}]`)?.slice(1, -1) ?? host;
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(short);
  if (mapped === null) return [short, ...zone].join('%');
  return [mapped[1] ?? '', mapped[2] ?? '']
    .map((group) => Number.parseInt(group, 16))
    .flatMap((group) => [group >> 8, group & 255])
    .join('.');
}

/** True for an IPv6 address without brackets, with a zone or without. */
export function isIPv6(written: string): boolean {
  return written.includes(':') && canonical(`[${written.split('%')[0] ?? ''}]`) !== null;
}

function canonical(host: string): string | null {
  const url = `http://${host}/`;
  return URL.canParse(url) ? new URL(url).hostname : null;
}
