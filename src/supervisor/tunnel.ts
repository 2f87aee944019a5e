// A tunnel at work: its listeners from `up` to `down`, and the link they want. `status.ts` derives its state.
import { formatHopLogin, type Host } from '../model/host.ts';
import { TunnelError } from '../errors.ts';
import type { CreateCarrier, LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { TunnelFlow } from '../model/flow.ts';
import type { DialStep } from '../model/session.ts';
import type { HandedListener, HandedTunnel, Inheritance } from '../model/handover.ts';
import type { StateChange } from '../model/history.ts';
import type { TunnelState, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { decisionOf, lateError, Waiters } from './awaited.ts';
import type { Decided } from './awaited.ts';
import type { EngineLog, UpRequest, Waiting } from './engine.ts';
import { backoffMs } from './link-machine.ts';
import { LinkUse } from './link-use.ts';
import type { LinkUseParts } from './link-use.ts';
import { Listeners } from './listeners.ts';
import type { AddressBook } from './listeners.ts';
import { TunnelRecord } from './record.ts';
import { tunnelStatus } from './status.ts';
import type { LinkSnapshot, TimedError } from './status.ts';

/** What one tunnel may ask of the rest of the engine. */
export interface TunnelParts extends LinkUseParts {
  readonly createCarrier: CreateCarrier;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly log: EngineLog;
  readonly addresses: AddressBook;
  readonly preferredPort: (tunnel: string, forward: string) => number | null;
  readonly portChosen: (tunnel: string, forward: string, port: number) => void;
  /** Null for a tunnel that does not exist. */
  readonly stateOf: (tunnel: string) => TunnelState | null;
  readonly changed: (tunnel: string) => void;
  readonly moved: (change: StateChange) => void;
  readonly inheritance?: Inheritance | null;
}

/** How long listeners may take to end: remote ones give their server 2 s (SPEC 4, `down`), and a moment goes to saying so. */
const closeLimitMs = 2_250;

export class TunnelRun {
  readonly linkUse: LinkUse;
  #tunnel: Tunnel;
  #orphan = false;
  #wanted = false;
  readonly #parts: TunnelParts;
  readonly #waiters = new Waiters();
  readonly #record: TunnelRecord;
  #listeners: Listeners | null = null;
  #closing: Promise<void> | null = null;
  #halted = false;
  /** Lazy, and a client has knocked. */
  #woken = false;
  #remap = false;
  #view: LinkView = { state: 'asleep' };
  #wantedSinceMs = 0;
  #waitsFor: TimedError | null = null;
  #idle: Cancel | null = null;
  #refreshing = false;
  #stale = false;

  constructor(tunnel: Tunnel, parts: TunnelParts) {
    this.#tunnel = tunnel;
    this.#parts = parts;
    this.#record = new TunnelRecord(() => this.#tunnel, parts.log, parts.moved);
    this.linkUse = new LinkUse(parts, () => this.#tunnel, {
      changed: () => this.refresh(),
      suffered: (loss) => this.#record.suffered(loss),
    });
  }

  /** As the config says; kept when the tunnel is gone from the file. */
  get tunnel(): Tunnel {
    return this.#tunnel;
  }

  /** Gone from the file. */
  get orphan(): boolean {
    return this.#orphan;
  }

  /** The user asked for the tunnel. */
  get wanted(): boolean {
    return this.#wanted;
  }

  get state(): TunnelState {
    return this.#record.verdict.state;
  }

  /** Idempotent; cuts short a wait. `stamp` grows with each command. */
  up(request: UpRequest, stamp: number): void {
    this.#want(request, stamp);
    if (this.#closing !== null) return;
    if (this.#listeners === null) this.#begin();
    else {
      void this.#listeners.open(request.remap);
      this.#listeners.retry();
      this.linkUse.nudge(request);
    }
    this.refresh();
  }

  /** Like `up`, over a fresh link, which `LinkUse.renew` prepared. */
  restart(request: UpRequest, stamp: number): void {
    if (!this.#active) return this.up(request, stamp);
    this.#want(request, stamp);
    this.#listeners?.resetConnections();
    void this.#listeners?.open(request.remap);
    if (this.linkUse.link !== null) this.linkUse.move(false);
    this.linkUse.link?.answered();
    this.refresh();
  }

  /** Resolves when the ports are closed. Idempotent. */
  down(drainMs: number): Promise<void> {
    this.#wanted = false;
    return this.#shut(drainMs);
  }

  /** The engine ends: the wanted mark stays. */
  halt(drainMs: number): Promise<void> {
    this.#halted = true;
    return this.#shut(drainMs);
  }

  /** The config changed. Ends no running connection. */
  async reshape(tunnel: Tunnel): Promise<void> {
    const before = this.linkUse.key;
    this.#tunnel = tunnel;
    if (!this.#active) return this.refresh();
    const reshaped = this.#listeners?.reshape(tunnel.forwards, tunnel.hold);
    if (this.linkUse.link !== null && this.linkUse.key !== before) this.linkUse.move(true);
    this.linkUse.link?.replan();
    this.refresh();
    await reshaped;
    this.refresh();
  }

  /** The config was read anew: the tunnel is in it, or is not. */
  inFile(isIn: boolean): void {
    this.#orphan = !isIn;
  }

  settled(signal: AbortSignal, waiting: Waiting): Promise<TunnelError | null> {
    let wasWanted = false;
    const facts = (): Decided => ({
      wanted: this.#wanted,
      takenDown: (wasWanted ||= this.#wanted) && !this.#wanted,
      verdict: this.#record.verdict,
      link: this.linkUse.snapshot(),
      status: {
        name: this.#tunnel.name,
        state: this.state,
        endpoint: formatHopLogin(this.#tunnel.ways[0].at(-1) as Host),
        forwards: this.#listeners?.forwardStatuses() ?? [],
      },
    });
    const settled = this.#waiters.wait(
      () => decisionOf(waiting, facts()),
      () => lateError(waiting, facts()),
      signal,
    );
    this.refresh();
    return settled.finally(() => {
      // What the command granted ends with the command.
      if (!this.#waiters.waiting) this.linkUse.endTerms();
      this.refresh();
    });
  }

  status(): TunnelStatus {
    return tunnelStatus({
      tunnel: this.#tunnel,
      orphan: this.#orphan,
      wanted: this.#wanted,
      record: this.#record,
      link: this.linkUse.snapshot(),
      forwards: this.#listeners?.forwardStatuses() ?? null,
      clock: this.#parts.clock,
    });
  }

  /** What another process needs to go on with the tunnel; null where it is not wanted. */
  handing(): HandedTunnel | null {
    if (!this.#wanted) return null;
    const { name, forwards } = this.#tunnel;
    return {
      name,
      orphan: this.#orphan ? this.#tunnel : null,
      environment: this.linkUse.environment(),
      remap: this.#remap,
      remote: forwards.some(({ type }) => type === 'remote'),
    };
  }

  get listening(): readonly HandedListener[] {
    return this.#active ? (this.#listeners?.handing() ?? []) : [];
  }

  /** Connections that run or wait, those that only drain too. */
  get connections(): number {
    return this.#listeners?.connections ?? 0;
  }

  /** Another process listens from now on. What runs or is held goes on over the link, which is kept. */
  async letGo(where: 'here' | 'server'): Promise<void> {
    await this.#listeners?.letGo(where);
  }

  flows(most: number): readonly TunnelFlow[] {
    return this.#listeners?.flows(most) ?? [];
  }

  loginSteps(): readonly DialStep[] | null {
    const { link } = this.linkUse;
    return link === null || link.session === null ? null : link.loginSteps();
  }

  /** Derives everything anew: the link to want, the view of the carriers, the verdict. Cheap; never throws. */
  refresh(): void {
    this.#stale = true;
    if (this.#refreshing) return;
    this.#refreshing = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        this.#wantLink();
        this.#follow();
        this.#judge();
      }
    } finally {
      this.#refreshing = false;
    }
    this.#parts.changed(this.#tunnel.name);
    this.#waiters.look();
  }

  /** True from `up` to `down`: the ports are bound, or about to be. */
  get #active(): boolean {
    return this.#listeners !== null && this.#closing === null;
  }

  /** True while no client has knocked. A port on the server cannot wake a link: such a tunnel is never lazy. */
  get #lazy(): boolean {
    const { lazy, forwards } = this.#tunnel;
    return lazy && !this.#woken && forwards.every(({ type }) => type !== 'remote');
  }

  #want(request: UpRequest, stamp: number): void {
    this.#wanted = true;
    this.#remap = request.remap;
    this.linkUse.take(request, stamp);
  }

  #begin(): void {
    const { clock, random, preferredPort, portChosen, inheritance } = this.#parts;
    const name = (): string => this.#tunnel.name;
    this.#wantedSinceMs = clock.monotonic();
    this.#record.begin();
    this.#view = carrierView(null, this.#lazy, this.#wantedSinceMs);
    const parts = {
      ...this.#parts,
      tunnel: name,
      preferredPort: (forward: string) => preferredPort(name(), forward),
      portChosen: (forward: string, port: number) => portChosen(name(), forward, port),
      backoffMs: (retry: number) => backoffMs(retry, this.#tunnel.reconnect, random),
      changed: () => this.refresh(),
      knock: () => this.#knock(),
      environment: () => this.linkUse.environment(),
      adopted: (forward: string, listen: Endpoint) => inheritance?.listener(name(), forward, listen) ?? null,
      predecessorLeaves: () => inheritance?.leaveServer(name()) ?? null,
    };
    this.#listeners = new Listeners(parts, this.#tunnel.forwards, this.#tunnel.hold, this.#view);
    void this.#listeners.open(this.#remap);
  }

  #shut(drainMs: number): Promise<void> {
    if (this.#listeners === null) return Promise.resolve();
    if (this.#closing !== null && drainMs === 0) this.#listeners.resetConnections();
    this.#closing ??= this.#close(this.#listeners, drainMs).then(() => {
      this.#closing = null;
      this.#listeners = null;
      if (this.#wanted && !this.#halted) this.#begin();
      else if (!this.#wanted) this.linkUse.forgetEnvironment();
      this.refresh();
    });
    this.refresh();
    return this.#closing;
  }

  async #close(listeners: Listeners, drainMs: number): Promise<void> {
    this.#woken = false;
    this.#waitsFor = null;
    this.#stayAwake();
    // A live link stays until its remote listeners are confirmed closed; a login under way is of no use any more.
    if (this.linkUse.link?.session == null) this.linkUse.leave(false);
    let cancel: Cancel = () => {};
    const limit = new Promise<void>((resolve) => {
      cancel = this.#parts.clock.schedule(drainMs + closeLimitMs, resolve);
    });
    await Promise.race([listeners.close(drainMs), limit]);
    cancel();
    const { link } = this.linkUse;
    // A connection that has ended here may still have last bytes on the server, which forgets them with the session.
    this.linkUse.leave(drainMs > 0);
    // a link that nobody else uses ends now, and takes with it what its server would not end
    if (link === null || link.users.size === 0) return;
    const left = listeners.statuses().flatMap(({ error }) => (error?.facts.stillListens ? [error] : []));
    if (left.length > 0) this.#record.leftBehind(left, this.#parts.clock.now());
  }

  #wantLink(): void {
    if (!this.#active || this.linkUse.link !== null || this.#lazy) return;
    if (this.#listeners?.binding === true || this.#listeners?.serviceable !== true) return;
    const { clock, stateOf } = this.#parts;
    this.#waitsFor = waitsFor(this.#tunnel, stateOf, this.#waitsFor, clock.now());
    if (this.#waitsFor === null) this.linkUse.acquire();
  }

  /** Tells the carriers what is new of the link, and the link what is new of the clients. */
  #follow(): void {
    const link = this.linkUse.snapshot();
    this.#record.cameBack(this.linkUse.takeComebacks());
    if (link !== null && link.session !== null) this.linkUse.endTerms();
    const view = carrierView(link, this.#lazy, this.#wantedSinceMs);
    if (this.#active && !sameView(view, this.#view)) {
      this.#view = view;
      this.#listeners?.link(view);
    }
    const statuses = this.#listeners?.statuses() ?? [];
    const { waiting } = this.#waiters;
    const holds = statuses.some(({ held }) => held > 0);
    this.linkUse.hurry(holds ? 'held' : waiting ? 'waiting' : 'none');
    const busy = waiting || this.#listeners?.busy === true;
    if (busy || !this.#mayRest(link)) this.#stayAwake();
    else this.#planSleep();
  }

  /** A lazy tunnel lets its link go, but not a blocked one, whose error is to be kept. */
  #mayRest(link: LinkSnapshot | null): boolean {
    return this.#woken && link !== null && link.state.kind !== 'blocked' && link.question === null;
  }

  #planSleep(): void {
    const { idleTimeoutMs } = this.#tunnel;
    if (idleTimeoutMs === null) return;
    this.#idle ??= this.#parts.clock.schedule(idleTimeoutMs, () => {
      this.#idle = null;
      // a client of the last moment may not have been told of yet
      if (this.#listeners?.busy === true) return this.refresh();
      this.#woken = false;
      this.linkUse.leave(true);
      this.refresh();
    });
  }

  #stayAwake(): void {
    this.#idle?.();
    this.#idle = null;
  }

  #judge(): void {
    const listeners = this.#listeners;
    this.#record.judge({
      wanted: listeners !== null,
      closing: this.#closing !== null,
      asleep: this.#lazy,
      binding: listeners?.binding ?? false,
      listenFailure: listeners?.listenFailure ?? null,
      waitsFor: this.#waitsFor,
      link: this.linkUse.snapshot(),
      carriers: listeners?.statuses() ?? [],
      now: this.#parts.clock.now(),
    });
  }

  #knock(): void {
    if (!this.#active) return;
    if (this.#lazy) this.#woken = true;
    else this.linkUse.knock();
    this.refresh();
  }
}

/** Null: the tunnel has no link now; `sinceMs` is when it began to want one. */
function carrierView(link: LinkSnapshot | null, asleep: boolean, sinceMs: number): LinkView {
  if (link === null)
    return asleep ? { state: 'asleep' } : { state: 'away', sinceMs, failures: 0, reached: false };
  if (link.session !== null) return { state: 'up', session: link.session };
  if (link.question !== null) return { state: 'blocked', personPresent: true };
  if (link.state.kind === 'blocked') return { state: 'blocked', personPresent: link.examining };
  return { state: 'away', sinceMs: link.awaySinceMs, failures: link.failures, reached: link.reached };
}

function sameView(a: LinkView, b: LinkView): boolean {
  if (a.state === 'up' && b.state === 'up') return a.session === b.session;
  if (a.state === 'blocked' && b.state === 'blocked') return a.personPresent === b.personPresent;
  if (a.state === 'away' && b.state === 'away')
    return a.sinceMs === b.sinceMs && a.failures === b.failures && a.reached === b.reached;
  return a.state === b.state;
}

/** What a tunnel still waits for by its `after:`, null for nothing. `before` is given back while it says the same. */
function waitsFor(
  tunnel: Tunnel,
  stateOf: (name: string) => TunnelState | null,
  before: TimedError | null,
  now: number,
): TimedError | null {
  for (const name of tunnel.after) {
    const state = stateOf(name);
    if (state === null || state === 'up' || state === 'asleep') continue;
    const message = `start waits, on ${tunnel.name}: ${name}, which it comes after, is ${state}`;
    if (before?.error.message === message) return before;
    const hint = { command: state === 'down' ? 'up' : 'why', on: { tunnel: name } };
    return { error: new TunnelError('NOT_UP', message, { hint }), atMs: now };
  }
  return null;
}
