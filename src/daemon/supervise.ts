// The life of one supervisor: claim the config, read it, listen, bring up what is wanted, and end in good order.
// Both kinds live it: the one in the background, and `up --foreground`.
import type { Handlers } from '../control/connection.ts';
import type { Owner } from '../files/folders.ts';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { SupervisorStatus } from '../model/status.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import { version } from '../model/version.ts';
import type { SupervisorPlaces } from '../paths.ts';
import type { Engine, KnownTunnel, UpRequest } from '../supervisor/engine.ts';
import { stackOf } from './bug.ts';
import { openConfigSource, type ConfigSource, type LoadedConfig } from './config-source.ts';
import { createHandlers } from './handlers.ts';
import type { Log } from './log.ts';
import { appear, type Presence } from './presence.ts';
import type { Bringing } from './reading-environments.ts';
import { select, selector } from './selection.ts';
import { createRestoration, unattended, type Restoration } from './restoration.ts';
import { leave, takeSignals } from './signals.ts';
import { openWanted, type Wanted, type WantedFile } from '../control/wanted.ts';

export interface LifeParts {
  readonly at: SupervisorPlaces;
  readonly owner: Owner;
  /** Absolute path of the config. */
  readonly config: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly engine: Engine;
  readonly load: (bringing: Bringing | null) => Promise<LoadedConfig>;
  readonly nativeCrypto: boolean;
  /** What was wanted when the last supervisor ended. */
  readonly wanted: Wanted;
  /** False: nothing can be remembered on disk. */
  readonly writable: boolean;
  /** Null in the background. */
  readonly foreground: Foreground | null;
  /** The supervisor's own environment, for what it brings up by itself. */
  readonly environment: CallerEnvironment;
  /** Starts what follows the config besides tunnels (metrics); called after each reading that worked. */
  readonly onConfig: (config: ResolvedConfig) => Promise<void>;
  /** Why the metrics are not served; null when they are, or are not wanted. */
  readonly metricsError: () => TunnelError | null;
  /** The rest of what was opened, closed in order at the end. */
  readonly closers: readonly (() => Promise<void> | void)[];
  /** Gives the lock back. */
  readonly release: () => void;
}

export interface Foreground {
  /** Empty: all with autostart. */
  readonly selectors: readonly string[];
  readonly drainMs: number;
  /** As for a command: until the first time that a tunnel serves. */
  readonly acceptNew: boolean;
  /** As for a command: until the tunnel is down. */
  readonly remap: boolean;
}

/** How long a supervisor with nothing wanted waits for a first command, and for a next one. */
const firstCommandMs = 10_000;
const nextCommandMs = 1000;
/** What was wanted comes up with the first `up`, which brings an agent along, or by itself after this time. */
const restoreMs = 1000;
/** How long the end may take, after the drain. */
const endLimitMs = 10_000;

/**
 * Lives until it is told to end, or in the background until nothing is wanted. Resolves with the exit code.
 * `ready` is called once commands are answered. Throws CONFIG_…, NO_SUCH_TUNNEL or DAEMON_DOWN before that; everything
 * is then closed.
 */
export async function live(parts: LifeParts, ready: () => void): Promise<number> {
  const life = new Life(parts);
  try {
    await life.begin();
  } catch (thrown) {
    await life.close(0);
    throw thrown;
  }
  ready();
  return life.over;
}

class Life {
  readonly over: Promise<number>;
  readonly #parts: LifeParts;
  readonly #since = new Date().toISOString();
  readonly #source: ConfigSource;
  readonly #wanted: WantedFile;
  readonly #restoration: Restoration;
  readonly #signals: Cancel;
  #presence: Presence | null = null;
  #timer: Cancel | null = null;
  #restoreTimer: Cancel | null = null;
  #bringingUp = 0;
  #serving = false;
  #ending = false;
  #finishing = false;
  #finish: (code: number) => void = () => undefined;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.over = new Promise((resolve) => (this.#finish = resolve));
    const { engine, log, clock, config, load, wanted, at } = parts;
    this.#restoration = createRestoration(parts.foreground === null ? wanted.names : [], {
      ...parts,
      log: log.write,
    });
    this.#wanted = parts.writable
      ? openWanted(at.wanted, wanted, (failure) => {
          log.write('error', 'wanted', `${at.wanted} cannot be written: ${asTunnelError(failure).message}`);
        })
      : { remember: () => undefined, written: () => Promise.resolve() };
    this.#source = openConfigSource({
      file: config,
      clock,
      log: log.write,
      load,
      apply: async (resolved, prune) => {
        const before = engine.known();
        const changes = await engine.apply(resolved, { prune });
        await parts.onConfig(resolved);
        this.#startNew(before);
        return changes;
      },
    });
    this.#signals = takeSignals({
      end: (signal) => {
        // One in the foreground was told to end by whoever runs it: nobody else shall bring back what it served.
        if (parts.foreground !== null) this.#wanted.remember({ names: [] });
        this.#end(`ended by ${signal}`, parts.foreground?.drainMs ?? 0);
      },
      endNow: () => {
        parts.log.last('warn', 'end', 'a second signal came: the supervisor ends at once');
        this.#vanish(0);
      },
      reload: () => void this.#source.reload(false).catch(() => undefined), // logged, and kept as configError
      strange: (signal) => log.write('warn', 'signal', `${signal} came, which means nothing here`),
      bug: (thrown) => this.#bug(thrown),
    });
  }

  async begin(): Promise<void> {
    const { engine, foreground, log } = this.#parts;
    const { warnings } = await this.#source.reload(false);
    for (const warning of warnings) log.write('warn', 'config', warning);
    const unserved = this.#parts.metricsError();
    if (foreground !== null && unserved !== null) throw unserved;
    const names = foreground === null ? [] : select(foreground.selectors, engine.known(), 'autostart');
    engine.onWanted((wanted) => {
      // Until the old marks were brought up again they stay: a crash in between must not lose them.
      this.#wanted.remember({ names: [...new Set([...wanted, ...this.#restoration.waiting])] });
      this.#consider(nextCommandMs);
    });
    engine.onPorts((ports) => this.#wanted.remember({ ports }));
    this.#presence = await this.#appear();
    log.write('info', 'start', `supervisor ${version} (pid ${process.pid}) serves ${this.#parts.config}`);
    if (foreground !== null && names.length > 0) engine.up(names, this.#ownRequest(foreground));
    this.#serving = true;
    this.#restoreTimer = this.#parts.clock.schedule(restoreMs, () => this.#restore([], []));
    this.#consider(firstCommandMs);
  }

  #ownRequest({ acceptNew, remap }: Foreground): UpRequest {
    return { ...unattended(this.#parts.environment, []), acceptNew, remap };
  }

  /** In the foreground the file says what is up: a tunnel that has come to be meant starts. One taken down stays down. */
  #startNew(before: readonly KnownTunnel[]): void {
    const { engine, foreground, log } = this.#parts;
    if (foreground === null || !this.#serving) return;
    const isMeant = selector(foreground.selectors, 'autostart');
    const meantBefore = new Set(before.filter(isMeant).map(({ name }) => name));
    const names = engine
      .known()
      .filter((tunnel) => isMeant(tunnel) && !meantBefore.has(tunnel.name) && !tunnel.wanted)
      .map(({ name }) => name);
    if (names.length === 0) return;
    log.write('info', 'config', `starts what is new in the file: ${names.join(', ')}`);
    engine.up(names, this.#ownRequest(foreground));
  }

  #appear(): Promise<Presence | null> {
    const { at, owner, config, writable, log, engine, clock } = this.#parts;
    const handlers = createHandlers({
      engine,
      clock,
      supervisor: () => this.#status(),
      reload: async (prune, bringing) => {
        const { changes, warnings } = await this.#source.reload(prune, bringing);
        const unserved = this.#parts.metricsError();
        return { changes, warnings: unserved === null ? warnings : [...warnings, unserved.message] };
      },
      restore: (agents, except) => this.#restore(agents, except),
      broughtBack: () => this.#restoration.untold(),
      remembered: () => this.#wanted.written(),
      end: (ifIdle) => this.#endAfterAnswer(ifIdle),
    });
    return appear({
      at,
      owner,
      config,
      writable,
      log: log.write,
      handlers: this.#counted(handlers),
      refuse: () => (this.#ending ? onTheWayOut(config) : null),
      onBug: (error) => log.write('error', 'bug', error.message, { stack: stackOf(error) }),
      onConnections: () => this.#consider(nextCommandMs),
    });
  }

  /** Commands that are bringing tunnels up: before the engine wants something, only this count knows. */
  #counted(handlers: Handlers): Handlers {
    const count =
      <P, C, R>(handler: (params: P, call: C) => Promise<R>) =>
      async (params: P, call: C): Promise<R> => {
        this.#bringingUp++;
        try {
          return await handler(params, call);
        } finally {
          this.#bringingUp--;
        }
      };
    return { ...handlers, up: count(handlers.up), restart: count(handlers.restart) };
  }

  #status(): SupervisorStatus {
    return {
      running: true,
      pid: process.pid,
      version,
      config: this.#parts.config,
      since: this.#since,
      configError: this.#source.error?.message ?? null,
      metricsError: this.#parts.metricsError()?.message ?? null,
      nativeCrypto: this.#parts.nativeCrypto,
    };
  }

  #restore(agents: readonly string[], except: readonly string[]): void {
    this.#restoreTimer?.();
    if (this.#restoration.waiting.length === 0 || this.#ending) return;
    this.#restoration.now(agents, except);
    // What the command at hand brings up by itself is wanted a moment later, and remembered then.
    this.#wanted.remember({ names: [...new Set([...this.#wantedNames(), ...except])] });
    this.#consider(nextCommandMs);
  }

  #wantedNames(): readonly string[] {
    return this.#parts.engine
      .known()
      .filter(({ wanted }) => wanted)
      .map(({ name }) => name);
  }

  /** Nothing wanted, nothing to bring up again, and nobody at it: in the background that is the end. */
  #idle(): boolean {
    if (this.#parts.foreground !== null || this.#bringingUp > 0) return false;
    return this.#restoration.waiting.length === 0 && this.#wantedNames().length === 0;
  }

  /** Looks after a while whether to end by itself: a command may be about to come. */
  #consider(afterMs: number): void {
    if (this.#ending || !this.#idle()) return;
    this.#timer?.();
    this.#timer = this.#parts.clock.schedule(afterMs, () => {
      if (this.#idle() && this.#presence?.connections === 0) this.#end('nothing is wanted any more', 0);
    });
  }

  /** From a handler: new calls are refused from now on, and the answer leaves before the connection ends. */
  #endAfterAnswer(ifIdle: boolean): boolean {
    if (ifIdle && !this.#idle()) return false;
    setImmediate(() => this.#end(ifIdle ? 'nothing is wanted any more' : 'told to end', 0));
    this.#ending = true;
    return true;
  }

  #end(why: string, drainMs: number): void {
    if (this.#finishing) return;
    this.#finishing = true;
    this.#ending = true;
    this.#parts.log.write('info', 'end', `supervisor ends: ${why}`);
    // Whatever hangs: a supervisor that was told to end ends.
    setTimeout(() => {
      this.#parts.log.last(
        'error',
        'end',
        `not everything ended in ${endLimitMs / 1000}s; what is left is cut off`,
      );
      this.#vanish(0);
    }, drainMs + endLimitMs).unref();
    this.close(drainMs).then(
      () => this.#finish(0),
      (thrown: unknown) => this.#crash(thrown),
    );
  }

  /** In order: not found any more, ports closed, everything on disk, lock free, last answers out. */
  async close(drainMs: number): Promise<void> {
    const { engine, closers, release, log } = this.#parts;
    this.#ending = true;
    this.#timer?.();
    this.#restoreTimer?.();
    this.#source.close();
    await this.#presence?.withdraw();
    await engine.close(drainMs);
    for (const close of closers) await close();
    await this.#wanted.written();
    release();
    await this.#presence?.close();
    await log.close();
    this.#signals();
  }

  /** A bug of ours in one callback. Every other tunnel and client is better off with a supervisor than without. */
  #bug(thrown: unknown): void {
    const { message } = asTunnelError(thrown);
    this.#parts.log.write('error', 'bug', `a bug: ${message}; the supervisor goes on`, {
      stack: stackOf(thrown),
    });
  }

  #crash(thrown: unknown): void {
    const { message } = asTunnelError(thrown);
    this.#parts.log.last('error', 'bug', `a bug at the supervisor's end: ${message}`, {
      stack: stackOf(thrown),
    });
    this.#vanish(1);
  }

  #vanish(code: number): void {
    try {
      this.#presence?.vanish();
      this.#parts.release();
    } finally {
      leave(code);
    }
  }
}

function onTheWayOut(config: string): TunnelError {
  return new TunnelError('DAEMON_DOWN', `the supervisor of ${config} is on its way out`, {
    hint: { command: 'up' },
  });
}
