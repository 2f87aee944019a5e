// Endpoints: where to listen or dial, as values, and their one written form.

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
  const host = endpoint.host.toLowerCase();
  return (
    host === 'localhost' ||
    host === '::1' ||
    /^127(\.\d{1,3}){3}$/.test(host) ||
    host.startsWith('::ffff:127.')
  );
}

/** True for an address that stands for every interface. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '*' || host === '';
}
