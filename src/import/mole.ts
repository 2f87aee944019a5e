// mole's TOML: one alias a file, sources and destinations in pairs (github.com/davrodpin/mole). Pure.
import { withHost } from './boring.ts';
import { lineOf, listOf, mapOf, nameFrom, textOf } from './found.ts';
import type { Found, LeftBehind, Setting } from './found.ts';

const passedOver = [
  'verbose',
  'detach',
  'rpc',
  'rpc-address',
  'config',
  'connection-retries',
  'wait-and-retry',
];
const used = [
  'name',
  'type',
  'source',
  'destination',
  'server',
  'key',
  'keep-alive-interval',
  'timeout',
  'ssh-agent',
];

export function readMole(document: unknown, text: string): Found {
  const file = mapOf(document);
  const left: LeftBehind[] = [];
  const leave = (key: string, reason: string): unknown =>
    left.push({ line: lineOf(text, new RegExp(`^\\s*${key}\\s*=`)), reason });
  const [sources, destinations] = [addresses(file['source']), addresses(file['destination'])];
  const server = textOf(file['server']);
  const letter = textOf(file['type']) === 'remote' ? 'R' : 'L';
  if (file['insecure'] === true)
    leave('insecure', 'insecure is not carried over: host keys are always checked here');
  for (const key of Object.keys(file))
    if (!passedOver.includes(key) && !used.includes(key) && key !== 'insecure')
      leave(key, `${key} is not carried over`);
  if (server === null) leave('server', 'it names no server');
  if (sources.length === 0 || sources.length !== destinations.length)
    leave('source', 'source and destination are not the same number of addresses');
  if (server === null || sources.length === 0 || sources.length !== destinations.length)
    return { tunnels: [], left };
  const forwards = sources.map((source, index) => ({
    letter: letter as 'L' | 'R',
    spec: `${withHost(source)}:${withHost(destinations[index] ?? '')}`,
  }));
  const line = lineOf(text, /^\s*server\s*=/);
  const name = nameFrom(textOf(file['name']));
  return { tunnels: [{ name, line, host: server, forwards, settings: settingsOf(file) }], left };
}

function settingsOf(file: Readonly<Record<string, unknown>>): Record<string, Setting> {
  const [key, agent] = [textOf(file['key']), textOf(file['ssh-agent'])];
  const [interval, timeout] = [textOf(file['keep-alive-interval']), textOf(file['timeout'])];
  return {
    ...(key === null ? {} : { identity: [key] }),
    ...(agent === null ? {} : { agent }),
    ...(interval === null ? {} : { keepalive: { interval } }),
    ...(timeout === null ? {} : { connect_timeout: timeout }),
  };
}

const addresses = (value: unknown): readonly string[] =>
  (typeof value === 'string' ? [value] : listOf(value)).flatMap((each) => textOf(each) ?? []);
