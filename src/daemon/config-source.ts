// The config of a running supervisor: read when asked and when its files change, one reading at a time. A file that cannot
// be used changes nothing but `error`.
import { isDeepStrictEqual } from 'node:util';
import type { EnvironmentOf } from '../config/load.ts';
import { asTunnelError, type TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { EngineLog } from '../supervisor/engine.ts';
import { lookAt, watchFiles, type Seen } from './file-watch.ts';

/** A reading that goes on, and every file of it as it was when it began: a change of any of them is a change of the config. */
export interface Loading {
  readonly seen: Seen;
  readonly config: Promise<ResolvedConfig>;
}

export interface ConfigSourceParts {
  /** Absolute path of the file. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly load: (bringing: Bringing | null) => Loading;
  /** Makes the config true; answers a sentence a change. `bringing`: as for `reload`, null for none. */
  readonly apply: (
    config: ResolvedConfig,
    prune: boolean,
    bringing: Bringing | null,
  ) => Promise<readonly string[]>;
}

/** The reading that brought what is in use: the first one, or the last that changed something. */
export interface InUse {
  readonly sinceMs: number;
  /** A sentence each; none of the first reading. */
  readonly changes: readonly string[];
}

export interface Reloaded {
  readonly changes: readonly string[];
  readonly warnings: readonly string[];
  readonly inUse: InUse;
}

export interface ConfigSource {
  /** Why the file cannot be used now; null when the engine runs what the file says. */
  readonly error: TunnelError | null;
  /** `bringing`: for a command that brings tunnels up. Throws CONFIG_…; what runs is then untouched. */
  reload(prune: boolean, bringing?: Bringing): Promise<Reloaded>;
  close(): void;
}

/** Starts watching; the config is not read before the first `reload`. */
export function openConfigSource(parts: ConfigSourceParts): ConfigSource {
  const { log, file } = parts;
  let error: TunnelError | null = null;
  let inUse: InUse | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (prune: boolean, bringing: Bringing | null): Promise<Reloaded> => {
    try {
      const loading = parts.load(bringing);
      watcher.follow(loading.seen);
      const config = await loading.config;
      const changes = await parts.apply(config, prune, bringing);
      if (error !== null || changes.length > 0) log('info', 'config', sentenceOf(file, changes));
      error = null;
      if (inUse === null) inUse = { sinceMs: parts.clock.now(), changes: [] };
      else if (changes.length > 0) inUse = { sinceMs: parts.clock.now(), changes };
      return { changes, warnings: config.warnings, inUse };
    } catch (thrown) {
      const failure = asTunnelError(thrown);
      if (failure.message !== error?.message) {
        log('error', 'config', `${failure.message}; what runs goes on as it is`, { code: failure.code });
      }
      error = failure;
      throw failure;
    }
  };
  const reload: ConfigSource['reload'] = (prune, bringing) => {
    const mine = turn.then(() => read(prune, bringing ?? null));
    turn = mine.catch(() => undefined); // told to whoever asked; the next one has its own turn
    return mine;
  };
  const watcher = watchFiles(parts.clock, () => {
    reload(false).catch(() => undefined); // logged, and kept in `error`
  });
  watcher.follow(lookAt([file]));
  return {
    get error() {
      return error;
    },
    reload,
    close: () => watcher.close(),
  };
}

function sentenceOf(file: string, changes: readonly string[]): string {
  return changes.length === 0 ? `${file} can be used again` : `${file}: ${changes.join('; ')}`;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/** The environments in which ssh_config is read, as another process can go on with them. */
export interface KeptReadings {
  readonly newest: Variables;
  readonly ofTunnels: Readonly<Record<string, Variables>>;
}

export interface ReadingEnvironments {
  of(bringing: Bringing | null): Reading;
  kept(): KeptReadings;
}

/** A command that brings tunnels up. */
export interface Bringing {
  readonly variables: Variables;
  readonly brings: (tunnel: Parameters<EnvironmentOf>[0]) => boolean;
}

/** One reading of the config. */
export interface Reading {
  readonly environmentOf: EnvironmentOf;
  /** The config can be used: the next readings go by the environments of this one. */
  readonly worked: () => void;
}

/**
 * In which environment ssh_config is read for each tunnel: that of the command which brings the tunnel up, kept in memory
 * (SPEC 2). `first`: that of the command which started the supervisor, or what the supervisor before this one kept.
 * `wanted`: names of the tunnels that are up or shall be.
 */
export function createReadingEnvironments(
  first: KeptReadings,
  wanted: () => ReadonlySet<string>,
): ReadingEnvironments {
  let { newest } = first;
  let before: ReadonlyMap<string, Variables> = new Map(Object.entries(first.ofTunnels));
  const of = (bringing: Bringing | null): Reading => {
    const running = wanted();
    // Equal ones are one, so that ssh is not asked again for each terminal.
    const known = bringing === null ? [] : [newest, ...new Set(before.values())];
    const latest =
      known.find((each) => isDeepStrictEqual(each, bringing?.variables)) ?? bringing?.variables ?? newest;
    const used = new Map<string, Variables>();
    return {
      environmentOf(tunnel) {
        // A command about other tunnels does not move a running one; the others go by the newest command.
        const keeps = running.has(tunnel.name) && bringing?.brings(tunnel) !== true;
        const its = (keeps ? before.get(tunnel.name) : undefined) ?? latest;
        used.set(tunnel.name, its);
        return its;
      },
      worked() {
        newest = latest;
        before = used;
      },
    };
  };
  return { of, kept: () => ({ newest, ofTunnels: Object.fromEntries(before) }) };
}
