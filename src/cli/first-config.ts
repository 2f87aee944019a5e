// The text of a first config: one host, one tunnel, and room to go on. Pure.
import { login } from '../config/address.ts';
import { addTunnel } from '../config/edit.ts';
import { parseFile } from '../config/parse.ts';
import { modeline } from '../config/schema.ts';
import { namePattern } from '../config/value.ts';

/** Of a file that we write. */
export const firstLines = `${modeline}
# Tunnels of \`tunnel\`. Every key: tunnels.example.yaml in the package, or \`tunnel schema\`.`;

export interface FirstTunnel {
  /** As answered: user@host[:port], or an ssh_config alias. */
  readonly host: string;
  readonly remote: string;
  readonly local: string;
  readonly name: string;
  /** The path of a private key, where the usual ones are not there. */
  readonly identity?: string | undefined;
}

/** A host that says more than its name gets an entry of its own, named after the server; a bare name is left to ssh_config. */
export function firstConfig({ host, remote, local, name, identity }: FirstTunnel): string {
  const read = login(host);
  const parts = 'value' in read ? read.value : { user: null, host, port: null };
  const own = parts.user !== null || parts.port !== null || identity !== undefined;
  const server = nameFor(host);
  const entry = [
    'hosts:',
    `  ${server}:`,
    `    hostname: ${scalar(parts.host)}`,
    ...(parts.user === null ? [] : [`    user: ${scalar(parts.user)}`]),
    ...(parts.port === null ? [] : [`    port: ${parts.port}`]),
    ...(identity === undefined ? [] : [`    identity: ${scalar(identity)}`]),
    '',
  ];
  return [
    firstLines,
    ...(own ? entry : []),
    'tunnels:',
    `  ${name}:`,
    `    host: ${own ? server : scalar(host)}`,
    `    local: ${scalar(local)}`,
    `    remote: ${scalar(remote)}`,
    '',
  ].join('\n');
}

/** True for a config without a fault but that: blank, comments only, or hosts and defaults that wait for a tunnel. */
export function hasNoTunnel(file: string, text: string): boolean {
  const { source, settings, issues } = parseFile(file, text);
  if (source.value === null) return source.issues.length === 0;
  return (
    issues.length === 0 && settings.include === undefined && Object.keys(settings.tunnels ?? {}).length === 0
  );
}

/** The text with the tunnel in it; all that stands there stays. */
export function withTunnel(text: string, { host, remote, local, name, identity }: FirstTunnel): string {
  const plain = (value: string): string | number => (/^[1-9]\d{0,4}$/.test(value) ? Number(value) : value);
  const key = identity === undefined ? {} : { identity };
  return addTunnel(text, name, { host, local: plain(local), remote: plain(remote), ...key });
}

/** Plain where YAML reads it back as the same text, quoted elsewhere. */
function scalar(text: string): string {
  if (/^[1-9]\d{0,4}$/.test(text)) return text;
  const plain =
    /^[A-Za-z/~][\w./~@+-]*(:\d+)?$/.test(text) && !/^(true|false|null|yes|no|on|off|~)$/i.test(text);
  return plain ? text : JSON.stringify(text);
}

/** A tunnel's name after its server: `katie` of me@katie.example.org, an address as it is. */
export function nameFor(host: string): string {
  const read = login(host);
  const server = 'value' in read ? read.value.host : host;
  const isAddress = /^[\d.]+$/.test(server) || server.includes(':');
  const name = isAddress ? server.replaceAll(/[^\w.-]/g, '-') : (server.split('.')[0] ?? server);
  return namePattern.test(name) ? name : 'tunnel';
}

/** The port of HOST:PORT or PORT; null for a socket. */
export function portOf(remote: string): string | null {
  return /(?:^|:)(\d+)$/.exec(remote)?.[1] ?? null;
}
