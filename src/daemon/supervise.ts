// The life of one supervisor that has claimed its config (claim.ts): read the config, listen, bring up what is wanted, and end in
// good order. Both kinds live it: the one in the background, and `up --foreground`.
import { networkInterfaces } from 'node:os';
import type { Handlers } from '../control/connection.ts';
import { asTunnelError, TunnelError } from '../errors.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { HistoryLine } from '../model/history.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { StatusDocument, SupervisorStatus, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { version } from '../model/version.ts';
import type { PlaceFacts, SupervisorPlaces } from '../paths.ts';
import type { Engine, EngineLog, KnownTunnel, UpRequest } from '../supervisor/engine.ts';
import { openConfigSource, type Bringing, type ConfigSource, type LoadedConfig } from './config-source.ts';
import { openHistory, type HistoryFile } from './history.ts';
import { createHandlers, select, selector } from './handlers.ts';
import { createHooks, type Hooks } from './hooks.ts';
import { stackOf, type Log } from './log.ts';
import { MetricsServer } from './metrics-http.ts';
import { watchNetwork } from './network-watch.ts';
import { createNotifier, showOnDesktop, type Notifier } from './notify.ts';
import { appear, type Presence } from './claim.ts';
import { leave, takeSignals } from './signals.ts';
import { openWanted, type Wanted, type WantedFile } from '../control/wanted.ts';

export interface LifeParts {
  readonly at: SupervisorPlaces;
  readonly facts: PlaceFacts;
  /** Absolute path of the config. */
  readonly config: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly engine: Engine;
  readonly load: (bringing: Bringing | null) => Promise<LoadedConfig>;
  readonly nativeCrypto: boolean;
  /** Variables that hold secrets: no command gets them. */
  readonly withheld: () => ReadonlySet<string>;
  /** What was wanted when the last supervisor ended. */
  readonly wanted: Wanted;
  /** False: nothing can be remembered on disk. */
  readonly writable: boolean;
  /** Null in the background. */
  readonly foreground: Foreground | null;
  /** The supervisor's own environment, for what it brings up by itself. */
  readonly environment: CallerEnvironment;
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
/** Changes come with every connection that is carried; whether a person is needed is looked at this seldom. */
const notifyMs = 1000;
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
  readonly #metrics: MetricsServer;
  readonly #notifier: Notifier;
  readonly #hooks: Hooks;
  /** Null where nothing can be remembered on disk. */
  readonly #history: HistoryFile | null;
  /** End the watches that a supervisor keeps beside its tunnels. */
  readonly #cancels: readonly Cancel[];
  #notifies = true;
  #notifyTimer: Cancel | null = null;
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
    const { engine, log, clock, wanted, at, facts } = parts;
    this.#restoration = createRestoration(parts.foreground === null ? wanted.names : [], {
      ...parts,
      log: log.write,
    });
    this.#wanted = parts.writable
      ? openWanted(at.wanted, wanted, (failure) => {
          log.write('error', 'wanted', `${at.wanted} cannot be written: ${asTunnelError(failure).message}`);
        })
      : { remember: () => undefined, written: () => Promise.resolve() };
    this.#metrics = new MetricsServer({
      document: () => this.#document(),
      log: log.write,
      clock,
      openPage: async () => {
        const { openPage } = await import('./page.ts');
        const history = (): readonly HistoryLine[] => this.#history?.lines ?? [];
        return openPage({ engine, clock, history, document: () => this.#document() });
      },
    });
    this.#hooks = createHooks({ ...parts, log: log.write });
    this.#notifier = createNotifier(showOnDesktop(facts.platform, facts.env));
    this.#history = parts.writable
      ? openHistory(at.history, clock, (failure) => {
          log.write('error', 'history', `${at.history} cannot be written: ${asTunnelError(failure).message}`);
        })
      : null;
    this.#cancels = [
      watchNetwork({
        clock,
        interfaces: networkInterfaces,
        changed: (reason) => engine.lookAround(reason),
        slept: (fromMs) => this.#history?.slept(fromMs),
      }),
      engine.onState((change) => this.#history?.changed(change)),
      engine.onState((change) => this.#hooks.changed(change)),
      engine.onChange(() => this.#notifySoon()),
      () => this.#notifyTimer?.(),
    ];
    this.#source = this.#openSource();
    this.#signals = this.#takeSignals();
  }

  #openSource(): ConfigSource {
    const { engine, log, clock, config, load } = this.#parts;
    return openConfigSource({
      file: config,
      clock,
      log: log.write,
      load,
      apply: async (resolved, prune, bringing) => {
        const before = engine.known();
        const starts = (tunnel: Tunnel): boolean => bringing?.brings(tunnel) === true || this.#meant(tunnel);
        const changes = await engine.apply(resolved, { prune, starts });
        this.#notifies = resolved.notify;
        await this.#metrics.serve(resolved.metrics);
        this.#startNew(before);
        return changes;
      },
    });
  }

  #takeSignals(): Cancel {
    const { log, foreground } = this.#parts;
    return takeSignals({
      end: (signal) => this.#end(`ended by ${signal}`, foreground?.drainMs ?? 0),
      endNow: () => {
        log.last('warn', 'end', 'a second signal came: the supervisor ends at once');
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
    const unserved = this.#metrics.error;
    if (foreground !== null && unserved !== null) throw unserved;
    const names = foreground === null ? [] : select(foreground.selectors, engine.known(), 'autostart');
    engine.onWanted((wanted) => {
      if (this.#ending) return;
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

  /** In the foreground the file says what is up. */
  #meant(tunnel: Pick<Tunnel, 'name' | 'tags' | 'autostart'>): boolean {
    const { foreground } = this.#parts;
    return foreground !== null && this.#serving && selector(foreground.selectors, 'autostart')(tunnel);
  }

  /** In the foreground a tunnel that has come to be meant starts. One taken down stays down. */
  #startNew(before: readonly KnownTunnel[]): void {
    const { engine, foreground, log } = this.#parts;
    if (foreground === null) return;
    const meantBefore = new Set(before.filter((tunnel) => this.#meant(tunnel)).map(({ name }) => name));
    const names = engine
      .known()
      .filter((tunnel) => this.#meant(tunnel) && !meantBefore.has(tunnel.name) && !tunnel.wanted)
      .map(({ name }) => name);
    if (names.length === 0) return;
    log.write('info', 'config', `starts what is new in the file: ${names.join(', ')}`);
    engine.up(names, this.#ownRequest(foreground));
  }

  #appear(): Promise<Presence | null> {
    const { at, facts, config, writable, log, engine, clock } = this.#parts;
    const handlers = createHandlers({
      engine,
      clock,
      supervisor: () => this.#status(),
      reload: async (prune, bringing) => {
        const { changes, warnings } = await this.#source.reload(prune, bringing);
        const unserved = this.#metrics.error;
        return { changes, warnings: unserved === null ? warnings : [...warnings, unserved.message] };
      },
      restore: (agents, except) => this.#restore(agents, except),
      broughtBack: () => this.#restoration.untold(),
      remembered: () => this.#wanted.written(),
      end: (ifIdle) => this.#endAfterAnswer(ifIdle),
    });
    return appear({
      at,
      owner: facts,
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
      metricsError: this.#metrics.error?.message ?? null,
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

  #statuses(): readonly TunnelStatus[] {
    const { engine } = this.#parts;
    return engine.status(engine.known().map(({ name }) => name));
  }

  #document(): StatusDocument {
    return { version: 1, supervisor: this.#status(), tunnels: this.#statuses() };
  }

  #notifySoon(): void {
    this.#notifyTimer ??= this.#parts.clock.schedule(notifyMs, () => {
      this.#notifyTimer = null;
      this.#notifier.look(this.#statuses(), this.#notifies);
    });
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

  /** Considers after a while whether the supervisor ends by itself: a command may be about to come. */
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
    // Only a crash leaves marks for the next supervisor (SPEC 3): this one was told to end, or nothing is wanted any more.
    this.#wanted.remember({ names: [] });
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
    const { engine, release, log } = this.#parts;
    this.#ending = true;
    this.#timer?.();
    this.#restoreTimer?.();
    this.#source.close();
    await this.#presence?.withdraw();
    await engine.close(drainMs);
    for (const cancel of this.#cancels) cancel();
    await this.#hooks.close();
    await this.#metrics.close();
    await this.#history?.close();
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

/**
 * Brings up again what was wanted when the last supervisor ended: once, with the first `up`, which brings an agent along, or
 * by itself soon after the start.
 */
interface Restoration {
  /** Names that still wait to be brought up again; empty once they were. */
  readonly waiting: readonly string[];
  /**
   * Brings them up, the first time it is called. `agents`: those of the command at hand, newest first; `except`: what
   * that command brings up itself, on its own terms.
   */
  now(agents: readonly string[], except: readonly string[]): void;
  /** Names that were brought up again and that nobody was told of yet, for a command that tells. */
  untold(): readonly string[];
}

function createRestoration(
  names: readonly string[],
  parts: { readonly engine: Engine; readonly log: EngineLog; readonly environment: CallerEnvironment },
): Restoration {
  const { engine, log, environment } = parts;
  let waiting = names;
  let untold: readonly string[] = [];
  return {
    untold() {
      const told = untold;
      untold = [];
      return told;
    },
    get waiting() {
      return waiting;
    },
    now(agents, except) {
      const known = new Set(engine.known().map(({ name }) => name));
      const present = waiting.filter((name) => known.has(name) && !except.includes(name));
      const gone = waiting.filter((name) => !known.has(name));
      waiting = [];
      if (present.length > 0) {
        log('info', 'restore', `brings up again what was wanted: ${present.join(', ')}`);
        engine.up(present, unattended(environment, agents));
        untold = present;
      }
      if (gone.length > 0) log('warn', 'restore', `no longer in the config: ${gone.join(', ')}`);
    },
  };
}

/** The request of a supervisor that brings up tunnels by itself: nobody is there, nothing is accepted. */
function unattended(environment: CallerEnvironment, agents: readonly string[]): UpRequest {
  const agentSockets = [...agents, ...environment.agentSockets];
  return {
    acceptNew: false,
    remap: false,
    personPresent: false,
    environment: { ...environment, agentSockets },
  };
}
