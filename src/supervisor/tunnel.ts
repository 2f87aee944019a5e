// A tunnel at work: its listeners from `up` to `down`, and the link they want. What it is, `status.ts` derives.
import { formatHopLogin, type Host } from '../model/host.ts';
import type { TunnelError } from '../errors.ts';
import type { LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import type { DialStep } from '../model/session.ts';
import type { TunnelState, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { Chronicle } from './chronicle.ts';
import type { UpRequest } from './engine.ts';
import { Lease } from './lease.ts';
import { carrierView, sameView } from './link-snapshot.ts';
import type { LinkSnapshot } from './link-snapshot.ts';
import { Listeners } from './listeners.ts';
import { waitsFor } from './order.ts';
import type { TimedError } from './outage.ts';
import { decisionOf, lateError, Settlers } from './settlers.ts';
import type { Decided, Waiting } from './settlers.ts';
import { tunnelStatus } from './status.ts';
import type { Surroundings } from './surroundings.ts';

/** Not waited for longer: a remote forward gives its server 2 s (SPEC 4, `down`), and a moment goes to saying so. */
const closeLimitMs = 2_250;

export class TunnelRun {
  /** What the config says; kept when the tunnel is gone from the file. */
  tunnel: Tunnel;
  /** Gone from the file. */
  orphan = false;
  /** The user asked for it. */
  wanted = false;
  readonly lease: Lease;
  readonly #around: Surroundings;
  readonly #settlers = new Settlers();
  readonly #chronicle: Chronicle;
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

  constructor(tunnel: Tunnel, around: Surroundings) {
    this.tunnel = tunnel;
    this.#around = around;
    this.#chronicle = new Chronicle(() => this.tunnel, around.log);
    this.lease = new Lease({ ...around, tunnel: () => this.tunnel, changed: () => this.refresh() });
  }

  get state(): TunnelState {
    return this.#chronicle.verdict.state;
  }

  /** Idempotent; cuts short a wait. `stamp` grows with each command. */
  up(request: UpRequest, stamp: number): void {
    this.#want(request, stamp);
    if (this.#closing !== null) return;
    if (this.#listeners === null) this.#begin();
    else {
      void this.#listeners.open(request.remap);
      this.#listeners.retry();
      this.lease.nudge(request);
    }
    this.refresh();
  }

  /** Like `up`, over a fresh link, which `Lease.renew` prepared. */
  restart(request: UpRequest, stamp: number): void {
    if (!this.#active) return this.up(request, stamp);
    this.#want(request, stamp);
    this.#listeners?.resetConnections();
    void this.#listeners?.open(request.remap);
    if (this.lease.link !== null) this.lease.move(false);
    this.lease.link?.answered();
    this.refresh();
  }

  /** Resolves when the ports are closed. Idempotent. */
  down(drainMs: number): Promise<void> {
    this.wanted = false;
    return this.#shut(drainMs);
  }

  /** The engine ends: the wanted mark stays. */
  halt(drainMs: number): Promise<void> {
    this.#halted = true;
    return this.#shut(drainMs);
  }

  /** The config changed. Ends no running connection. */
  async reshape(tunnel: Tunnel): Promise<void> {
    const before = this.lease.key;
    this.tunnel = tunnel;
    if (!this.#active) return this.refresh();
    const reshaped = this.#listeners?.reshape(tunnel.forwards, tunnel.hold);
    if (this.lease.link !== null && this.lease.key !== before) this.lease.move(true);
    this.refresh();
    await reshaped;
    this.refresh();
  }

  settled(signal: AbortSignal, waiting: Waiting): Promise<TunnelError | null> {
    let wasWanted = false;
    const facts = (): Decided => ({
      wanted: this.wanted,
      takenDown: (wasWanted ||= this.wanted) && !this.wanted,
      verdict: this.#chronicle.verdict,
      link: this.lease.snapshot(),
      status: {
        name: this.tunnel.name,
        state: this.state,
        endpoint: formatHopLogin(this.tunnel.ways[0].at(-1) as Host),
        forwards: this.#listeners?.forwardStatuses() ?? [],
      },
    });
    const settled = this.#settlers.wait(
      () => decisionOf(waiting, facts()),
      () => lateError(waiting, facts()),
      signal,
    );
    this.refresh();
    return settled.finally(() => {
      // What the command granted ends with the command.
      if (!this.#settlers.waiting) this.lease.endTerms();
      this.refresh();
    });
  }

  status(): TunnelStatus {
    return tunnelStatus({
      tunnel: this.tunnel,
      orphan: this.orphan,
      wanted: this.wanted,
      chronicle: this.#chronicle,
      link: this.lease.snapshot(),
      forwards: this.#listeners?.forwardStatuses() ?? null,
      clock: this.#around.clock,
    });
  }

  loginSteps(): readonly DialStep[] | null {
    const { link } = this.lease;
    return link === null || link.session === null ? null : link.loginSteps();
  }

  /** Makes everything follow from what is: the link to want, what carriers see, the verdict. Cheap; never throws. */
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
    this.#around.changed(this.tunnel.name);
    this.#settlers.look();
  }

  /** Its ports are bound, or about to be. */
  get #active(): boolean {
    return this.#listeners !== null && this.#closing === null;
  }

  /** To sleep, or asleep: nobody has knocked. A port on the server cannot wake a link: it is there only with it. */
  get #lazy(): boolean {
    const { lazy, forwards } = this.tunnel;
    return lazy && !this.#woken && forwards.every(({ type }) => type !== 'remote');
  }

  #want(request: UpRequest, stamp: number): void {
    this.wanted = true;
    this.#remap = request.remap;
    this.lease.take(request, stamp);
  }

  #begin(): void {
    const { clock, preferredPort, portChosen } = this.#around;
    const name = (): string => this.tunnel.name;
    this.#wantedSinceMs = clock.monotonic();
    this.#chronicle.begin();
    this.#view = carrierView(null, this.#lazy, this.#wantedSinceMs);
    const parts = {
      ...this.#around,
      tunnel: name,
      preferredPort: (forward: string) => preferredPort(name(), forward),
      portChosen: (forward: string, port: number) => portChosen(name(), forward, port),
      changed: () => this.refresh(),
      knock: () => this.#knock(),
      environment: () => this.lease.environment(),
    };
    this.#listeners = new Listeners(parts, this.tunnel.forwards, this.tunnel.hold, this.#view);
    void this.#listeners.open(this.#remap);
  }

  #shut(drainMs: number): Promise<void> {
    if (this.#listeners === null) return Promise.resolve();
    if (this.#closing !== null && drainMs === 0) this.#listeners.resetConnections();
    this.#closing ??= this.#close(this.#listeners, drainMs).then(() => {
      this.#closing = null;
      this.#listeners = null;
      if (this.wanted && !this.#halted) this.#begin();
      else if (!this.wanted) this.lease.forgetEnvironment();
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
    if (this.lease.link?.session == null) this.lease.leave(false);
    let cancel: Cancel = () => {};
    const limit = new Promise<void>((resolve) => {
      cancel = this.#around.clock.schedule(drainMs + closeLimitMs, resolve);
    });
    await Promise.race([listeners.close(drainMs), limit]);
    cancel();
    const { link } = this.lease;
    this.lease.leave(false);
    // a link that nobody else uses ends now, and takes with it what its server would not end
    if (link === null || link.users.size === 0) return;
    const left = listeners.statuses().flatMap(({ error }) => (error?.facts['stillListens'] ? [error] : []));
    if (left.length > 0) this.#chronicle.leftBehind(left, this.#around.clock.now());
  }

  #wantLink(): void {
    if (!this.#active || this.lease.link !== null || this.#lazy) return;
    if (this.#listeners?.binding === true || this.#listeners?.serviceable !== true) return;
    const { clock, stateOf } = this.#around;
    this.#waitsFor = waitsFor(this.tunnel, stateOf, this.#waitsFor, clock.now());
    if (this.#waitsFor === null) this.lease.acquire();
  }

  /** Carriers see what is new of the link, and the link what is new of the clients. */
  #follow(): void {
    const link = this.lease.snapshot();
    this.#chronicle.cameBack(this.lease.takeComebacks());
    if (link !== null && link.session !== null) this.lease.endTerms();
    const view = carrierView(link, this.#lazy, this.#wantedSinceMs);
    if (this.#active && !sameView(view, this.#view)) {
      this.#view = view;
      this.#listeners?.link(view);
    }
    const statuses = this.#listeners?.statuses() ?? [];
    const { waiting } = this.#settlers;
    const holds = statuses.some(({ held }) => held > 0);
    this.lease.hurry(holds ? 'held' : waiting ? 'waiting' : 'none');
    const busy = waiting || this.#listeners?.busy === true;
    if (busy || !this.#mayRest(link)) this.#stayAwake();
    else this.#planSleep();
  }

  /** A lazy tunnel lets its link go. One that is blocked stays: its error is to be kept. */
  #mayRest(link: LinkSnapshot | null): boolean {
    return this.#woken && link !== null && link.state.kind !== 'blocked' && link.question === null;
  }

  #planSleep(): void {
    const { idleTimeoutMs } = this.tunnel;
    if (idleTimeoutMs === null) return;
    this.#idle ??= this.#around.clock.schedule(idleTimeoutMs, () => {
      this.#idle = null;
      // a client of the last moment may not have been told of yet
      if (this.#listeners?.busy === true) return this.refresh();
      this.#woken = false;
      this.lease.leave(true);
      this.refresh();
    });
  }

  #stayAwake(): void {
    this.#idle?.();
    this.#idle = null;
  }

  #judge(): void {
    const listeners = this.#listeners;
    this.#chronicle.judge({
      wanted: listeners !== null,
      closing: this.#closing !== null,
      asleep: this.#lazy,
      binding: listeners?.binding ?? false,
      listenFailure: listeners?.listenFailure ?? null,
      waitsFor: this.#waitsFor,
      link: this.lease.snapshot(),
      carriers: listeners?.statuses() ?? [],
      now: this.#around.clock.now(),
    });
  }

  #knock(): void {
    if (!this.#active) return;
    if (this.#lazy) this.#woken = true;
    else this.lease.knock();
    this.refresh();
  }
}
