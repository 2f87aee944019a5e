// A tunnel at work: its listeners from `up` to `down`, and the link they want. What it is, `status.ts` derives.
import { TunnelError } from '../errors.ts';
import type { LinkView } from '../model/carrier.ts';
import type { Cancel } from '../model/clock.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { DialStep } from '../model/session.ts';
import type { TunnelState, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { UpRequest } from './engine.ts';
import { mergeEnvironments } from './environment.ts';
import type { StampedEnvironment } from './environment.ts';
import { carrierView, sameView } from './link-snapshot.ts';
import type { LinkSnapshot } from './link-snapshot.ts';
import { noTerms } from './link-users.ts';
import type { LinkUser, Terms } from './link-users.ts';
import type { Link } from './link.ts';
import { linkKey } from './links.ts';
import { Listeners } from './listeners.ts';
import type { TimedError } from './outage.ts';
import { decisionOf, Settlers } from './settlers.ts';
import { sameStretch, tunnelStatus, verdictOf } from './status.ts';
import type { Verdict } from './status.ts';
import type { Surroundings } from './surroundings.ts';
import { waitsFor } from './order.ts';

/** A remote port that the server does not give back is not waited for longer (SPEC 4, `down`). */
const closeLimitMs = 2_000;

export class TunnelRun {
  /** What the config says; kept when the tunnel is gone from the file. */
  tunnel: Tunnel;
  /** Gone from the file. */
  orphan = false;
  /** The user asked for it. */
  wanted = false;
  readonly #around: Surroundings;
  readonly #user: LinkUser;
  readonly #settlers = new Settlers();
  #listeners: Listeners | null = null;
  #link: Link | null = null;
  #closing: Promise<void> | null = null;
  #halted = false;
  /** Lazy, and a client has knocked. */
  #woken = false;
  #remap = false;
  #terms: Terms = noTerms;
  #environment: StampedEnvironment | null = null;
  #view: LinkView = { state: 'asleep' };
  #verdict: Verdict = { state: 'down', error: null, retryAtMs: null, attempt: 0 };
  #sinceMs: number | null = null;
  #wantedSinceMs = 0;
  #waitsFor: TimedError | null = null;
  #lastError: TimedError | null = null;
  #reconnects = 0;
  #comebacksSeen = 0;
  #eager = false;
  #idle: Cancel | null = null;
  #refreshing = false;
  #stale = false;

  constructor(tunnel: Tunnel, around: Surroundings) {
    this.tunnel = tunnel;
    this.#around = around;
    this.#user = {
      tunnels: () => [this.tunnel.name],
      policy: () => this.tunnel.reconnect,
      persons: () => around.persons(this.tunnel.name),
      eager: () => this.#eager,
      terms: () => this.#terms,
      environments: () => (this.#environment === null ? [] : [this.#environment]),
      changed: () => this.refresh(),
      moved: () => this.#moveLink(true),
    };
  }

  get state(): TunnelState {
    return this.#verdict.state;
  }

  /** Its ports are bound, or about to be. */
  get active(): boolean {
    return this.#listeners !== null && this.#closing === null;
  }

  get link(): Link | null {
    return this.#link;
  }

  /** Names the link it wants: equal keys share. */
  get linkKey(): string {
    return linkKey(this.tunnel.ways, this.#alone());
  }

  /** Addresses that are bound here, or are about to be. */
  held(): readonly Endpoint[] {
    return this.#listeners?.held() ?? [];
  }

  /** Idempotent; cuts short a wait. `stamp` grows with each command. */
  up(request: UpRequest, stamp: number): void {
    this.wanted = true;
    this.#take(request, stamp);
    if (this.#closing !== null) return;
    if (this.#listeners === null) this.#begin();
    else {
      void this.#listeners.open(request.remap);
      this.#nudge(request);
    }
    this.refresh();
  }

  /** Like `up`, over a fresh link, which `Links.renew` prepared. */
  restart(request: UpRequest, stamp: number): void {
    if (!this.active) return this.up(request, stamp);
    this.wanted = true;
    this.#take(request, stamp);
    this.#listeners?.resetConnections();
    void this.#listeners?.open(request.remap);
    if (this.#link !== null) this.#moveLink(false);
    this.refresh();
  }

  /** Prepares a fresh link for those who `restart`; everybody else follows when it is up. */
  renewLink(): void {
    this.#around.links.renew(this.tunnel.ways, this.#alone());
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
    const before = this.linkKey;
    this.tunnel = tunnel;
    if (!this.active) return this.refresh();
    const reshaped = this.#listeners?.reshape(tunnel.forwards, tunnel.hold);
    if (this.#link !== null && this.linkKey !== before) this.#moveLink(true);
    this.refresh();
    await reshaped;
    this.refresh();
  }

  settled(signal: AbortSignal): Promise<TunnelError | null> {
    const { name } = this.tunnel;
    const late = (): TunnelError => {
      if (this.#verdict.error !== null) return this.#verdict.error.error;
      if (!this.wanted)
        return new TunnelError('NOT_UP', `wait failed, on ${name}: it is down`, {
          hint: `tunnel up ${name}`,
        });
      const hint = `tunnel why ${name}`;
      return new TunnelError('TIMED_OUT', `up failed, on ${name}: it is still connecting`, { hint });
    };
    const waiting = this.#settlers.wait(
      () => decisionOf(this.#verdict, this.#link?.snapshot() ?? null),
      late,
      signal,
    );
    this.refresh();
    return waiting.finally(() => {
      // What the command granted ends with the command.
      if (!this.#settlers.waiting) this.#terms = noTerms;
      this.refresh();
    });
  }

  status(): TunnelStatus {
    return tunnelStatus({
      tunnel: this.tunnel,
      orphan: this.orphan,
      verdict: this.#verdict,
      sinceMs: this.#sinceMs,
      link: this.#link?.snapshot() ?? null,
      reconnects: this.#reconnects,
      lastError: this.#lastError,
      forwards: this.#listeners?.forwardStatuses() ?? null,
    });
  }

  loginSteps(): readonly DialStep[] | null {
    return this.#link?.session == null ? null : this.#link.loginSteps();
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

  #take(request: UpRequest, stamp: number): void {
    const { acceptNew, personPresent, environment } = request;
    this.#terms = { acceptNew, personPresent };
    this.#remap = request.remap;
    const known = this.#environment === null ? [] : [this.#environment];
    this.#environment = { stamp, environment: mergeEnvironments([...known, { stamp, environment }]) };
  }

  #begin(): void {
    const { clock, createCarrier, log, holderOf, preferredPort, portChosen } = this.#around;
    const name = (): string => this.tunnel.name;
    this.#wantedSinceMs = clock.now();
    this.#reconnects = 0;
    this.#lastError = null;
    this.#view = carrierView(null, this.#lazy(), this.#wantedSinceMs);
    this.#listeners = new Listeners(
      {
        clock,
        createCarrier,
        log,
        tunnel: name,
        holderOf: (listen) => holderOf(listen, name()),
        preferredPort: (forward) => preferredPort(name(), forward),
        portChosen: (forward, port) => portChosen(name(), forward, port),
        changed: () => this.refresh(),
        knock: () => this.#knock(),
      },
      this.tunnel.forwards,
      this.tunnel.hold,
      this.#view,
    );
    void this.#listeners.open(this.#remap);
  }

  #nudge(request: UpRequest): void {
    const state = this.#link?.snapshot().state;
    const unknownKey = state?.kind === 'blocked' && state.cause.code === 'HOST_KEY_UNKNOWN';
    if (request.personPresent || (request.acceptNew && unknownKey)) this.#link?.answered();
    else if (state?.kind === 'blocked') this.#link?.examine();
    else this.#link?.kick();
  }

  #shut(drainMs: number): Promise<void> {
    if (this.#listeners === null) return Promise.resolve();
    this.#closing ??= this.#close(this.#listeners, drainMs).then(() => {
      this.#closing = null;
      this.#listeners = null;
      if (this.wanted && !this.#halted) this.#begin();
      else if (!this.wanted) this.#environment = null;
      this.refresh();
    });
    this.refresh();
    return this.#closing;
  }

  async #close(listeners: Listeners, drainMs: number): Promise<void> {
    this.#woken = false;
    this.#terms = this.wanted ? this.#terms : noTerms;
    this.#idle?.();
    this.#idle = null;
    // A live link stays until its remote listeners are confirmed closed; a login under way is of no use any more.
    if (this.#link?.session == null) this.#leaveLink(false);
    const { clock } = this.#around;
    let cancel: Cancel = () => {};
    const limit = new Promise<void>((resolve) => {
      cancel = clock.schedule(drainMs + closeLimitMs, resolve);
    });
    await Promise.race([listeners.close(drainMs), limit]);
    cancel();
    this.#leaveLink(false);
  }

  #lazy(): boolean {
    const { lazy, forwards } = this.tunnel;
    // A port on the server is there only while the link is: nobody could knock.
    return lazy && !this.#woken && forwards.every(({ type }) => type !== 'remote');
  }

  #alone(): string | null {
    return this.tunnel.share ? null : this.tunnel.name;
  }

  #wantLink(): void {
    const { tunnel } = this;
    if (!this.active || this.#link !== null || this.#lazy()) return;
    if (this.#listeners?.binding === true || this.#listeners?.serviceable !== true) return;
    const { clock, stateOf, links } = this.#around;
    this.#waitsFor = waitsFor(tunnel, stateOf, this.#waitsFor, clock.now());
    if (this.#waitsFor !== null) return;
    this.#link = links.acquire(tunnel.ways, this.#alone(), this.#user);
    this.#comebacksSeen = this.#link.comebacks;
    this.#stale = true;
  }

  /** To the current link of its kind. `drain`: connections that run over the old one go on. */
  #moveLink(drain: boolean): void {
    const old = this.#link;
    const link = this.#around.links.acquire(this.tunnel.ways, this.#alone(), this.#user);
    if (link === old) return;
    this.#link = link;
    this.#comebacksSeen = link.comebacks;
    old?.release(this.#user, drain);
    this.refresh();
  }

  #leaveLink(drain: boolean): void {
    const link = this.#link;
    this.#link = null;
    link?.release(this.#user, drain);
  }

  /** Carriers see what is new of the link, and the link what is new of the clients. */
  #follow(): void {
    const link = this.#link?.snapshot() ?? null;
    if (this.#link !== null && this.#link.comebacks !== this.#comebacksSeen) {
      this.#reconnects += this.#link.comebacks - this.#comebacksSeen;
      this.#comebacksSeen = this.#link.comebacks;
    }
    if (link?.session != null) this.#terms = noTerms;
    const view = carrierView(link, this.#lazy(), this.#wantedSinceMs);
    if (this.active && !sameView(view, this.#view)) {
      this.#view = view;
      this.#listeners?.link(view);
    }
    const statuses = this.#listeners?.statuses() ?? [];
    const eager = this.#settlers.waiting || statuses.some(({ held }) => held > 0);
    if (eager !== this.#eager) {
      this.#eager = eager;
      this.#link?.reconsider();
    }
    this.#considerSleep(
      link,
      statuses.some(({ open, held }) => open + held > 0),
    );
  }

  /** A lazy tunnel without connections lets its link go. One that is blocked stays: its error is to be kept. */
  #considerSleep(link: LinkSnapshot | null, busy: boolean): void {
    const { idleTimeoutMs } = this.tunnel;
    const resting =
      this.#woken && !busy && link !== null && link.state.kind !== 'blocked' && link.question === null;
    if (idleTimeoutMs === null || !resting || this.#settlers.waiting) {
      this.#idle?.();
      this.#idle = null;
      return;
    }
    this.#idle ??= this.#around.clock.schedule(idleTimeoutMs, () => {
      this.#idle = null;
      this.#woken = false;
      this.#leaveLink(true);
      this.refresh();
    });
  }

  #judge(): void {
    const { clock, log } = this.#around;
    const before = this.#verdict;
    this.#verdict = verdictOf({
      wanted: this.#listeners !== null,
      closing: this.#closing !== null,
      asleep: this.#lazy(),
      binding: this.#listeners?.binding ?? false,
      listenFailure: this.#listeners?.listenFailure ?? null,
      waitsFor: this.#waitsFor,
      link: this.#link?.snapshot() ?? null,
      carriers: this.#listeners?.statuses() ?? [],
      now: clock.now(),
    });
    const { state, error } = this.#verdict;
    if (error !== null) this.#lastError = error;
    if (state === before.state) return;
    if (!sameStretch(state, before.state)) this.#sinceMs = clock.now();
    const facts = {
      tunnel: this.tunnel.name,
      from: before.state,
      ...(error === null ? {} : { code: error.error.code }),
    };
    log(
      'info',
      'tunnel.state',
      `${this.tunnel.name} is ${state}${error === null ? '' : `: ${error.error.message}`}`,
      facts,
    );
  }

  #knock(): void {
    if (!this.active) return;
    if (this.#lazy()) this.#woken = true;
    else if (this.#link !== null) {
      const { hold } = this.tunnel;
      const { awaySinceMs, failure } = this.#link.snapshot();
      const awayMs = this.#around.clock.now() - awaySinceMs;
      const late = awayMs > (hold.kind === 'wait' ? hold.ms : 0);
      if (late || failure?.error.facts['tcpLevel'] === true) this.#link.tryNow();
    }
    this.refresh();
  }
}
