// `tunnel hosts`: the host keys that are trusted, by us and by ssh; forgetting one; and all of them as a known_hosts file.
import { forgetHost, type Forgotten } from '../../trust/changes.ts';
import { exportKeys, listKeys, type ListedKey } from '../../trust/list.ts';
import { hostKeyName, type Place } from '../../trust/known-hosts.ts';
import { createTrustStore, type TrustStore } from '../../trust/store.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import { listNames } from '../../render/error.ts';
import { renderTable } from '../../render/table.ts';
import { formatAge } from '../../render/units.ts';
import { TunnelError } from '../../errors.ts';
import { cleanText } from '../../model/clean.ts';
import { shellWord } from '../../model/shell-word.ts';
import { anyWords, usage, type CommandSpec, type Run } from '../command.ts';
import type { Context } from '../../client/context.ts';
import { join } from 'node:path';
import { checkConfig } from '../../config/load.ts';
import { formatAddress, formatLogin, type Host } from '../../model/host.ts';
import type { PlaceFacts } from '../../paths.ts';
import type { Where } from '../../client/supervisor.ts';
import { login } from '../../config/address.ts';
import { openHostNames, type HostNames } from '../../config/named-host.ts';

export const spec: CommandSpec = {
  name: 'hosts',
  words: '[list|forget HOST…|export]',
  stands: { HOST: 'trusted' },
  takes: anyWords,
  about: 'the host keys that are trusted',
  options: [
    { name: 'revoked', about: 'forget: take back that a key was revoked by trust --replace; keys stay' },
  ],
  examples: [
    ['tunnel hosts', 'each with its fingerprint and the line it stands on'],
    ['tunnel hosts forget katie.example.org', ''],
    ['tunnel hosts forget katie.example.org --revoked', 'after a key was replaced by mistake'],
    ['tunnel hosts export > known_hosts', 'for ssh -o UserKnownHostsFile='],
  ],
};

export const run: Run = async (context, args) => {
  const [action = 'list', ...names] = args.words;
  const store = createTrustStore({ file: context.places.knownHosts, now: context.now });
  switch (action) {
    case 'list':
    case 'export':
      if (names.length > 0)
        throw usage(`tunnel hosts ${action} takes no host, but got ${names.join(' ')}`, {
          command: 'hosts --help',
        });
      return action === 'list' ? list(context, store) : exportAll(context, store);
    case 'forget':
      if (names.length === 0) throw usage('tunnel hosts forget needs a HOST', { command: 'hosts list' });
      return forget(context, store, names, args.flag('revoked') ? 'revocations' : 'keys');
    default:
      throw usage(`tunnel hosts takes list, forget HOST or export, not ${shellWord(action)}`, {
        command: 'hosts --help',
      });
  }
};

async function list(context: Context, store: TrustStore): Promise<number> {
  const known = await store.read(foreignKnownHosts(context.facts, await hostsInConfig(context)));
  const keys = listKeys(known.entries, await store.seen.read());
  if (context.options.json) {
    context.json(keys);
    return 0;
  }
  if (keys.length === 0) context.talk('no host key is known yet');
  const head = ['HOST', 'TYPE', 'FINGERPRINT', 'WHERE', 'FIRST SEEN', 'LAST USED'];
  const rows = keys.map((key) => ({ cells: cellsOf(context, key) }));
  if (rows.length > 0) for (const line of renderTable(head, rows, context.paint)) context.out(line);
  return 0;
}

function cellsOf(context: Context, key: ListedKey): string[] {
  const type = cleanText(key.marker === null ? key.type : `${key.type} (${key.marker})`);
  const where = `${shortPath(key.file, context.facts)}:${key.line}`;
  return [
    cleanText(key.host),
    type,
    key.fingerprint,
    where,
    ago(context, key.firstSeen),
    ago(context, key.lastUsed),
  ];
}

function ago(context: Context, iso: string | null): string {
  return iso === null ? '-' : `${formatAge(context.now() - Date.parse(iso))} ago`;
}

async function exportAll(context: Context, store: TrustStore): Promise<number> {
  const known = await store.read(foreignKnownHosts(context.facts, await hostsInConfig(context)));
  const text = exportKeys(known.entries);
  if (text !== '') context.out(text.trimEnd());
  return 0;
}

async function forget(
  context: Context,
  store: TrustStore,
  words: readonly string[],
  what: 'keys' | 'revocations',
): Promise<number> {
  const hosts = await hostsInConfig(context);
  const foreign = foreignKnownHosts(context.facts, hosts);
  const lost: string[] = [];
  let trusted = false;
  for (const word of words) {
    const { exact, sameMachine } = await keyNamesOf(context, word, hosts);
    let result = await forgetAll(store, exact, foreign, what);
    if (isNothing(result)) result = await forgetAll(store, sameMachine, foreign, what);
    if (what === 'keys') showForgotten(context, word, result);
    else showUnrevoked(context, word, result);
    if (result.removed.length > 0) continue;
    lost.push(word);
    trusted ||= !isNothing(result);
  }
  if (lost.length < words.length) return 0;
  if (what === 'revocations')
    throw new TunnelError('USAGE', `no key of ${lost.join(', ')} is revoked in our own store`, {
      hint: { command: 'hosts list' },
    });
  const why = trusted ? 'our own store has no key' : 'no key is known';
  throw new TunnelError('USAGE', `${why} for ${listNames(lost, lost.length)}`, {
    hint: { command: 'hosts list' },
  });
}

async function forgetAll(
  store: TrustStore,
  names: readonly string[],
  foreign: readonly string[],
  what: 'keys' | 'revocations',
): Promise<Forgotten> {
  let all: Forgotten = { removed: [], kept: [], foreign: [] };
  for (const name of names) {
    const { removed, kept, foreign: lines } = await forgetHost(store, name, foreign, what);
    const isNew = ({ file, line }: Place): boolean =>
      ![...all.kept, ...all.foreign].some((one) => one.file === file && one.line === line);
    all = {
      removed: [
        ...all.removed,
        ...removed.filter((key) => all.removed.every((one) => one.fingerprint !== key.fingerprint)),
      ],
      kept: [...all.kept, ...kept.filter(isNew)],
      foreign: [...all.foreign, ...lines.filter(isNew)],
    };
  }
  return all;
}

const isNothing = ({ removed, kept, foreign }: Forgotten): boolean =>
  removed.length + kept.length + foreign.length === 0;

function showUnrevoked(context: Context, name: string, { removed, foreign }: Forgotten): void {
  for (const key of removed) context.out(`no longer revoked for ${name}: ${key.type} ${key.fingerprint}`);
  for (const { file, line } of foreign) {
    context.talk(`${name}: a key is still revoked by ${shortPath(file, context.facts)}:${line}`);
    context.talk(`hint: edit ${file}, line ${line}`);
  }
}

function showForgotten(context: Context, name: string, { removed, kept, foreign }: Forgotten): void {
  for (const key of removed) context.out(`forgot ${name} ${key.type} ${key.fingerprint}`);
  for (const entry of kept)
    context.talk(
      `${name}: stays at ${shortPath(entry.file, context.facts)}:${entry.line}${entry.marker === null ? '' : ` (@${entry.marker})`}`,
    );
  for (const line of foreign) {
    context.talk(`${name} is still trusted by ${line.file}:${line.line} (${line.type} ${line.fingerprint})`);
    context.talk(`hint: ${line.command ?? `edit ${line.file}, line ${line.line}`}`);
  }
}

/** Those of ssh, and of the hosts; each once. */
export function foreignKnownHosts(
  { home }: Pick<PlaceFacts, 'home'>,
  hosts: readonly Pick<Host, 'knownHosts'>[],
): readonly string[] {
  const files = [
    join(home, '.ssh', 'known_hosts'),
    join(home, '.ssh', 'known_hosts2'),
    '/etc/ssh/ssh_known_hosts',
    '/etc/ssh/ssh_known_hosts2',
    ...hosts.flatMap(({ knownHosts }) => knownHosts),
  ];
  return [...new Set(files)];
}

/** Every host that the config goes through; none where there is no config, or a broken one. Runs nothing. */
export async function hostsInConfig({ places, facts, options }: Where): Promise<readonly Host[]> {
  try {
    const { config } = await checkConfig(findConfig(places, facts, options.config).path, facts);
    return config?.tunnels.flatMap(({ ways }) => ways.flat()) ?? [];
  } catch {
    return []; // the trusted keys can be told without it
  }
}

export interface KeyNames {
  /** As written; and of the hosts that this word names. */
  readonly exact: readonly string[];
  /** Of hosts of the config on that machine, on whatever port and under whatever alias. */
  readonly sameMachine: readonly string[];
}

/** `hosts`: what the tunnels go through. Runs nothing, and a config that cannot be read is none. */
export async function keyNamesOf(where: Where, word: string, hosts: readonly Host[]): Promise<KeyNames> {
  const written = storedName(word);
  if (word.startsWith('|')) return { exact: [word], sameMachine: [] };
  const named = hosts.filter((host) => [host.name, formatAddress(host), formatLogin(host)].includes(word));
  const same = hosts.filter(({ hostname }) => hostname.toLowerCase() === written);
  const resolved = await resolve(where, word);
  const names = [written, ...[...named, ...(resolved === null ? [] : [resolved])].map(nameOf)];
  return { exact: [...new Set(names)], sameMachine: [...new Set(same.map(nameOf))] };
}

const nameOf = (host: Host): string => hostKeyName(host.hostname, host.port, host.hostKeyAlias);

/** HOST, HOST:PORT and [HOST]:PORT all mean the name a known_hosts line has; port 22 is not written there. */
function storedName(word: string): string {
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(word.slice(word.lastIndexOf('@') + 1));
  if (bracketed !== null) return hostKeyName(bracketed[1] ?? '', Number(bracketed[2] ?? 22), null);
  const read = login(word);
  if ('problem' in read) return word;
  return hostKeyName(read.value.host, read.value.port ?? 22, null);
}

async function resolve(where: Where, word: string): Promise<Host | null> {
  const read = login(word);
  if ('problem' in read) return null;
  try {
    return (await hostNames(where).waysTo(word))[0].at(-1) ?? null;
  } catch {
    return null; // what ssh_config or the config says wrongly of it, `check` and `trust` tell
  }
}

function hostNames({ places, facts, options }: Where): HostNames {
  try {
    return openHostNames(findConfig(places, facts, options.config).path, facts, { run: false });
  } catch {
    return openHostNames(null, facts, { run: false });
  }
}
