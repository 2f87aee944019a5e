// The config as written -> what it means: tunnels, their ways hop by hop, their forwards. Asks ssh_config through a function handed in.
import { uselessList } from '../keys/algorithms.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import { formatLogin, type Host, type Way } from '../model/host.ts';
import { readCommandLine } from '../model/proxy-command.ts';
import type { Hooks, HookState, ResolvedConfig, Tunnel } from '../model/tunnel.ts';
import type { Account } from './account.ts';
import { isAliasOnly, login, type Login } from './address.ts';
import type { Declared, DeclaredTunnel } from './declared.ts';
import { nearest } from './nearest.ts';
import { absoluteSecret, folderOf, ownPath, resolveHost, wayLayer, type Layer } from './resolve-host.ts';
import type { TunnelSettings } from './schema.ts';
import type { Path } from './source.ts';
import { expandHome } from './ssh-config/tokens.ts';
import { sshAliases } from './ssh-config/aliases.ts';
import {
  type AskSsh,
  type SshQuery,
  readSshSettings,
  sshProblems,
  sshWarnings,
  type SshSettings,
} from './ssh-config/settings.ts';

/** An environment, and ssh_config as it reads there. */
export interface Reader {
  readonly account: Account;
  readonly askSsh: AskSsh;
}

export interface ResolveParts extends Reader {
  readonly exists: (path: string) => boolean;
  /** Of a tunnel that is brought up elsewhere than where the config is read; as above where it is absent. */
  readonly readerFor?: (tunnel: DeclaredTunnel) => Reader;
}

/** A fault that shows only when the config is resolved; the path leads to the value in the file. */
export interface ResolveProblem {
  readonly path: Path;
  readonly message: string;
}

export interface Resolved {
  readonly config: ResolvedConfig;
  readonly problems: readonly ResolveProblem[];
}

interface Work extends ResolveParts {
  readonly declared: Declared;
  readonly warnings: Set<string>;
  readonly problems: ResolveProblem[];
}

/** The same for one tunnel, in its environment. */
interface TunnelWork extends Work {
  /** Where its host is written. */
  readonly at: Path;
}

/** A tunnel with a problem is left out of the config. */
export async function resolveConfig(declared: Declared, parts: ResolveParts): Promise<Resolved> {
  const work: Work = { ...parts, declared, warnings: new Set(), problems: [] };
  for (const warning of withoutEffect(declared)) work.warnings.add(warning);
  const tunnels = await Promise.all(
    [...declared.tunnels.values()].map((tunnel) => resolveTunnel(tunnel, work)),
  );
  return {
    config: {
      file: declared.file,
      tunnels: tunnels.filter((tunnel) => tunnel !== null),
      warnings: [...work.warnings],
      metrics: declared.metrics,
      notify: declared.notify,
      secretVariables: secretVariables(declared),
    },
    problems: work.problems,
  };
}

/** Settings of the file that do nothing in this version. */
function withoutEffect({ tunnels }: Declared): readonly string[] {
  const named = (says: (tunnel: DeclaredTunnel) => boolean): string =>
    [...tunnels.values()].flatMap((tunnel) => (says(tunnel) ? [tunnel.name] : [])).join(', ');
  const found: readonly [names: string, key: string][] = [
    [
      named(({ own, settings }) => typeof own.idle_timeout === 'number' && settings.lazy !== true),
      'idle_timeout: has no effect without lazy: true',
    ],
  ];
  return found.flatMap(([names, what]) => (names === '' ? [] : [`${what} (${names})`]));
}

/** Variables that hold secrets by what any line of the config says, also of hosts that no tunnel uses. */
export function secretVariables({ hosts, defaults, tunnels }: Declared): readonly string[] {
  const settings: readonly TunnelSettings[] = [
    defaults,
    ...[...hosts.values()].map((host) => host.settings),
    ...[...tunnels.values()].map(({ own }) => own),
  ];
  const refs = settings.flatMap((each) => [
    each.password,
    each.passphrase,
    each.totp,
    each.proxy?.password,
    each.socks_auth?.password,
  ]);
  return [...new Set(refs.flatMap((ref) => (ref?.from === 'env' ? [ref.name] : [])))];
}

async function resolveTunnel(tunnel: DeclaredTunnel, all: Work): Promise<Tunnel | null> {
  const { settings, name } = tunnel;
  const work: TunnelWork = { ...all, ...all.readerFor?.(tunnel), at: ['tunnels', name, 'host'] };
  const before = work.problems.length;
  const ways: Way[] = [];
  for (const jump of settings.ways ?? [null]) {
    const way = await wayTo(tunnel, jump, work);
    if (way !== null) ways.push(way);
  }
  const [first, ...others] = ways;
  if (first === undefined || work.problems.slice(before).some(({ path }) => path[1] === name)) return null;
  const account = work.account;
  return {
    name,
    host: settings.host ?? settings.hostname ?? name,
    ways: [first, ...others],
    forwards: tunnel.forwards.map((forward) => absoluteForward(forward, tunnel.folder, account)),
    tags: settings.tags ?? [],
    autostart: settings.autostart ?? true,
    lazy: settings.lazy ?? false,
    idleTimeoutMs: settings.idle_timeout ?? null,
    hold: settings.hold ?? { kind: 'wait', ms: 30_000 },
    reconnect: { initialMs: settings.reconnect?.initial ?? 500, maxMs: settings.reconnect?.max ?? 30_000 },
    rotateMs: settings.rotate ?? null,
    share: settings.share ?? true,
    env: settings.env ?? {},
    open: settings.open ?? null,
    after: settings.after ?? [],
    hooks: hooksOf({ ...all.declared.hooks, ...settings.hooks }, account),
  };
}

/** Of each event the tunnel's own command, else that of the top level. */
function hooksOf({ up, down, needs_you: needsYou }: Declared['hooks'], { home }: Account): Hooks {
  const command = (state: HookState, argv: readonly string[] | undefined): Hooks =>
    argv === undefined ? {} : { [state]: argv.map((word) => expandHome(word, home)) };
  return { ...command('up', up), ...command('down', down), ...command('needs-you', needsYou) };
}

/** The server, and the hops before it. `jump`: one of `ways`, or null for what the layers say. */
async function wayTo(
  tunnel: DeclaredTunnel,
  jump: readonly string[] | null,
  work: TunnelWork,
): Promise<Way | null> {
  const word = tunnel.settings.host ?? tunnel.settings.hostname ?? tunnel.name;
  const own: Layer = { settings: tunnel.own, folder: tunnel.folder };
  const target = await gather(word, [own], work);
  if (target === null) return null;
  const direct = jump !== null ? { settings: { jump }, folder: tunnel.folder } : null;
  const layers = direct === null ? target.layers : [direct, ...target.layers];
  return chainTo({ ...target, layers }, [], work);
}

/** The facts of one host before its way is known. */
interface Gathered {
  readonly name: string;
  readonly layers: readonly Layer[];
  readonly ssh: SshSettings;
}

/**
 * The hops to a host and the host itself. Each hop is a host by the same rules; of a chain, only the first hop's own
 * jump is followed (as `ssh -J` does), so only that can lead back to where it came from.
 */
async function chainTo(host: Gathered, behind: readonly Host[], work: TunnelWork): Promise<Way | null> {
  const layer = wayLayer(host.layers);
  const jump = layer === null ? (host.ssh.proxyJump ?? []) : (layer.settings.jump ?? []);
  const self = finish(host, jump.length > 0, work);
  const start = behind.findIndex((each) => isSame(each, self));
  if (start >= 0) {
    const circle = circleText([...behind, self], start);
    work.problems.push({ path: work.at, message: `its jumps go in a circle: ${circle}` });
    return null;
  }
  const hops: Host[] = [];
  for (const [index, word] of jump.entries()) {
    const hop = await gather(word, [], work, index > 0);
    if (hop === null) return null;
    if (index > 0) hops.push(finish(hop, true, work));
    else {
      const first = await chainTo(hop, [...behind, self], work);
      if (first === null) return null;
      hops.push(...first);
    }
  }
  const [nearestHop, ...rest] = hops;
  return nearestHop === undefined ? [self] : [nearestHop, ...rest, self];
}

/** The same place for the same user: a machine may well be the way to another port of its own. */
function isSame(one: Host, other: Host): boolean {
  return formatLogin(one).toLowerCase() === formatLogin(other).toLowerCase();
}

/** From `start` on; hosts by name, or by what tells them apart where two have one name. */
function circleText(path: readonly Host[], start: number): string {
  const isPlain = path.every((one) => path.every((other) => one.name !== other.name || isSame(one, other)));
  return path
    .slice(start)
    .map((host) => (isPlain ? host.name : formatLogin(host)))
    .join(' → ');
}

function finish({ name, layers, ssh }: Gathered, behindJump: boolean, work: TunnelWork): Host {
  const { account, exists, warnings } = work;
  const warn = (sentence: string): unknown => warnings.add(sentence);
  const host = resolveHost({ name, layers, ssh, behindJump, account, exists, warn });
  // Settings of our own file were judged where they stand.
  for (const message of [...uselessLists(host), ...commandProblem(host, account)])
    work.problems.push({ path: work.at, message });
  return host;
}

const sshNames = {
  kex: 'KexAlgorithms',
  hostKey: 'HostKeyAlgorithms',
  cipher: 'Ciphers',
  mac: 'MACs',
} as const;

function uselessLists({ name, algorithms }: Host): readonly string[] {
  return (['kex', 'hostKey', 'cipher', 'mac'] as const).flatMap((kind) => {
    const useless = algorithms[kind] === null ? null : uselessList(kind, algorithms[kind]);
    return useless === null ? [] : [`ssh_config's ${sshNames[kind]} for ${name} leave ${useless}`];
  });
}

/** A command that would be refused when it is to be started. */
function commandProblem(host: Host, account: Account): readonly string[] {
  if (host.proxyCommand === null) return [];
  const line = readCommandLine(host, host.proxyCommand, {
    ...account,
    home: account.passwdHome ?? account.home,
  });
  return 'problem' in line ? [`the proxy command of ${host.name} cannot be started: ${line.problem}`] : [];
}

/** The layers of the host that a word names, `above` on top, and what ssh_config says of it. `behindHop`: the way there is known. */
async function gather(
  word: string,
  above: readonly Layer[],
  work: TunnelWork,
  behindHop = false,
): Promise<Gathered | null> {
  const { declared } = work;
  const read = login(word);
  if ('problem' in read) {
    // Of our file it was refused before: this one comes from ssh_config.
    work.problems.push({ path: work.at, message: `ssh_config names a jump host that ${read.problem}` });
    return null;
  }
  const { host: name } = read.value;
  const entry = declared.hosts.get(name);
  const layers = [...above, ...layersOf(read.value, declared)];
  const pick = <K extends 'ssh_config' | 'user' | 'port'>(key: K) =>
    layers.find(({ settings }) => settings[key] !== undefined)?.settings[key];
  const said = pick('ssh_config') as string | null | undefined;
  const alias = said !== undefined ? said : entry?.settings.hostname === undefined ? name : null;
  if (alias === null) return { name, layers, ssh: {} };
  const query: SshQuery = {
    alias,
    user: (pick('user') as string) ?? null,
    port: (pick('port') as number) ?? null,
    ...(behindHop || wayLayer(layers) !== null ? { way: 'given' } : {}),
  };
  const ssh = await askAbout(query, work);
  if (ssh === null) return null;
  if (entry === undefined && ssh.hostname === undefined) guessSlip(name, work);
  const leadsThere = layers.some(({ settings }) => settings.hostname ?? settings.proxy_command);
  if (isAliasOnly(name) && !leadsThere && ssh.hostname === undefined && ssh.proxyCommand === undefined) {
    const message = `${word} is in neither hosts: nor ssh_config, and is no [user@]host[:port]`;
    work.problems.push({ path: work.at, message });
    return null;
  }
  return { name, layers, ssh };
}

/** The layers of the config for a host by a word for it, highest first. */
function layersOf(written: Login, declared: Declared): readonly Layer[] {
  const { host, user, port } = written;
  const entry = declared.hosts.get(host);
  const word = { ...(user === null ? {} : { user }), ...(port === null ? {} : { port }) };
  return [
    { settings: word, folder: '/' },
    ...(entry === undefined ? [] : [{ settings: entry.settings, folder: entry.folder }]),
    defaultsFor(written, declared),
  ];
}

/** `defaults.jump` does not hold for the very hosts it names, or nobody could reach them. */
function defaultsFor(host: Login, declared: Declared): Layer {
  const { jump, ...others } = declared.defaults;
  const usual = declared.hosts.get(host.host)?.settings.port ?? others.port ?? 22;
  const isHop = (hop: string): boolean => {
    const read = login(hop);
    if ('problem' in read) return false;
    return read.value.host === host.host && (read.value.port ?? usual) === (host.port ?? usual);
  };
  const settings = jump?.some(isHop) === true ? { ...others, jump: [] } : declared.defaults;
  return { settings, folder: folderOf(declared.file) };
}

async function askAbout(query: SshQuery, work: TunnelWork): Promise<SshSettings | null> {
  const answer = await work.askSsh(query);
  if ('failure' in answer) {
    work.problems.push({ path: work.at, message: `ssh_config, ${query.alias}: ${answer.failure}` });
    return null;
  }
  for (const key of answer.unsupported.user)
    work.problems.push({
      path: work.at,
      message: `ssh_config sets ${key} for ${query.alias}, which narrows what is trusted and is not supported: set ssh_config: false and write the host out, or take it out for this host`,
    });
  for (const key of answer.unsupported.system)
    work.warnings.add(`the system's ssh_config sets ${key}, which is not supported here`);
  for (const warning of [...answer.warnings, ...sshWarnings(answer.values, query.alias)])
    work.warnings.add(warning);
  const problems = sshProblems(answer.values, query.alias);
  for (const message of problems) work.problems.push({ path: work.at, message });
  return answer.unsupported.user.length + problems.length > 0 ? null : readSshSettings(answer.values);
}

/** A bare word that is no host entry and no alias, but nearly one: most likely a slip of the pen. */
function guessSlip(name: string, { declared, warnings, account }: Work): void {
  if (name.includes('.') || name.includes(':')) return;
  const aliases = sshAliases(account.home);
  const near = aliases.speaksOf(name) ? null : nearest(name, [...declared.hosts.keys(), ...aliases.names]);
  if (near !== null)
    warnings.add(`host ${name} is in neither hosts: nor ssh_config, did you mean "${near}"?`);
}

function absoluteForward(forward: Forward, folder: string, account: Account): Forward {
  const here = (endpoint: Endpoint): Endpoint =>
    endpoint.kind === 'unix' ? { kind: 'unix', path: ownPath(endpoint.path, folder, account) } : endpoint;
  switch (forward.type) {
    case 'local':
      return { ...forward, listen: here(forward.listen) };
    case 'remote':
      return { ...forward, target: forward.target === null ? null : here(forward.target) };
    case 'dynamic': {
      const auth = forward.socksAuth;
      const password = auth === null ? null : absoluteSecret(auth.password, folder, account);
      return {
        ...forward,
        listen: here(forward.listen),
        socksAuth: auth === null || password === null ? null : { user: auth.user, password },
      };
    }
  }
}
