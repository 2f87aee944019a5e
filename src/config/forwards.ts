// The forwards of one tunnel: what its keys mean together, and what is wrong with them. Pure.
import { formatEndpoint, isLoopback, placeOf, type Endpoint } from '../model/endpoint.ts';
import type { Forward, Probe } from '../model/forward.ts';
import { localListen, remoteListen, target } from './address.ts';
import { expandEnds } from './ranges.ts';
import type { Forwarding, TunnelSettings } from './schema.ts';
import type { Path } from './source.ts';
import type { Parsed } from './value.ts';

/** Tells a problem; the path begins at the tunnel. */
export interface Tell {
  (path: Path, side: 'key' | 'value', message: string): void;
}

export interface BuiltForward {
  readonly forward: Forward;
  /** Where it is written, from the tunnel on: [] or ['forwards', 1]. */
  readonly at: Path;
}

/** `faulty` says that something was already told about a path: then nothing that follows from it is. */
export function buildForwards(
  settings: TunnelSettings,
  tell: Tell,
  faulty: (path: Path) => boolean,
): readonly BuiltForward[] {
  if (settings.forwards === undefined) {
    if (faulty(['forwards'])) return [];
    const single = { ...settings, name: undefined };
    const forwards = buildItem(single, [], { settings, tell, faulty });
    return forwards.map((forward) => ({ forward, at: [] }));
  }
  for (const key of ['local', 'remote'] as const)
    if (settings[key] !== undefined) tell([key], 'key', 'stands beside forwards: write it as one of them');
  if (settings.forwards.length === 0) tell(['forwards'], 'value', 'has no forward in it');
  const built: BuiltForward[] = [];
  const names = new Map<string, number>();
  for (const [index, item] of settings.forwards.entries()) {
    const at = ['forwards', index];
    if (item === null) continue;
    const name = 'name' in item ? item.name : undefined;
    if (name !== undefined && names.has(name)) tell([...at, 'name'], 'value', `"${name}" stands here twice`);
    if (name !== undefined) names.set(name, index);
    for (const forward of buildItem(item, at, { settings, tell, faulty })) built.push({ forward, at });
  }
  return withNamesOfTheirOwn(built, names);
}

/** Ports of several ranges may be the same ones, on other addresses or on the server; what is `written` goes first. */
function withNamesOfTheirOwn(
  built: readonly BuiltForward[],
  written: ReadonlyMap<string, number>,
): readonly BuiltForward[] {
  const taken = new Set(written.keys());
  return built.map((each) => {
    const { name, listen, type } = each.forward;
    if (name === null || written.get(name) === each.at[1]) return each;
    const longer = name.replace(/[^-]*$/, formatEndpoint(listen));
    const own = [name, longer, `${type}-${longer}`].find((one) => !taken.has(one)) ?? name;
    taken.add(own);
    return { ...each, forward: { ...each.forward, name: own } };
  });
}

type Item = Exclude<Forwarding, null>;

/** The tunnel that a forward stands in. */
interface Tunnel {
  readonly settings: TunnelSettings;
  readonly tell: Tell;
  readonly faulty: (path: Path) => boolean;
}

/** One forward, or one for each port of a range. What is wrong with the first is not told again for the others. */
function buildItem(item: Item, at: Path, tunnel: Tunnel): readonly Forward[] {
  const items = expand(item, at, tunnel);
  const forwards: Forward[] = [];
  for (const each of items) {
    const forward = buildForward(each, at, tunnel);
    if (forward === null) break;
    forwards.push(items.length === 1 ? forward : { ...forward, name: nameByPort(forward) });
  }
  return forwards;
}

function expand(item: Item, at: Path, { tell }: Tunnel): readonly Item[] {
  if ('spelled' in item)
    return Array.from({ length: item.count ?? 1 }, (_, index) => ({
      ...item,
      ...(item.local === undefined ? {} : { local: shifted(item.local, index) }),
      ...(item.remote === undefined ? {} : { remote: shifted(item.remote, index) }),
    }));
  if (item.type === 'dynamic' || item.local === undefined || item.remote === undefined) return [item];
  const ends = expandEnds({ local: item.local as unknown, remote: item.remote as unknown });
  if (ends === null) return [item];
  if ('problem' in ends) {
    tell([...at, ends.side], 'value', ends.problem);
    return [];
  }
  return ends.map((each) => ({ ...item, ...each }));
}

const shifted = (end: Endpoint, by: number): Endpoint =>
  end.kind === 'tcp' ? { ...end, port: end.port + by } : end;

/** `3000`, or `app-3000` of a range that has a name. */
function nameByPort({ name, listen }: Forward): string {
  const port = String(placeOf(listen));
  return name === null ? port : `${name}-${port}`;
}

function buildForward(item: Item, at: Path, tunnel: Tunnel): Forward | null {
  const { settings, tell, faulty } = tunnel;
  const from = readerOf(item, at, tunnel);
  const type = item.type ?? 'local';
  if (faulty([...at, 'type'])) return null;
  const base = {
    name: ('name' in item ? item.name : undefined) ?? null,
    probe: from.get<Probe>('probe') ?? null,
  };
  if (type !== 'local') {
    from.refuse('probe', 'is for local forwards only');
    from.refuse('protocol', 'is for local forwards only');
  }
  if (type === 'dynamic') return dynamicForward(base, settings, from);
  if (settings.socks_auth !== undefined && at.length === 0)
    tell(['socks_auth'], 'key', 'is for dynamic forwards only');
  return type === 'local' ? localForward(base, from) : remoteForward(base, from);
}

type Base = { readonly name: string | null; readonly probe: Probe | null };

function localForward(base: Base, from: Reader): Forward | null {
  from.refuse('allow', 'is for dynamic forwards, and remote ones without local');
  const listen = from.endpoint('local', localListen, 'PORT, HOST:PORT, /path.sock or auto to listen on');
  const dialled = from.endpoint('remote', target, 'HOST:PORT, PORT or /path.sock to reach from the server');
  from.absoluteThere('remote', dialled);
  const protocol = from.get<'ftp'>('protocol') ?? null;
  if (protocol === 'ftp' && (listen?.kind === 'unix' || dialled?.kind === 'unix'))
    from.tell('protocol', 'value', 'ftp needs TCP at both ends');
  if (listen === null || dialled === null) return null;
  return { ...base, type: 'local', listen, target: dialled, protocol };
}

function remoteForward(base: Base, from: Reader): Forward | null {
  const listen = from.endpoint(
    'remote',
    remoteListen,
    'PORT, HOST:PORT or /path.sock to listen on at the server',
  );
  from.absoluteThere('remote', listen);
  const allow = from.get<readonly string[]>('allow') ?? [];
  const dialled = from.has('local')
    ? from.endpoint('local', target, 'PORT, HOST:PORT or /path.sock to reach from here')
    : null;
  if (!from.has('local') && allow.length === 0)
    from.missing(
      'local',
      'needs local (what is reached here), or allow (HOST:PORT globs) for a SOCKS server on the far side',
    );
  if (from.has('local')) from.refuse('allow', 'is for dynamic forwards, and remote ones without local');
  if (listen === null || (dialled === null && allow.length === 0)) return null;
  return { ...base, type: 'remote', listen, target: dialled, allow };
}

function dynamicForward(base: Base, settings: TunnelSettings, from: Reader): Forward | null {
  from.refuse('remote', 'is not for dynamic forwards: the client names the target');
  const listen = from.endpoint('local', localListen, 'PORT, HOST:PORT, /path.sock or auto to listen on');
  const { user, password } = settings.socks_auth ?? {};
  const auth = user !== undefined && password !== undefined ? { user, password } : null;
  if (listen !== null && !isLoopback(listen) && auth === null)
    from.tell(
      'local',
      'value',
      'is beyond loopback: a dynamic forward there needs socks_auth with user and password',
    );
  if (listen === null) return null;
  return {
    ...base,
    type: 'dynamic',
    listen,
    allow: from.get<readonly string[]>('allow') ?? [],
    socksAuth: auth,
  };
}

/** Reads the keys of one forward and tells their problems at the right place. */
interface Reader {
  get<T>(key: string): T | undefined;
  has(key: string): boolean;
  tell(key: string, side: 'key' | 'value', message: string): void;
  refuse(key: string, why: string): void;
  missing(key: string, message: string): void;
  endpoint(key: string, parse: (value: unknown) => Parsed<Endpoint>, what: string): Endpoint | null;
  absoluteThere(key: string, endpoint: Endpoint | null): void;
}

function readerOf(item: Item, at: Path, { tell, faulty }: Tunnel): Reader {
  const values = item as Readonly<Record<string, unknown>>;
  const has = (key: string): boolean => values[key] !== undefined || faulty([...at, key]);
  const missing = (key: string, message: string): void => {
    if (!faulty([...at, key])) tell(at, at.length === 0 ? 'key' : 'value', message);
  };
  return {
    get: <T>(key: string) => values[key] as T | undefined,
    has,
    missing,
    tell: (key, side, message) => tell([...at, key], side, message),
    refuse(key, why) {
      if (values[key] !== undefined) tell([...at, key], 'key', why);
    },
    endpoint(key, parse, what) {
      if (values[key] === undefined) {
        missing(key, `needs ${key}: ${what}`);
        return null;
      }
      if ('spelled' in item) return values[key] as Endpoint;
      const read = parse(values[key]);
      if ('value' in read) return read.value;
      tell([...at, key], 'value', read.problem);
      return null;
    },
    absoluteThere(key, endpoint) {
      if (endpoint?.kind === 'unix' && !endpoint.path.startsWith('/'))
        tell([...at, key], 'value', 'must be an absolute path: it is on the server');
    },
  };
}
