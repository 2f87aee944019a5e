// Rules between keys, hosts and tunnels (SPEC 2), each told at the value that breaks it. Pure.
import type { Account } from './account.ts';
import { login } from './address.ts';
import { wayKeys, type DeclaredHost, type DeclaredTunnel } from './declared.ts';
import type { Clash, ConfigIssue } from './issue.ts';
import { nearest } from './nearest.ts';
import type { ParsedFile } from './parse.ts';
import { ownPath } from './resolve-host.ts';
import type { TunnelSettings } from './schema.ts';
import type { Path } from './source.ts';
import { collide, placeOf, type Endpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import { localListeners, placeholdersOf } from '../model/tunnel-variables.ts';

/** A tunnel with what the rules need to judge it. */
export interface Entry extends DeclaredTunnel {
  readonly from: ParsedFile;
  /** Where each forward is written, from the tunnel on. */
  readonly places: readonly Path[];
  readonly tell: (path: Path, side: 'key' | 'value', message: string, clash?: Clash) => void;
}

type TellAt = (path: Path, side: 'key' | 'value', message: string) => void;

/** Hosts and `defaults`: one way at most, jumps that end, limits in order. */
export function hostRules(
  files: readonly ParsedFile[],
  hosts: ReadonlyMap<string, DeclaredHost>,
  defaults: TunnelSettings,
  issues: ConfigIssue[],
): void {
  const fileOf = (name: string): ParsedFile | undefined =>
    files.find((file) => Object.hasOwn(file.settings.hosts ?? {}, name));
  const tellOf =
    (name: string): TellAt =>
    (path, side, message) => {
      const issue = fileOf(name)?.source.issue(['hosts', name, ...path], side, message);
      if (issue !== undefined) issues.push(issue);
    };
  for (const { name, settings } of hosts.values()) oneWay(settings, tellOf(name));
  const [main] = files;
  const tellDefault: TellAt = (path, side, message) => {
    if (main !== undefined) issues.push(main.source.issue(['defaults', ...path], side, message));
  };
  oneWay(defaults, tellDefault);
  reconnectOrder(defaults, tellDefault);
  // Only a first hop's own jump is followed (SPEC 2), so only first hops can go in a circle.
  const edges = new Map(
    [...hosts.values()].map(({ name, settings }) => [name, (settings.jump ?? []).slice(0, 1).map(hopName)]),
  );
  for (const circle of circles(edges))
    tellOf(circle[0] ?? '')(['jump'], 'value', `goes in a circle: ${circle.join(' → ')}`);
}

/** The host that a hop names, without user and port. */
function hopName(hop: string): string {
  const read = login(hop);
  return 'value' in read ? read.value.host : hop;
}

/** Tunnels one by one. */
export function tunnelRules(entries: readonly Entry[]): void {
  for (const entry of entries) {
    const { own, settings, tell, from, name } = entry;
    const faulty = (key: string): boolean => from.faulty(['tunnels', name, key]);
    if (settings.host === undefined && !faulty('host') && settings.hostname === undefined)
      tell([], 'key', 'needs host: a name of hosts:, an ssh_config alias, or [user@]host[:port]');
    oneWay(own, tell);
    if (own.reconnect !== undefined) reconnectOrder(settings, tell);
    socksAuth(entry);
    placeholders(entry);
    if (settings.lazy === true && entry.forwards.some((forward) => forward.type === 'remote'))
      tell(
        own.lazy === undefined ? [] : ['lazy'],
        'key',
        'a remote forward cannot sleep: its port is there only with the connection',
      );
  }
}

function oneWay(settings: TunnelSettings, tell: TellAt): void {
  const set = wayKeys.filter((key) => settings[key] !== undefined);
  const [first, ...others] = set;
  for (const key of others)
    tell(
      [key],
      'key',
      `stands beside ${first}: there is one way at most, of jump, proxy_command, proxy and ways`,
    );
}

function reconnectOrder({ reconnect }: TunnelSettings, tell: TellAt): void {
  const { initial = 500, max = 30_000 } = reconnect ?? {};
  if (initial > max) tell(['reconnect'], 'value', 'has an initial wait longer than its max');
}

function socksAuth({ own, settings, tell, forwards, from, name }: Entry): void {
  const auth = settings.socks_auth;
  if (auth === undefined) return;
  for (const key of ['user', 'password'] as const)
    if (auth[key] === undefined && !from.faulty(['tunnels', name, 'socks_auth', key]))
      tell(['socks_auth'], 'value', `needs ${key}`);
  if (
    own.socks_auth !== undefined &&
    forwards.length > 0 &&
    !forwards.some((each) => each.type === 'dynamic')
  )
    tell(['socks_auth'], 'key', 'is for dynamic forwards only');
}

/** `env:` and `open:`: what is filled in must be there. */
function placeholders({ own, settings, forwards, tell }: Entry): void {
  const [first] = localListeners(forwards);
  if (forwards.length === 0) return; // told already
  const texts: readonly (readonly [what: string, text: string, path: Path])[] = [
    ...Object.entries(settings.env ?? {}).map(
      ([variable, text]) => [variable, text, own.env === undefined ? [] : ['env', variable]] as const,
    ),
    ...(settings.open === undefined ? [] : [['open', settings.open, ['open']] as const]),
  ];
  for (const [what, text, path] of texts) {
    const lacks = placeholdersOf(text).find(
      (word) => first === undefined || (first.listen.kind === 'unix' && word !== 'address'),
    );
    if (lacks === undefined) continue;
    const why = first === undefined ? 'the tunnel has no local port' : 'a Unix socket has only an {address}';
    tell(path, path.length === 0 ? 'key' : 'value', `cannot fill in {${lacks}} of ${what}: ${why}`);
  }
}

/** `after`: names that are there, and no circle. */
export function orderRules(entries: ReadonlyMap<string, Entry>): void {
  const names = [...entries.keys()];
  for (const { settings, tell, from } of entries.values()) {
    for (const name of settings.after ?? []) {
      if (entries.has(name) || from.faulty(['tunnels', name])) continue;
      const near = nearest(name, names);
      tell(['after'], 'value', `names no tunnel: ${name}${near === null ? '' : `, did you mean "${near}"?`}`);
    }
  }
  const edges = new Map([...entries.values()].map(({ name, settings }) => [name, settings.after ?? []]));
  for (const circle of circles(edges))
    entries.get(circle[0] ?? '')?.tell(['after'], 'value', `goes in a circle: ${circle.join(' → ')}`);
}

/** Two forwards on one address, unless at most one of their tunnels starts by itself. `account`: whose home `~` is. */
export function addressRules(entries: readonly Entry[], account: Pick<Account, 'home'>): void {
  const judged = entries.filter(({ from, name }) => !from.faulty(['tunnels', name, 'autostart']));
  const all = judged.flatMap((entry) =>
    entry.forwards.map((forward, index) => ({
      entry,
      forward,
      at: entry.places[index] ?? [],
      listener: listenerOf(forward, entry, account),
    })),
  );
  for (const [later, earlier] of conflicts(all.map(({ listener }) => listener))) {
    const [one, other] = [all[later], all[earlier]];
    if (one === undefined || other === undefined) continue;
    const key = one.forward.type === 'remote' ? 'remote' : 'local';
    const spelled =
      one.at.length > 0 &&
      typeof one.entry.own.forwards?.[Number(one.at[1])] === 'object' &&
      'spelled' in (one.entry.own.forwards[Number(one.at[1])] ?? {});
    const where = ['tunnels', other.entry.name, ...other.at].join('.');
    const remedy = one.entry === other.entry ? '' : '; one of the two tunnels must have autostart: false';
    const message = `is the address of ${where} too${remedy}`;
    const clash = { tunnel: other.entry.name, listen: one.forward.listen, isRemote: key === 'remote' };
    one.entry.tell(spelled ? one.at : [...one.at, key], 'value', message, clash);
  }
}

interface Listener {
  readonly tunnel: string;
  readonly autostart: boolean;
  /** Listeners on one machine can be in each other's way: "" for this one, else the word after `host:`. */
  readonly machine: string;
  readonly at: Endpoint;
}

/** Pairs of places in the list that are in each other's way: [later, earlier], the first earlier one of each. */
function conflicts(listeners: readonly Listener[]): readonly (readonly [number, number])[] {
  const groups = new Map<string, number[]>();
  const found: [number, number][] = [];
  for (const [index, listener] of listeners.entries()) {
    const key = groupOf(listener);
    if (key === null) continue;
    const group = groups.get(key) ?? [];
    const earlier = group.find((other) => clash(listener, listeners[other]));
    if (earlier !== undefined) found.push([index, earlier]);
    groups.set(key, [...group, index]);
  }
  return found;
}

/** The end of a forward that listens, its path as the supervisor will bind it. */
function listenerOf(
  forward: Forward,
  { name, settings, folder }: DeclaredTunnel,
  account: Pick<Account, 'home'>,
): Listener {
  const { listen, type } = forward;
  const isHere = type !== 'remote';
  return {
    tunnel: name,
    autostart: settings.autostart ?? true,
    machine: isHere ? '' : (settings.host ?? name),
    at:
      isHere && listen.kind === 'unix' ? { ...listen, path: ownPath(listen.path, folder, account) } : listen,
  };
}

/** Port 0 is in nobody's way: the system picks a free one. */
function groupOf({ at, machine }: Listener): string | null {
  const place = placeOf(at);
  return place === 0 ? null : `${machine}\n${place}`;
}

function clash(one: Listener, other: Listener | undefined): boolean {
  if (other === undefined) return false;
  if (one.tunnel !== other.tunnel && !(one.autostart && other.autostart)) return false;
  return collide(one.at, other.at);
}

/** Every circle once, as the names along it, the first again at its end. Names that nothing is known of lead nowhere. */
function circles(edges: ReadonlyMap<string, readonly string[]>): readonly (readonly string[])[] {
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (name: string, path: readonly string[]): void => {
    const start = path.indexOf(name);
    if (start >= 0) found.push([...path.slice(start), name]);
    if (start >= 0 || done.has(name)) return;
    for (const next of edges.get(name) ?? []) visit(next, [...path, name]);
    done.add(name);
  };
  for (const name of edges.keys()) visit(name, []);
  return found;
}
