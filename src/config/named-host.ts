// One host by its name, resolved although no tunnel goes there yet: what a secret is set for, and whose key is to be trusted.
import { join } from 'node:path';
import { existsNearby } from '../files/mounts.ts';
import { TunnelError } from '../errors.ts';
import type { Host } from '../model/host.ts';
import type { ResolvedConfig, Tunnel } from '../model/tunnel.ts';
import type { PlaceFacts } from '../paths.ts';
import { accountOf, inEnvironment, type Account } from './account.ts';
import type { Declared } from './declared.ts';
import { readDeclared } from './load.ts';
import { resolveConfig, secretVariables } from './resolve.ts';
import { sshConfigReader } from './ssh-config/ask.ts';
import type { AskSsh, SshValues } from './ssh-config/settings.ts';

/** Every different form in which tunnels go to a host of that name (a tunnel may override its user). */
export function hostsNamed(name: string, config: ResolvedConfig): readonly Host[] {
  const found = config.tunnels.flatMap(({ ways }) => ways.flat()).filter((host) => host.name === name);
  return [...new Map(found.map((host) => [`${host.user}@${host.hostname}:${host.port}`, host])).values()];
}

/** The entry of `hosts:` with that name, as a tunnel to it would have it; null when there is none. */
export async function declaredHost(name: string, file: string, facts: PlaceFacts): Promise<Host | null> {
  const names = openHostNames(file, facts, { run: true });
  return names.isDeclared(name) ? ((await names.waysTo(name))[0].at(-1) ?? null) : null;
}

export interface HostNames {
  /** Of `hosts:`. */
  readonly declared: readonly string[];
  isDeclared(name: string): boolean;
  /** True when ssh_config says something of this very name: more than it says of any name there may be. */
  isAlias(name: string): Promise<boolean>;
  /** As a tunnel whose `host:` is this word would go. Throws CONFIG_INVALID for what only shows when it is resolved. */
  waysTo(word: string): Promise<Tunnel['ways']>;
}

/**
 * The hosts that words mean by a config (null: by none) and by ssh_config. `run` false: no `ssh -G`, our own parser reads
 * ssh_config. Throws ConfigError or CONFIG_MISSING.
 */
export function openHostNames(
  file: string | null,
  facts: PlaceFacts,
  { run }: { readonly run: boolean },
): HostNames {
  const declared = file === null ? nothing(facts) : readDeclared(file, facts);
  const account = inEnvironment(accountOf(facts), facts.env, secretVariables(declared));
  const askSsh = sshConfigReader(account, run);
  return {
    declared: [...declared.hosts.keys()],
    isDeclared: (name) => declared.hosts.has(name),
    isAlias: (name) => isAlias(name, askSsh),
    waysTo: (word) => waysTo(word, { declared, account, askSsh }),
  };
}

function nothing({ cwd }: PlaceFacts): Declared {
  return {
    file: join(cwd, 'tunnels.yaml'),
    files: [],
    defaults: {},
    hosts: new Map(),
    tunnels: new Map(),
    metrics: null,
    notify: true,
    hooks: {},
  };
}

interface Sources {
  readonly declared: Declared;
  readonly account: Account;
  readonly askSsh: AskSsh;
}

async function waysTo(word: string, { declared, account, askSsh }: Sources): Promise<Tunnel['ways']> {
  const settings = { ...declared.defaults, host: word };
  const tunnel = {
    name: word,
    own: { host: word },
    settings,
    forwards: [],
    folder: account.cwd,
    adhoc: false,
  };
  const { config, problems } = await resolveConfig(
    { ...declared, tunnels: new Map([[word, tunnel]]) },
    { account, askSsh, exists: existsNearby },
  );
  const found = config.tunnels[0];
  if (found !== undefined) return found.ways;
  const why = problems[0]?.message ?? 'it cannot be resolved';
  throw new TunnelError('CONFIG_INVALID', `host ${word} cannot be used: ${why}`, {
    hint: { command: 'check' },
  });
}

/** A name that no pattern but a star's is made for. */
const nobody = 'a-host-that-nobody-has-named';

async function isAlias(name: string, askSsh: AskSsh): Promise<boolean> {
  const [own, any] = await Promise.all(
    [name, nobody].map((alias) => askSsh({ alias, user: null, port: null })),
  );
  // A fault of ssh_config is told where the name is resolved.
  if (own === undefined || any === undefined || 'failure' in own || 'failure' in any) return true;
  return flat(own.values, name) !== flat(any.values, nobody);
}

/** The settings in one text, without the name that a token or a canonical form brought in. */
function flat(values: SshValues, name: string): string {
  const plain = [...values].map(([key, all]) => [
    key,
    ...all.map((value) => value.toLowerCase().replaceAll(name.toLowerCase(), '\0')),
  ]);
  return JSON.stringify(plain.sort(([one = ''], [other = '']) => (one < other ? -1 : 1)));
}
