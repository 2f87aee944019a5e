// `tunnel __complete`, which the scripts of `tunnel completion` call at each Tab: what can stand at the cursor, a line each. It starts
// nothing, runs nothing, asks nothing and says nothing of faults: what cannot be had is left out.
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import type { Context } from '../client/context.ts';
import { locateTarget, type Target } from '../client/supervisor.ts';
import { namesIn, type ConfigNames, type NamedTunnel } from '../config/names.ts';
import { namePattern } from '../config/value.ts';
import { askAtOnce } from '../control/reach.ts';
import { readForeignTextNow } from '../files/foreign-file.ts';
import { atCursor, type AtCursor } from './at-cursor.ts';
import { commands } from './commands.ts';
import { print } from './output.ts';

/** A word, and what a shell may show beside it. */
type Candidate = readonly [word: string, about: string];

/**
 * `args`: the shell, and the words behind `tunnel` as they stand there, the last one up to the cursor. Prints a candidate a
 * line, with a tab before what is said of it; the first line may be `:files`: the shell's own are to be offered too. Answers 0, whatever happens.
 */
export async function complete(args: readonly string[], context: Context): Promise<number> {
  const [shell = '', ...typed] = args;
  const line = typed.map(unquoted);
  const current = line.at(-1) ?? '';
  try {
    const at = atCursor(line, commands);
    // Bash shows no descriptions: there the supervisor need not be asked. It filters nothing itself either.
    const plain = shell === 'bash';
    const found = await candidatesAt(at, current, placeOf(context, at), plain);
    const lines = plain
      ? found.flatMap(([word]) => (word.startsWith(current) ? [word] : []))
      : found.map(([word, about]) => (about === '' ? word : `${word}\t${about}`));
    if (at.kinds.includes('file')) lines.unshift(':files');
    if (lines.length > 0) print(lines.map((each) => `${each}\n`).join(''));
  } catch {
    // a state folder that cannot be read, say: a shell can make nothing of it
  }
  return 0;
}

/** A word as the shell would give it to the program; a quote may still be open. */
function unquoted(word: string): string {
  return word.replace(/'([^']*)'?|"((?:\\.|[^"\\])*)"?|\\(.?)/gs, (_, single, double, escaped) =>
    String(single ?? (double as string | undefined)?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? ''),
  );
}

type Place = Pick<Context, 'facts' | 'places' | 'options'>;

const placeOf = ({ facts, places, options }: Context, { config }: AtCursor): Place => ({
  facts,
  places,
  options: { ...options, config },
});

async function candidatesAt(
  at: AtCursor,
  current: string,
  place: Place,
  plain: boolean,
): Promise<readonly Candidate[]> {
  const found: Candidate[] = [...at.words];
  const wants = (...kinds: readonly string[]): boolean => at.kinds.some((kind) => kinds.includes(kind));
  if (wants('selector', 'tunnel', 'tag', 'host')) {
    const target = targetOf(place);
    const names = namesOf(target, place);
    const tunnels = wants('selector', 'tunnel', 'tag') ? await tunnelsOf(names, target, plain) : [];
    if (wants('selector', 'tunnel')) found.push(...tunnels.map(({ name, state }) => [name, state] as const));
    if (wants('selector')) found.push(...tagsOf(tunnels, 'tag:'));
    if (wants('tag')) found.push(...tagsOf(tunnels, ''));
    if (wants('host')) found.push(...(await hostsOf(names, current, place)));
  }
  if (wants('trusted')) found.push(...trustedHosts(place).map((host) => [host, 'trusted'] as const));
  return found
    .filter(([word]) => !at.given.includes(word))
    .map(([word, about]) => [`${at.before}${word}`, about] as const);
}

/** Null: there is no config, and no supervisor that ever served one. */
function targetOf(place: Place): Target | null {
  try {
    return locateTarget(place);
  } catch {
    return null;
  }
}

/** Of the file and what it includes; none where there is none. A project file need not be allowed: nothing in it is acted on. */
function namesOf(target: Target | null, { facts }: Place): ConfigNames {
  const all: { tunnels: NamedTunnel[]; hosts: string[] } = { tunnels: [], hosts: [] };
  const seen = new Set<string>();
  const visit = (file: string): void => {
    if (seen.has(file) || seen.size > 64) return;
    seen.add(file);
    let names: ConfigNames;
    try {
      names = namesIn(readForeignTextNow(file));
    } catch {
      return; // not there, not ours to read, no regular file
    }
    all.tunnels.push(...names.tunnels);
    all.hosts.push(...names.hosts);
    for (const each of names.includes) {
      const expanded = each.startsWith('~/') ? join(facts.home, each.slice(2)) : each;
      visit(isAbsolute(expanded) ? expanded : join(dirname(file), expanded));
    }
  };
  if (target !== null) visit(target.path);
  return { ...all, includes: [] };
}

type Tunnel = NamedTunnel & { readonly state: string };

/** What the supervisor holds comes with its state, and what is gone from the file is known to it alone. */
async function tunnelsOf(
  names: ConfigNames,
  target: Target | null,
  plain: boolean,
): Promise<readonly Tunnel[]> {
  if (target === null) return [];
  const held = plain ? null : await heldBy(target);
  const stateOf = (name: string): string => held?.find((tunnel) => tunnel.name === name)?.state ?? 'down';
  const written = names.tunnels.map((tunnel) => ({
    ...tunnel,
    state: held === null ? '' : stateOf(tunnel.name),
  }));
  const known = new Set(names.tunnels.map(({ name }) => name));
  const others = (held ?? wantedTunnels(target)).filter(({ name }) => namePattern.test(name));
  return [...written, ...others.filter(({ name }) => !known.has(name))];
}

/** Past it the names come without their states: whoever pressed Tab waits. */
const patienceMs = 500;

/** The tunnels of the supervisor, none where none runs. Null: it does not answer. */
async function heldBy({ supervisor, owner }: Target): Promise<readonly Tunnel[] | null> {
  try {
    const call = { method: 'status', params: { selectors: [] } } as const;
    return (await askAtOnce(supervisor, owner, call, patienceMs))?.tunnels ?? [];
  } catch {
    return null;
  }
}

/** Of a tunnel that is gone from its file, from what the supervisor wrote down. */
function wantedTunnels({ supervisor }: Target): readonly Tunnel[] {
  try {
    const { names } = JSON.parse(readFileSync(supervisor.wanted, 'utf8')) as { names: readonly string[] };
    return names.map((name) => ({ name, tags: [], state: '' }));
  } catch {
    return []; // nothing was ever wanted
  }
}

function tagsOf(tunnels: readonly Tunnel[], before: string): readonly Candidate[] {
  const counts = new Map<string, number>();
  for (const tag of tunnels.flatMap(({ tags }) => tags)) counts.set(tag, (counts.get(tag) ?? 0) + 1);
  return [...counts].map(([tag, count]) => [
    `${before}${tag}`,
    `${count} ${count === 1 ? 'tunnel' : 'tunnels'}`,
  ]);
}

/** What a word of a shell may hold without quotes. */
const plainWord = /^[\w.:@%+[\]-]+$/;

/** Of the file and of ssh_config; behind `me@` too. */
async function hostsOf(names: ConfigNames, current: string, { facts }: Place): Promise<readonly Candidate[]> {
  const { sshAliases } = await import('../config/ssh-config/aliases.ts');
  const user = /^[^@]*@/.exec(current)?.[0] ?? '';
  const aliases = sshAliases(facts.home).names.filter(
    (name) => plainWord.test(name) && !names.hosts.includes(name),
  );
  return [
    ...names.hosts.map((name) => [`${user}${name}`, 'hosts:'] as const),
    ...[...new Set(aliases)].map((name) => [`${user}${name}`, 'ssh_config'] as const),
  ];
}

/** Names of our own store, as `hosts forget` takes them. */
function trustedHosts({ places }: Place): readonly string[] {
  try {
    const lines = readForeignTextNow(places.knownHosts).split('\n');
    const hosts = lines.flatMap((line) => (/^[#@|]/.test(line) ? [] : (line.split(' ')[0] ?? '').split(',')));
    return [...new Set(hosts)].filter((host) => host !== '' && plainWord.test(host));
  } catch {
    return []; // nothing is trusted yet
  }
}
