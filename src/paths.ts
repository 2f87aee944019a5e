// Paths: every file and folder we own, as a pure function of the environment (SPEC 1).
import { isAbsolute, join } from 'node:path';
import { TunnelError } from './errors.ts';
import { sha256 } from './sha256.ts';

/** What decides where things are. `home` is $HOME, else the passwd home. */
export interface PlaceFacts {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  readonly uid: number;
  readonly home: string;
  readonly tmpdir: string;
  readonly hostname: string;
  readonly cwd: string;
}

export interface Places {
  /** Holds known_hosts, allowed project files, and one folder a machine. */
  readonly stateDir: string;
  /** Own store of trusted host keys. */
  readonly knownHosts: string;
  /** Holds what only spares work, and may be removed at any time. */
  readonly cacheDir: string;
  /** What belongs to this machine: one folder a supervisor. */
  readonly machineDir: string;
  /** Holds control sockets. */
  readonly runtimeDir: string;
  /** Holds them where $XDG_RUNTIME_DIR is gone or not ours (after a logout, under su). Null: there is no other place. */
  readonly spareRuntimeDir: string | null;
  /** Where a config is looked for, in order, when none is named. */
  readonly configCandidates: readonly ConfigCandidate[];
  /** Where `init` writes. */
  readonly defaultConfig: string;
}

export interface ConfigCandidate {
  readonly path: string;
  /** Found by being in the current folder: needs consent before first use. */
  readonly project: boolean;
}

/** Files of one supervisor, named by the identity of its config file. */
export interface SupervisorPlaces {
  readonly folder: string;
  readonly lock: string;
  /** Where its socket is: read by every command, whatever its environment. */
  readonly address: string;
  readonly wanted: string;
  /** Ad-hoc tunnels, where there are some. */
  readonly adhoc: string;
  readonly history: string;
  readonly log: string;
  readonly socket: string;
  /** See `spareRuntimeDir`. */
  readonly spareSocket: string | null;
}

/** XDG says that relative values are to be ignored. */
function xdg(facts: PlaceFacts, name: string): string | null {
  const value = facts.env[name];
  return value !== undefined && isAbsolute(value) ? value : null;
}

function tunnelHome(facts: PlaceFacts): string | null {
  const value = facts.env['TUNNEL_HOME'];
  if (value === undefined || value === '') return null;
  return isAbsolute(value) ? value : join(facts.cwd, value);
}

/** Every place that does not depend on which config is used. */
export function placesOf(facts: PlaceFacts): Places {
  const home = tunnelHome(facts);
  if (home !== null) return placesUnder(home, facts);
  const windows = facts.platform === 'win32' ? facts.env['APPDATA'] : undefined;
  const configHome = xdg(facts, 'XDG_CONFIG_HOME') ?? windows ?? join(facts.home, '.config');
  const stateDir = join(
    xdg(facts, 'XDG_STATE_HOME') ?? windows ?? join(facts.home, '.local', 'state'),
    'tunnel',
  );
  const runtime = xdg(facts, 'XDG_RUNTIME_DIR');
  const temporary = join(facts.tmpdir, `tunnel-${facts.uid}`);
  const defaultConfig = join(configHome, 'tunnel', 'tunnels.yaml');
  return {
    stateDir,
    knownHosts: join(stateDir, 'known_hosts'),
    cacheDir: join(stateDir, 'cache'),
    machineDir: join(stateDir, facts.hostname),
    runtimeDir: runtime === null ? temporary : join(runtime, 'tunnel'),
    spareRuntimeDir: runtime === null ? null : temporary,
    configCandidates: [
      { path: join(facts.cwd, 'tunnels.yaml'), project: true },
      { path: defaultConfig, project: false },
    ],
    defaultConfig,
  };
}

function placesUnder(home: string, facts: PlaceFacts): Places {
  const config = join(home, 'tunnels.yaml');
  return {
    stateDir: home,
    knownHosts: join(home, 'known_hosts'),
    cacheDir: join(home, 'cache'),
    machineDir: join(home, facts.hostname),
    runtimeDir: join(home, 'run'),
    spareRuntimeDir: null,
    configCandidates: [{ path: config, project: false }],
    defaultConfig: config,
  };
}

/** The config named by --config or TUNNEL_CONFIG, absolute; null when none is named. */
export function namedConfig(facts: PlaceFacts, option: string | undefined): string | null {
  const named = option ?? (facts.env['TUNNEL_CONFIG'] || undefined);
  if (named === undefined) return null;
  const expanded = named === '~' || named.startsWith('~/') ? join(facts.home, named.slice(1)) : named;
  return isAbsolute(expanded) ? expanded : join(facts.cwd, expanded);
}

/**
 * Files of the supervisor that serves a config file.
 * `identity` is the real path of the config's folder plus the file's name, not followed (SPEC 1).
 */
export function supervisorPlaces(
  places: Places,
  identity: string,
  platform: NodeJS.Platform,
): SupervisorPlaces {
  const id = sha256(identity).slice(0, 12);
  const folder = join(places.machineDir, id);
  const windows = platform === 'win32';
  const socket = windows ? `\\\\.\\pipe\\tunnel-${id}` : join(places.runtimeDir, `${id}.sock`);
  const spare = windows ? null : places.spareRuntimeDir;
  return {
    folder,
    lock: join(folder, 'lock'),
    address: join(folder, 'address.json'),
    wanted: join(folder, 'wanted.json'),
    adhoc: join(folder, 'adhoc.json'),
    history: join(folder, 'history.jsonl'),
    log: join(folder, 'tunnel.log'),
    socket,
    spareSocket: spare === null ? null : join(spare, `${id}.sock`),
  };
}

/** sun_path holds 108 bytes on Linux, 104 on macOS and the BSDs, with the closing NUL (unix(7)). */
export function checkSocketPath(path: string, platform: NodeJS.Platform): void {
  if (platform === 'win32') return;
  const limit = platform === 'linux' ? 107 : 103;
  const length = Buffer.byteLength(path);
  if (length <= limit) return;
  throw new TunnelError(
    'DAEMON_DOWN',
    `the path of the control socket is too long, ${length} bytes of at most ${limit}: ${path}`,
    {
      hint: 'set TUNNEL_HOME or XDG_RUNTIME_DIR to a folder with a shorter path',
    },
  );
}
