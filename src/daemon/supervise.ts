// The life of one supervisor that has claimed its config (claim.ts): read the config, listen, bring up what is wanted, and end in
// good order. Both kinds live it: the one in the background, and `up --foreground`.
import { networkInterfaces } from 'node:os';
import type { Handlers } from '../control/connection.ts';
import type { HandOverParams } from '../control/protocol.ts';
import { asTunnelError } from '../errors.ts';
import type { Cancel } from '../model/clock.ts';
import type { StatusDocument, SupervisorStatus, TunnelStatus } from '../model/status.ts';
import type { ResolvedConfig, Tunnel } from '../model/tunnel.ts';
import { version } from '../model/version.ts';
import type { KnownTunnel, UpRequest } from '../supervisor/engine.ts';
import { openConfigSource, type ConfigSource } from './config-source.ts';
import { drain, handOver, refuseHandover, type Successor } from './handover.ts';
import type { HistoryFile } from './history.ts';
import { arrivals, openStateHistory, openWantedMarks } from './records.ts';
import { createHandlers, select, selector } from './handlers.ts';
import { guardedHandlers } from './guarded-handlers.ts';
import { createHooks, type Hooks } from './hooks.ts';
import { Leases } from './leases.ts';
import { endAdhoc } from './end-adhoc.ts';
import type { Foreground, LifeParts } from './life-parts.ts';
import { stackOf } from './log.ts';
import type { MetricsServer } from './metrics-http.ts';
import { createMetricsServer } from './serve-metrics.ts';
import { watchNetwork } from './network-watch.ts';
import { createNotifier, NoticeWatch, showOnDesktop } from './notify.ts';
import { goOn, withOrphans, type Predecessor } from './predecessor.ts';
import { createRestoration, unattended, type Restoration } from './restoration.ts';
import { appear, onTheWayOut, type Presence } from './claim.ts';
import { leave, takeSignals } from './signals.ts';
import type { WantedFile } from '../control/wanted.ts';

/** How long a supervisor with nothing wanted waits for a first command, and for a next one. */
const firstCommandMs = 10_000;
const nextCommandMs = 1000;
/** What was wanted comes up with the first `up`, which brings an agent along, or by itself after this time. */
const restoreMs = 1000;
/** How long the end may take, after the drain. */
const endLimitMs = 10_000;
/** Of a supervisor that carries nothing any more: what has just ended may still be on its way. */
const lastBytesMs = 1000;

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
  readonly #leases: Leases;
  readonly #signals: Cancel;
  readonly #metrics: MetricsServer;
  readonly #notices: NoticeWatch;
  readonly #hooks: Hooks;
  /** Null where nothing can be remembered on disk. */
  #history: HistoryFile | null;
  /** End the watches that a supervisor keeps beside its tunnels. */
  readonly #cancels: readonly Cancel[];
  #presence: Presence | null = null;
  #timer: Cancel | null = null;
  #restoreTimer: Cancel | null = null;
  #bringingUp = 0;
  #serving = false;
  #ending = false;
  #finishing = false;
  #metricsAddress: ResolvedConfig['metrics'] = null;
  /** What was wanted of the supervisor before this one, until this one has it up. */
  #handed: readonly string[];
  /** Settles when a handover that is under way is over. */
  #handing: Promise<unknown> | null = null;
  #successor: Successor | null = null;
  #finish: (code: number) => void = () => undefined;

  constructor(parts: LifeParts) {
    this.#parts = parts;
    this.over = new Promise((resolve) => (this.#finish = resolve));
    const { engine, log, clock, wanted, facts, predecessor } = parts;
    this.#handed = predecessor?.wanted ?? [];
    const left = predecessor?.state.restoring ?? (parts.foreground === null ? wanted.names : []);
    this.#restoration = createRestoration(left, { ...parts, log: log.write });
    this.#wanted = openWantedMarks(parts);
    this.#leases = new Leases({
      wanted: () => new Set([...this.#wantedNames(), ...this.#restoration.waiting, ...this.#handed]),
      down: async (names, once) => {
        await Promise.all([engine.down(names, 0), predecessor?.down(names, 0)]);
        await endAdhoc(once, parts);
      },
      changed: () => this.#remember([]),
    });
    this.#metrics = createMetricsServer({
      ...parts,
      document: () => this.#document(),
      history: () => this.#history?.lines ?? [],
    });
    this.#hooks = createHooks({ ...parts, log: log.write });
    const notifier = createNotifier(showOnDesktop(facts.platform, facts.env));
    this.#notices = new NoticeWatch(notifier, clock, () => this.#statuses());
    this.#history = openStateHistory(parts);
    this.#cancels = [
      watchNetwork({
        clock,
        interfaces: networkInterfaces,
        changed: (reason) => engine.lookAround(reason),
        slept: (fromMs) => this.#history?.slept(fromMs),
      }),
      engine.onState((change) => this.#history?.changed(change)),
      engine.onState((change) => this.#hooks.changed(change)),
      engine.onChange(() => this.#notices.changed()),
      () => this.#notices.stop(),
    ];
    this.#source = this.#openSource();
    this.#signals = this.#takeSignals();
  }

  #openSource(): ConfigSource {
    const { engine, log, clock, config, load, predecessor } = this.#parts;
    return openConfigSource({
      file: config,
      clock,
      log: log.write,
      load,
      apply: async (resolved, prune, bringing) => {
        await this.#handing?.catch(() => undefined); // the caller tells
        if (this.#ending) return [];
        const before = engine.known();
        const starts = (tunnel: Tunnel): boolean => bringing?.brings(tunnel) === true || this.#meant(tunnel);
        const changes = await engine.apply(withOrphans(resolved, this.#serving ? null : predecessor), {
          prune,
          starts,
        });
        this.#notices.wanted = resolved.notify;
        this.#metricsAddress = resolved.metrics;
        const served = await this.#metrics.serve(resolved.metrics);
        this.#startNew(before);
        return [...changes, ...served];
      },
    });
  }

  #takeSignals(): Cancel {
    const { log, foreground } = this.#parts;
    return takeSignals({
      end: (signal) =>
        this.#successor === null
          ? this.#end(`ended by ${signal}`, foreground?.drainMs ?? 0)
          : void this.#leave(),
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
    engine.onWanted(() => {
      if (this.#ending) return;
      this.#remember(this.#handed);
      this.#consider(nextCommandMs);
    });
    engine.onPorts((ports) => this.#wanted.remember({ ports }));
    this.#presence = await this.#appear();
    log.write('info', 'start', `supervisor ${version} (pid ${process.pid}) serves ${this.#parts.config}`);
    if (this.#parts.predecessor !== null) this.#goOn(this.#parts.predecessor);
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
        const reloaded = await this.#source.reload(prune, bringing);
        const unserved = this.#metrics.error;
        if (unserved === null) return reloaded;
        return { ...reloaded, warnings: [...reloaded.warnings, unserved.message] };
      },
      restore: (agents, except) => this.#restore(agents, except),
      broughtBack: () => this.#restoration.untold(),
      leases: this.#leases,
      forget: (names) => endAdhoc(names, this.#parts),
      remembered: () => this.#wanted.written(),
      end: (ifIdle) => this.#endAfterAnswer(ifIdle),
      handOver: (params) => this.#handOver(params),
      endEarlier: async (names, drainMs) => this.#parts.predecessor?.down(names, drainMs),
    });
    return appear({
      at,
      owner: facts,
      config,
      writable,
      log: log.write,
      handlers: this.#guarded(handlers),
      refuse: () => (this.#ending ? onTheWayOut(config) : null),
      onBug: (error) => log.write('error', 'bug', error.message, { stack: stackOf(error) }),
      onConnections: () => this.#consider(nextCommandMs),
    });
  }

  #guarded(handlers: Handlers): Handlers {
    return guardedHandlers(handlers, {
      settled: async () => {
        await this.#handing?.catch(() => undefined); // whoever asked for it is told
        if (this.#successor !== null) throw onTheWayOut(this.#parts.config);
      },
      counted: (by) => (this.#bringingUp += by),
    });
  }

  #status(): SupervisorStatus {
    const { predecessor } = this.#parts;
    const carried = predecessor?.connections ?? 0;
    return {
      running: true,
      pid: process.pid,
      version,
      config: this.#parts.config,
      since: this.#since,
      configError: this.#source.error?.message ?? null,
      metricsError: this.#metrics.error?.message ?? null,
      page: this.#metrics.page,
      nativeCrypto: this.#parts.nativeCrypto,
      draining:
        carried > 0 && predecessor !== null ? { pid: predecessor.state.pid, connections: carried } : null,
    };
  }

  #restore(agents: readonly string[], except: readonly string[]): void {
    this.#restoreTimer?.();
    if (this.#restoration.waiting.length === 0 || this.#ending) return;
    this.#restoration.now(agents, except);
    // What the command at hand brings up by itself is wanted a moment later, and remembered then.
    this.#remember(except);
    this.#consider(nextCommandMs);
  }

  /**
   * What is wanted beyond the commands that lease it. Until the old marks were brought up again they stay: a crash in between
   * must not lose them.
   */
  #remember(more: readonly string[]): void {
    const names = new Set([...this.#wantedNames(), ...this.#restoration.waiting, ...more]);
    this.#wanted.remember({ names: [...names].filter((name) => !this.#leases.has(name)) });
  }

  #document(): StatusDocument {
    return { version: 1, supervisor: this.#status(), tunnels: this.#statuses() };
  }

  #statuses(): readonly TunnelStatus[] {
    const { engine } = this.#parts;
    return engine.status(engine.known().map(({ name }) => name));
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
    this.#leases.end();
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

  // A replacement: see handover.ts for the old supervisor's part, predecessor.ts for the new one's.

  async #handOver(params: HandOverParams): Promise<{ readonly pid: number; readonly version: string }> {
    const { engine, foreground, lock, readings } = this.#parts;
    const isBusy = (): boolean => this.#handing !== null || this.#ending;
    const now = { foreground: foreground !== null, engine };
    refuseHandover(params, { ...now, isBusy: isBusy() });
    // What was saved a moment ago counts: a tunnel that is gone from the file is handed over as one.
    await this.#source.reload(false).catch(() => undefined); // logged
    refuseHandover(params, { ...now, isBusy: isBusy() });
    const handing = handOver(params.program, {
      ...this.#parts,
      lock: lock.nonce,
      readings: readings(),
      restoring: this.#restoration.waiting,
      leased: this.#leases.handed,
      pause: () => this.#pause(),
      resume: () => this.#resume(),
    });
    this.#handing = handing;
    try {
      const successor = await handing;
      this.#follow(successor);
      return { pid: successor.pid, version: successor.version };
    } finally {
      this.#handing = null;
    }
  }

  async #pause(): Promise<void> {
    await this.#presence?.withdraw();
    await this.#metrics.close();
    await this.#history?.close();
    await this.#wanted.written();
  }

  /** The one that was to follow has failed. */
  async #resume(): Promise<void> {
    const { lock, clock } = this.#parts;
    const outcome = lock.take();
    if (outcome.kind === 'held' && outcome.pid !== process.pid)
      return this.#end(`another supervisor (pid ${outcome.pid}) has come meanwhile`, 0);
    await this.#presence?.comeBack();
    void this.#metrics.serve(this.#metricsAddress);
    this.#history = openStateHistory(this.#parts);
    for (const change of arrivals(this.#statuses(), clock.now())) this.#history?.changed(change);
  }

  /** Another one serves: no command, no file and no port is this one's any more, only the connections that run. */
  #follow(successor: Successor): void {
    const { engine, log, config, predecessor } = this.#parts;
    const { pid, version: its } = successor;
    this.#successor = successor;
    this.#ending = true;
    log.write('info', 'handover', `supervisor ${its} (pid ${pid}) goes on with what pid ${process.pid} had`);
    log.hush(`the supervisor before (pid ${process.pid})`);
    this.#timer?.();
    this.#restoreTimer?.();
    this.#source.close();
    this.#leases.leave();
    for (const cancel of this.#cancels) cancel();
    void engine.letGo(
      'here',
      engine.known().map(({ name }) => name),
    );
    this.#presence?.turnAway(onTheWayOut(config));
    // The answer to whoever asked leaves first.
    setImmediate(() => void drain({ engine, successor, predecessor }).then(() => this.#leave()));
  }

  /** The end of one that has been replaced. */
  async #leave(): Promise<void> {
    if (this.#finishing) return;
    this.#finishing = true;
    setTimeout(() => leave(0), endLimitMs).unref();
    await this.#parts.engine.close(lastBytesMs);
    await this.#presence?.close();
    await this.#parts.log.close();
    this.#finish(0);
  }

  #goOn(predecessor: Predecessor): void {
    this.#leases.inherit(predecessor.leased, this.#parts.clock);
    goOn(predecessor, this.#parts);
    this.#handed = [];
    this.#remember([]);
    // logged where it fails; what is in no file is told apart by it
    if (predecessor.orphans.length > 0) void this.#source.reload(false).catch(() => undefined);
  }

  /** In order: not found any more, ports closed, everything on disk, lock free, last answers out. */
  async close(drainMs: number): Promise<void> {
    const { engine, lock, log, predecessor } = this.#parts;
    this.#ending = true;
    if (this.#serving) predecessor?.end();
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
    lock.release();
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
      if (this.#successor === null) {
        this.#presence?.vanish();
        this.#parts.lock.release();
      }
    } finally {
      leave(code);
    }
  }
}
