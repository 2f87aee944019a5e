// A link: keeps one session alive for everybody who uses it. Its machine decides; this file gives it a world to act in.
import type { Cancel, Clock } from '../model/clock.ts';
import type { Host, Way } from '../model/host.ts';
import { formatLogin } from '../model/host.ts';
import type { Dialer, DialStep, Session } from '../model/session.ts';
import type { EngineLog, Hearer, Person } from './engine.ts';
import { Jumps } from './jumps.ts';
import type { AcquireJump } from './jumps.ts';
import type { Knocking } from './knocking.ts';
import { LinkBlock } from './link-block.ts';
import { LinkKnocks } from './link-knocks.ts';
import type { LinkEvent, LinkState } from './link-machine.ts';
import { LinkRunner } from './link-runner.ts';
import type { LinkSnapshot } from './link-snapshot.ts';
import { LinkUsers, riderOf } from './link-users.ts';
import type { Haste, LinkUser } from './link-users.ts';
import { Login } from './login.ts';
import { hintOn } from '../model/hint.ts';
import { isBeforeLogin, questionOf } from './needs-you.ts';
import { logStep, nextOutage, noOutage } from './outage.ts';
import type { Outage } from './outage.ts';
import type { Pilots } from './pilots.ts';
import type { Asker, Questions } from './questions.ts';

export interface LinkParts {
  readonly id: string;
  readonly ways: readonly [Way, ...Way[]];
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: EngineLog;
  readonly questions: Questions;
  readonly hearers: (tunnels: readonly string[]) => readonly Hearer[];
  readonly pilots: Pilots<Login>;
  readonly knocking: Knocking;
  readonly acquireJump: AcquireJump;
  /** Whether logins here were found to need a person: outlives the link. */
  readonly attended: { readonly get: () => boolean; readonly set: (attended: boolean) => void };
  /** Came to rest with nobody using it. */
  readonly resting: (link: Link) => void;
}

const triedGapMs = { tcp: 400, answered: 5_000 } as const;

export class Link implements Asker {
  readonly id: string;
  readonly host: Host;
  readonly users = new LinkUsers();
  readonly #parts: LinkParts;
  readonly #runner: LinkRunner;
  readonly #jumps: Jumps;
  readonly #login: Login;
  readonly #knocks: LinkKnocks;
  readonly #block: LinkBlock;
  readonly #watchers = new Set<() => void>();
  #draining = false;
  #haste: Haste = 'none';
  #lastLogin: readonly DialStep[] | null = null;
  #outage: Outage = noOutage;

  constructor(parts: LinkParts) {
    const { users } = this;
    this.#parts = parts;
    this.id = parts.id;
    this.host = parts.ways[0].at(-1) as Host;
    this.#jumps = new Jumps(
      parts.ways,
      riderOf(users, this.#jumpChanged.bind(this), () => this.#jumps.follow()),
      parts.acquireJump,
    );
    this.#runner = new LinkRunner({
      ...parts,
      policy: () => users.policy(),
      held: () => users.haste() === 'held',
      attempt: (signal) => this.#login.attempt(signal),
      wanted: () => users.size > 0,
      entered: (before, after, event) => this.#entered(before, after, event),
      changed: () => this.#announce(),
    });
    this.#login = new Login({
      ...parts,
      users,
      jumps: this.#jumps,
      asker: this,
      first: () => this.#runner.index,
      foundAttended: parts.attended.get,
      wasUp: () => this.#outage.lost,
      changed: () => this.#announce(),
    });
    this.#block = new LinkBlock({
      ...parts,
      host: this.host,
      runner: this.#runner,
      login: this.#login,
      environment: () => users.environment(),
      changed: () => this.#announce(),
    });
    this.#knocks = new LinkKnocks({
      knocking: parts.knocking,
      ways: parts.ways,
      login: this.#login,
      outage: () => this.#outage,
      wanted: () => users.haste() !== 'none' && this.#failedAtTcp(),
      runner: this.#runner,
    });
  }

  get state(): LinkState {
    return this.#runner.state;
  }

  /** The live session; null unless up. */
  get session(): Session | null {
    return this.state.kind === 'up' ? this.#runner.session : null;
  }

  /** How often it came up again after a loss. */
  get comebacks(): number {
    return this.#outage.comebacks;
  }

  acquire(user: LinkUser): void {
    this.users.add(user);
    this.#draining = false;
    if (this.state.kind === 'idle' || this.state.kind === 'stopping') this.#runner.send({ kind: 'start' });
    else this.#reconsider();
  }

  /** `drain`: connections that run over the link may end by themselves first. */
  release(user: LinkUser, drain: boolean): void {
    if (!this.users.delete(user)) return;
    const { session } = this;
    if (drain && session !== null) {
      this.#draining = true;
      session.onIdle(() => {
        this.#draining = false;
        this.#stopIfUnused();
      });
    } else this.#stopIfUnused();
    this.#reconsider();
  }

  /** Ends a wait, or asks a live session for a sign of life. */
  kick(): void {
    for (const jump of this.#jumps.links) jump.kick();
    this.#runner.send({ kind: 'kick' });
  }

  /** A client is there: try now, unless that was just done. */
  tryNow(): void {
    for (const jump of this.#jumps.links) jump.tryNow();
    if (this.state.kind !== 'waiting') return this.#reconsider();
    const gapMs = triedGapMs[this.#failedAtTcp() ? 'tcp' : 'answered'];
    if (this.#parts.clock.monotonic() - this.#runner.openedAtMs >= gapMs) this.#runner.send({ kind: 'kick' });
  }

  /** What blocked may be gone: a person came, or something they changed. */
  answered(): void {
    this.#block.forget();
    for (const jump of this.#jumps.links) jump.answered();
    this.#runner.send({ kind: this.state.kind === 'blocked' ? 'answered' : 'kick' });
  }

  /** The key or a secret of this host may be another one now. */
  recheck(): void {
    this.#block.recheck();
  }

  /** A command came that may have brought another agent or variable: compare. */
  examine(): void {
    for (const jump of this.#jumps.links) jump.examine();
    this.#block.examine();
  }

  /** Ends a wait, probes, and looks again at a host key or at algorithms, which begins no login. */
  weather(): void {
    const { state } = this;
    const beforeLogin = state.kind === 'blocked' && isBeforeLogin(state.cause);
    // A connect that was begun over the old network may hang long after the new one is there.
    if (state.kind === 'connecting') this.#login.redial();
    this.#runner.send({ kind: beforeLogin && !this.#runner.inherited ? 'answered' : 'kick' });
  }

  /** A user has come to be in haste, or is no longer. */
  hurried(user: LinkUser): void {
    this.users.hurried(user);
    this.#reconsider();
  }

  watch(watcher: () => void): Cancel {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  persons(): readonly Person[] {
    return this.users.persons();
  }

  /** What a proxy command on the way has said and still waits with. */
  repeatTalk(hearer: Hearer): void {
    for (const jump of this.#jumps.links) jump.repeatTalk(hearer);
    if (this.state.kind === 'connecting') this.#login.repeatTalk(hearer);
  }

  questionChanged(): void {
    this.#announce();
  }

  /** What the login of the live session recorded, jump hosts first. */
  loginSteps(): readonly DialStep[] {
    return [...(this.#jumps.at(this.#runner.index)?.loginSteps() ?? []), ...this.#login.steps];
  }

  /** What the last login that succeeded recorded; null when there was none. */
  get lastLogin(): readonly DialStep[] | null {
    return this.#lastLogin;
  }

  snapshot(): LinkSnapshot {
    const way = this.#parts.ways[this.#runner.index] as Way;
    const jump = this.#jumpInTheWay()?.snapshot() ?? null;
    const asked = this.session === null ? this.#jumps.links.map((link) => link.snapshot().question) : [];
    return {
      id: this.id,
      rides: this.#jumps.ids(),
      state: jump?.state ?? this.state,
      session: this.session,
      awaySinceMs: this.#outage.sinceMs,
      failures: this.#outage.failures,
      reached: this.#login.reached || (jump?.reached ?? false),
      failure: jump?.failure ?? this.#login.waiting ?? this.#outage.failure,
      retryAtMs: jump === null ? this.#retryAtMs() : jump.retryAtMs,
      question: this.#parts.questions.of(this) ?? asked.find((found) => found !== null) ?? null,
      unanswered: jump === null ? this.#unanswered() : jump.unanswered,
      examining: jump === null ? this.#block.examining : jump.examining,
      endpoint: formatLogin(way.at(-1) as Host),
      via: way.slice(0, -1).map(({ name }) => name),
    };
  }

  /** Where there is one way, its jump host's trouble is the trouble: it has its own backoff and its own questions. */
  #jumpInTheWay(): Link | null {
    const jump = this.#parts.ways.length === 1 ? this.#jumps.at(0) : null;
    if (jump === null || jump.state.kind === 'up') return null;
    const waits = this.state.kind === 'connecting' || this.state.kind === 'waiting';
    return waits || (this.state.kind === 'blocked' && this.#runner.inherited) ? jump : null;
  }

  #retryAtMs(): number | null {
    if (this.state.kind === 'blocked') return this.#block.lookAtMs;
    if (this.state.kind !== 'waiting') return null;
    return Math.min(this.state.untilMs, this.#knocks.nextAtMs() ?? Number.POSITIVE_INFINITY);
  }

  #unanswered(): LinkSnapshot['unanswered'] {
    if (this.state.kind !== 'blocked' || this.#runner.inherited) return null;
    return this.#login.unanswered ?? questionOf(this.state.cause, this.host);
  }

  #jumpChanged(): void {
    this.#jumps.look();
    const { state } = this;
    const used = this.#jumps.at(this.#runner.index);
    if (state.kind === 'up' && used !== null && used.session === null) {
      const { failure } = used.snapshot();
      if (failure !== null) this.#runner.lose(failure.error, true);
    } else if (this.#jumps.links.some((jump) => jump.session !== null)) {
      if (state.kind === 'waiting' && this.#runner.inherited) this.#runner.send({ kind: 'kick' });
      if (state.kind === 'blocked' && this.#runner.inherited) this.#runner.send({ kind: 'answered' });
    }
    this.#announce();
  }

  #entered(before: LinkState, after: LinkState, event: LinkEvent): void {
    const { clock, attended } = this.#parts;
    this.#tell(after, event);
    this.#outage = nextOutage(this.#outage, before, after, event, clock);
    if (after.kind !== 'connecting') this.#login.rest();
    this.#block.follow();
    if (after.kind === 'up') {
      this.#block.forget();
      this.#jumps.keepOnly(this.#runner.index);
      this.#lastLogin = this.loginSteps();
      attended.set(this.#runner.session?.login.attended ?? false);
    }
    if (after.kind === 'idle') {
      this.#block.forget();
      this.#jumps.keepOnly(null);
      if (this.users.size === 0) this.#parts.resting(this);
    }
  }

  #tell(after: LinkState, event: LinkEvent): void {
    const { clock, log, ways } = this.#parts;
    const hint = 'cause' in event ? event.cause.hint : null;
    const name = this.users.tunnels()[0] ?? this.host.name;
    logStep(log, this.id, {
      before: this.#outage,
      after,
      event,
      inherited: this.#runner.inherited,
      nowMs: clock.monotonic(),
      hint: hint === null ? null : hintOn(hint, { name, ways }),
    });
  }

  #announce(): void {
    this.#reconsider();
    for (const watcher of Array.from(this.#watchers)) watcher();
    for (const user of this.users.all()) user.changed();
  }

  /** Knocks begin or end as people and clients come and go, here and at the jump hosts. */
  #reconsider(): void {
    this.#knocks.reconsider();
    const haste = this.users.haste();
    if (haste === this.#haste) return;
    this.#haste = haste;
    this.#jumps.hurried();
    if (haste === 'held' && this.state.kind === 'waiting') this.#runner.send({ kind: 'hurry' });
  }

  #stopIfUnused(): void {
    if (this.users.size === 0 && !this.#draining) this.#runner.send({ kind: 'stop' });
  }

  #failedAtTcp(): boolean {
    return this.#outage.failure?.error.facts['tcpLevel'] === true && !this.#runner.inherited;
  }
}
