// A tunnel out of ssh's letters, as the file writes it: `-L 5432:db:5432 me@bastion`. Pure.
import { formatHostPort, type Endpoint } from '../model/endpoint.ts';
import { login, spelledForward, type SpelledForward } from './address.ts';
import type { NewTunnel } from './edit.ts';
import { namePattern, wrong, type Parsed } from './value.ts';

interface Written {
  readonly letter: 'L' | 'R' | 'D';
  readonly spec: string;
}

/** The keys of the tunnel in the order in which a person would write them. */
export function composeTunnel(
  host: string,
  forwards: readonly Written[],
  settings: NewTunnel,
): Parsed<NewTunnel> {
  const server = login(host);
  if ('problem' in server) return wrong(`${host} ${server.problem}`);
  const read: SpelledForward[] = [];
  for (const { letter, spec } of forwards) {
    const each = spelledForward(`${letter} ${spec}`);
    if ('problem' in each) return wrong(`-${letter} ${spec} ${each.problem}`);
    if (each.value.type === 'remote' && each.value.local === undefined)
      return wrong(
        `-R ${spec} is a SOCKS server on the far side: write it into the file, with allow: for what it may reach`,
      );
    read.push(each.value);
  }
  const [only] = read;
  if (only === undefined) return wrong('has no forward: -L, -R or -D');
  if (read.length === 1) return { value: { host, ...ends(only), ...settings } };
  const lines = forwards.map(({ letter, spec }) => `${letter} ${spec}`);
  return { value: { host, forwards: lines, ...settings } };
}

function ends({ type, local, remote, count = 1 }: SpelledForward): NewTunnel {
  const listens = type === 'remote' ? remote : local;
  const dials = type === 'remote' ? local : remote;
  const listen =
    listens === undefined
      ? {}
      : { [type === 'remote' ? 'remote' : 'local']: listenText(listens, count, type) };
  const dial =
    dials === undefined ? {} : { [type === 'remote' ? 'local' : 'remote']: dialText(dials, count) };
  return { ...(type === 'local' ? {} : { type }), ...listen, ...dial };
}

const ports = (port: number, count: number): string =>
  count === 1 ? `${port}` : `${port}-${port + count - 1}`;

function listenText(end: Endpoint, count: number, type: string): string | number {
  if (end.kind === 'unix') return end.path;
  if (end.port === 0 && type !== 'remote') return 'auto';
  if (end.host !== '127.0.0.1') return dialText(end, count);
  return count === 1 ? end.port : ports(end.port, count);
}

function dialText(end: Endpoint, count: number): string {
  if (end.kind === 'unix') return end.path;
  return `${formatHostPort(end.host, end.port).replace(/\d+$/, '')}${ports(end.port, count)}`;
}

/** `db-5432` after what it reaches, `socks-1080`; after the server where the target is on the server itself. */
export function nameByForward(host: string, [first]: readonly Written[]): string {
  const read = first === undefined ? null : spelledForward(`${first.letter} ${first.spec}`);
  if (read === null || 'problem' in read) return 'tunnel';
  const { type, local, remote } = read.value;
  const listens = type === 'remote' ? remote : local;
  const port = listens?.kind === 'tcp' && listens.port > 0 ? `-${listens.port}` : '';
  if (type === 'dynamic') return `socks${port}`;
  const dials = type === 'remote' ? undefined : remote;
  const far = dials?.kind === 'tcp' && !/^(localhost|[\d.]+|.*:.*)$/.test(dials.host) ? dials.host : null;
  const server = login(host);
  const base = far ?? ('value' in server ? server.value.host : 'tunnel');
  const label = /^[\d.]+$/.test(base) ? base : (base.split('.')[0] ?? base);
  return namePattern.test(label) ? `${label}${port}` : `tunnel${port}`;
}
