// The config of a running supervisor: read when asked and when its files change, one reading at a time. A file that cannot
// be used changes nothing but `error`.
import { asTunnelError, type TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { EngineLog } from '../supervisor/engine.ts';
import { watchFiles } from './file-watch.ts';
import type { Bringing } from './reading-environments.ts';

export interface LoadedConfig {
  readonly config: ResolvedConfig;
  /** Every file that was read: a change of any of them is a change of the config. */
  readonly files: readonly string[];
}

export interface ConfigSourceParts {
  /** Absolute path of the file. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly load: (bringing: Bringing | null) => Promise<LoadedConfig>;
  /** Makes it true; answers a sentence a change. */
  readonly apply: (config: ResolvedConfig, prune: boolean) => Promise<readonly string[]>;
}

export interface Reloaded {
  readonly changes: readonly string[];
  readonly warnings: readonly string[];
}

export interface ConfigSource {
  /** Why the file cannot be used now; null when what runs is what it says. */
  readonly error: TunnelError | null;
  /** `bringing`: for a command that brings tunnels up. Throws CONFIG_…; what runs is then untouched. */
  reload(prune: boolean, bringing?: Bringing): Promise<Reloaded>;
  close(): void;
}

/** Starts watching; the config is not read before the first `reload`. */
export function openConfigSource(parts: ConfigSourceParts): ConfigSource {
  const { log, file } = parts;
  let error: TunnelError | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  const read = async (prune: boolean, bringing: Bringing | null): Promise<Reloaded> => {
    try {
      const { config, files } = await parts.load(bringing);
      watcher.follow([file, ...files]);
      const changes = await parts.apply(config, prune);
      if (error !== null || changes.length > 0) log('info', 'config', sentenceOf(file, changes));
      error = null;
      return { changes, warnings: config.warnings };
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
  watcher.follow([file]);
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
