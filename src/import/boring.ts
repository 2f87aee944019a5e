// boring's TOML: [[tunnels]] with local, remote, host, mode and a group (github.com/alebeck/boring). Pure.
import { lineOf, listOf, mapOf, nameFrom, textOf } from './found.ts';
import type { Found, FoundTunnel, LeftBehind, Setting, SshForward } from './found.ts';

const letters: Readonly<Record<string, SshForward['letter']>> = { local: 'L', remote: 'R', socks: 'D' };
const known = new Set('name local remote host mode user identity port group keep_alive'.split(' '));

export function readBoring(document: unknown, text: string): Found {
  const left: LeftBehind[] = [];
  const tunnels = listOf(mapOf(document)['tunnels']).flatMap((each, index): FoundTunnel[] => {
    const line = lineOf(text, /^\s*\[\[\s*tunnels\s*\]\]/, index);
    const entry: Readonly<Record<string, unknown>> = {
      keep_alive: mapOf(document)['keep_alive'],
      ...mapOf(each),
    };
    const reason = whyNot(entry);
    for (const key of Object.keys(entry).filter((name) => !known.has(name)))
      left.push({ line, reason: `${key} is not carried over` });
    if (reason === null) return [tunnelOf(entry, line)];
    left.push({ line, reason: `${textOf(entry['name']) ?? 'a tunnel'}: ${reason}` });
    return [];
  });
  return { tunnels, left };
}

function whyNot(entry: Readonly<Record<string, unknown>>): string | null {
  const mode = textOf(entry['mode']) ?? 'local';
  if (mode === 'socks-remote') return 'a SOCKS server on the far side needs allow: with what it may reach';
  if (letters[mode] === undefined) return `mode ${mode} is not known here`;
  const needed = mode === 'socks' ? ['host', 'local'] : ['host', 'local', 'remote'];
  const missing = needed.find((key) => textOf(entry[key]) === null);
  if (missing !== undefined) return `it has no ${missing}`;
  const variable = Object.values(entry).find((value) => textOf(value)?.includes('${') === true);
  if (variable !== undefined)
    return `${textOf(variable)} is filled in from the environment: write its value instead`;
  const [one, other] = [portsOf(entry['local']), portsOf(entry['remote'])];
  return mode === 'socks' || one.length === other.length
    ? null
    : 'local and remote list different numbers of ports';
}

function tunnelOf(entry: Readonly<Record<string, unknown>>, line: number): FoundTunnel {
  const letter = letters[textOf(entry['mode']) ?? 'local'] ?? 'L';
  const [here, there] = [portsOf(entry['local']), portsOf(entry['remote'])];
  const [listen, dialled] = letter === 'R' ? [there, here] : [here, there];
  const forwards = listen.map((address, index) => ({
    letter,
    spec: letter === 'D' ? address : `${address}:${withHost(dialled[index] ?? '')}`,
  }));
  const group = nameFrom(textOf(entry['group']));
  const interval = textOf(entry['keep_alive']);
  const settings: Record<string, Setting> = {
    ...(textOf(entry['user']) === null ? {} : { user: textOf(entry['user']) ?? '' }),
    ...(textOf(entry['port']) === null ? {} : { port: Number(entry['port']) }),
    ...(textOf(entry['identity']) === null ? {} : { identity: [textOf(entry['identity']) ?? ''] }),
    ...(interval === null ? {} : { keepalive: { interval: `${interval}s` } }),
    ...(group === null ? {} : { tags: [group] }),
    autostart: false, // boring opens what it is told to, one by one
  };
  return {
    name: nameFrom(textOf(entry['name'])),
    line,
    host: textOf(entry['host']) ?? '',
    forwards,
    settings,
  };
}

/** `HOST:8000-8010,8080`: each port or range with the host in front. */
function portsOf(value: unknown): readonly string[] {
  const written = textOf(value) ?? '';
  const [, host = '', ports = ''] = /^(.*:)?([\d,\s-]+)$/.exec(written) ?? [];
  if (ports === '') return [written];
  return ports.split(',').map((each) => `${host}${each.trim()}`);
}

/** A bare port is on the machine that dials. */
export const withHost = (address: string): string =>
  /^\d+(-\d+)?$/.test(address) ? `127.0.0.1:${address}` : address.replace(/^:/, '127.0.0.1:');
