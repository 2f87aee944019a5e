// Where `tunnel trust` and `tunnel ports` go: to the tunnels their words select, or to hosts, be they on the way of a tunnel or not.
import { login } from '../config/address.ts';
import { openHostNames, type HostNames } from '../config/named-host.ts';
import { nearest } from '../config/nearest.ts';
import { matchSelectors, selects } from '../config/selectors.ts';
import { TunnelError } from '../errors.ts';
import { eachCommand, isOfOneTunnel, withHint } from '../model/tunnel-hints.ts';
import { formatAddress, formatLogin, hopWord, type Host, type Way } from '../model/host.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { hostKeyName } from '../trust/known-hosts.ts';
import type { Context } from './context.ts';
import type { ReadyConfig } from './ready-config.ts';

export interface Route {
  /** The alternatives, in order. */
  readonly ways: Tunnel['ways'];
  /** The tunnel it is the way of; null for a host. */
  readonly tunnel: string | null;
  /** The servers that its word means: a hostname may be that of several. */
  readonly alternatives: number;
  /** What to call a hop so that the command finds it again. */
  readonly wordFor: (host: Host) => string;
}

/**
 * The routes to what the words mean, each once: a tunnel's name, glob or tag; else a host on the way of a tunnel; else a
 * host by the rules of `host:`. Throws NO_SUCH_TUNNEL for a word that can be none of these, before anything is dialled.
 */
export async function routesTo(
  words: readonly string[],
  config: ReadyConfig,
  context: Context,
  command: 'trust' | 'ports' = 'trust',
): Promise<readonly Route[]> {
  const { tunnels } = config.resolved;
  const isTunnel = (word: string): boolean => tunnels.some((tunnel) => selects(word, tunnel));
  const selectors = words.filter(isTunnel);
  const names = new Set(words.length > 0 && selectors.length === 0 ? [] : matchSelectors(selectors, tunnels));
  const hostNames = openHostNames(config.path, context.facts, { run: true });
  const wordFor = wordsOf(tunnels, hostNames);
  const routes: Route[] = tunnels
    .filter(({ name }) => names.has(name))
    .map(({ name, ways }) => ({
      ways,
      tunnel: name,
      alternatives: 1,
      wordFor: (host) => (isLast(host, ways) ? name : wordFor(host)),
    }));
  for (const word of words) {
    if (isTunnel(word)) continue;
    const ways = waysBySight(word, tunnels);
    for (const each of ways.length > 0
      ? ways
      : [await waysByName({ word, command }, tunnels, hostNames, context)])
      routes.push({
        ways: each,
        tunnel: null,
        alternatives: ways.length,
        wordFor: (host) => (ways.length <= 1 && isLast(host, each) ? word : wordFor(host)),
      });
  }
  return [...new Map(routes.map((route) => [JSON.stringify(route.ways), route])).values()];
}

const isLast = (host: Host, ways: Tunnel['ways']): boolean => ways.some((way) => way.at(-1) === host);

/** By its name where that leads to it, else by its address. */
function wordsOf(tunnels: readonly Tunnel[], names: HostNames): Route['wordFor'] {
  return (host) => {
    const seen = waysBySight(host.name, tunnels);
    return seen.length === 1 || (seen.length === 0 && names.isDeclared(host.name))
      ? host.name
      : formatAddress(host);
  };
}

/** The ways of tunnels, as far as a host that is known by this word; one for each name its keys may stand under. */
function waysBySight(word: string, tunnels: readonly Tunnel[]): readonly Tunnel['ways'][] {
  const found = new Map<string, Tunnel['ways']>();
  for (const way of tunnels.flatMap(({ ways }) => ways))
    for (const [at, host] of way.entries()) {
      if (![host.name, host.hostname, formatAddress(host), formatLogin(host)].includes(word)) continue;
      const key = hostKeyName(host.hostname, host.port, host.hostKeyAlias);
      if (!found.has(key)) found.set(key, [way.slice(0, at + 1) as unknown as Way]);
    }
  return [...found.values()];
}

interface Asked {
  readonly word: string;
  readonly command: 'trust' | 'ports';
}

async function waysByName(
  { word, command }: Asked,
  tunnels: readonly Tunnel[],
  names: HostNames,
  context: Context,
): Promise<Tunnel['ways']> {
  // As known_hosts and `hosts list` write it.
  const written = word.replace(/^\[([^\]:]+)\](?=:\d+$)/, '$1');
  const read = login(written);
  if (word.startsWith('tag:') || /[*?]/.test(word)) matchSelectors([word], tunnels); // throws
  if ('problem' in read)
    throw new TunnelError('NO_SUCH_TUNNEL', `no tunnel is named ${word}, and a host ${read.problem}`, {
      hint: { command: 'show' },
    });
  const isBare = !/[@:]/.test(word);
  const known = names.isDeclared(word) || (isBare && (await names.isAlias(word)));
  if (isBare && !known && !word.includes('.')) throw nobody({ word, command }, tunnels, names);
  const near = nearest(
    word,
    tunnels.map(({ name }) => name),
  );
  if (isBare && !known && near !== null)
    context.talk(`no tunnel is named ${word}, so it is taken for a server; did you mean ${near}?`);
  return names.waysTo(written);
}

/** A slip in a tunnel's name must not become a look-up in the DNS: a bare word is a host only where somebody wrote it down. */
function nobody({ word, command }: Asked, tunnels: readonly Tunnel[], names: HostNames): TunnelError {
  const near = nearest(word, [...tunnels.map(({ name }) => name), ...names.declared]);
  const server = { command, on: { words: [`${word}:22`] }, note: `if ${word} is a server's name` };
  return new TunnelError(
    'NO_SUCH_TUNNEL',
    `no tunnel is named ${word}, and no host in hosts: or ssh_config`,
    {
      hint:
        near === null
          ? server
          : [{ command, on: { words: [near] }, note: 'did you mean that?' }, '\n', server],
    },
  );
}

/**
 * An error of a login knows a host by its name only: a hint in the words of this command line. Where no tunnel goes,
 * there is nothing but `trust` to ask again with.
 */
export function errorIn(error: TunnelError, { ways, tunnel, wordFor }: Route): TunnelError {
  const { hint } = error;
  if (hint === null) return error;
  const hops = ways.flat();
  const hosts = new Map(
    [({ name }: Host) => name, hopWord, formatAddress].flatMap((wordOf) =>
      hops.map((host) => [wordOf(host), host] as const),
    ),
  );
  const changed = eachCommand(hint, (command) => {
    const { on } = command;
    const host = on !== undefined && 'host' in on ? hosts.get(on.host) : undefined;
    if (host === undefined) return command;
    const word = { words: [wordFor(host)] };
    if (/^trust\b/.test(command.command)) return { ...command, on: word };
    if (!isOfOneTunnel(command)) return command;
    return tunnel === null ? { ...command, command: 'trust', on: word } : { ...command, on: { tunnel } };
  });
  return withHint(error, changed);
}
