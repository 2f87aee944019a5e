// A link: keeps one session alive for everybody who uses it. Its machine decides; this file gives it a world to act in.
import type { TunnelError } from '../errors.ts';
import type { Cancel } from '../model/clock.ts';
import type { Host, Way } from '../model/host.ts';
import { formatLogin } from '../model/host.ts';
import type { DialStep, OpenTransport, Session } from '../model/session.ts';
import { Attempts } from './attempts.ts';
import type { AttemptResult, AttemptsParts } from './attempts.ts';
import { Blocked, isAttended, isBeforeLogin, lookAfterChange } from './blocked.ts';
import type { Look } from './blocked.ts';
import type { Hearer, Person } from './engine.ts';
import { Jumps } from './jumps.ts';
import type { AcquireJump, JumpLink } from './jumps.ts';
import type { LinkEvent, LinkState, Why } from './link-machine.ts';
import { LinkUsers, riderOf } from './link-users.ts';
import type { Haste, LinkUser } from './link-users.ts';
import { hintFor } from '../model/tunnel-hints.ts';
import { logStep, nextOutage, noOutage } from './outage.ts';
import type { Outage } from './outage.ts';
import { questionOf } from './questions.ts';
import type { Asker } from './questions.ts';
import { Runner } from './runner.ts';
import type { LinkSnapshot } from './status.ts';
import type { TcpWatch, TcpWatcher } from './tcp-watch.ts';

export interface LinkParts extends AttemptsParts {
  readonly id: string;
  readonly random: () => number;
  readonly tcpWatch: TcpWatch;
  readonly acquireJump: AcquireJump;
  /** Came to rest with nobody using it. */
  readonly resting: (link: Link) => void;
}

const triedGapMs = { tcp: 400, answered: 5_000 } as const;

export class Link implements Asker, JumpLink {
  readonly id: string;
  readonly host: Host;
  readonly users = new LinkUsers();
  readonly #parts: LinkParts;
  readonly #runner: Runner;
  readonly #jumps: Jumps;
  readonly #attempts: Attempts;
  readonly #blocked: Blocked;
  /** The server of the way without a jump host: only there is TCP ours. */
  readonly #direct: Host | null;
  readonly #tcpWatcher: TcpWatcher;
  readonly #watchers = new Set<() => void>();
  #draining = false;
  #haste: Haste = 'none';
  #rotateMs: number | null = null;
  #lastLogin: readonly DialStep[] | null = null;
  /** The newest session of the jump host that the machine knows of. */
  #jumpSession: Session | null = null;
  #outage: Outage = noOutage;

  constructor(parts: LinkParts) {
    const { users } = this;
    const changed = (): void => this.changed();
    this.#parts = parts;
    this.id = parts.id;
    this.host = parts.ways[0].at(-1) as Host;
    this.#direct = parts.ways.find((way) => way.length === 1)?.[0] ?? null;
    const rider = riderOf(
      users,
      () => this.#jumpChanged(),
      () => this.#jumps.follow(),
    );
    this.#jumps = new Jumps(parts.ways, rider, parts.acquireJump);
    this.#attempts = new Attempts(parts, users, this.#jumps, this);
    const attempt = (signal: AbortSignal, beside: boolean): Promise<AttemptResult> =>
      this.#attempts.open(signal, { first: this.#runner.index, wasUp: this.#outage.lost, beside });
    this.#runner = new Runner(parts, users, attempt, {
      entered: (before, after, event) => this.#entered(before, after, event),
      changed,
      oldLost: (cause) => this.#oldLost(cause),
    });
    this.#blocked = new Blocked(parts, this.host, users, { look: (how) => this.#lookAgain(how), changed });
    this.#tcpWatcher = {
      awaySinceMs: () => this.#outage.sinceMs,
      triedAtMs: () => this.#outage.failedAtMs,
      answered: (transport) => this.#tcpAnswered(transport),
    };
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
    this.replan();
  }

  /** `drain`: connections that run over the link may end by themselves first. */
  release(user: LinkUser, drain: boolean): void {
    if (!this.users.delete(user)) return;
    const { session } = this;
    if (drain && session !== null) {
      this.#draining = true;
      this.#runner.onIdle(() => {
        this.#draining = false;
        this.#stopIfUnused();
      });
    } else this.#stopIfUnused();
    this.#reconsider();
    this.replan();
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
    this.#forgetRefusals();
    for (const jump of this.#jumps.links) jump.answered();
    this.#runner.send({ kind: this.state.kind === 'blocked' ? 'answered' : 'kick' });
  }

  /** The key or a secret of this host may be another one now. */
  recheck(): void {
    const { state } = this;
    if (state.kind === 'blocked' && !isAttended(state.cause)) this.#lookAgain(lookAfterChange(state.cause));
  }

  /** A command came that may have brought another agent or variable: compare. */
  examine(): void {
    for (const jump of this.#jumps.links) jump.examine();
    this.#blocked.examine();
  }

  /** Ends a wait, probes, and looks again at a host key or at algorithms, which begins no login. */
  lookAround(): void {
    const { state } = this;
    const beforeLogin = state.kind === 'blocked' && isBeforeLogin(state.cause);
    // A connect that was begun over the old network may hang long after the new one is there.
    if (state.kind === 'connecting') this.#attempts.redial();
    this.#runner.send({ kind: beforeLogin && !this.#runner.inherited ? 'answered' : 'kick' });
  }

  /** A user has come to be in haste, or is no longer. */
  hurried(user: LinkUser): void {
    this.users.hurried(user);
    this.#reconsider();
  }

  replan(): void {
    const rotateMs = this.users.rotateMs();
    if (rotateMs === this.#rotateMs) return;
    this.#rotateMs = rotateMs;
    for (const jump of this.#jumps.links) jump.replan();
    this.#runner.send({ kind: 'planned' });
  }

  watch(watcher: () => void): Cancel {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  persons(): readonly Person[] {
    return this.users.persons();
  }

  /** Tells the lines of a proxy command on the way that still waits. */
  repeatTalk(hearer: Hearer): void {
    for (const jump of this.#jumps.links) jump.repeatTalk(hearer);
    if (this.state.kind === 'connecting') this.#attempts.repeatTalk(hearer);
  }

  /** Something that can be seen of the link changed: its users and watchers look again. */
  changed(): void {
    this.#reconsider();
    for (const watcher of Array.from(this.#watchers)) watcher();
    for (const user of this.users.all()) user.changed();
  }

  /** The steps that the login of the live session recorded, jump hosts first. */
  loginSteps(): readonly DialStep[] {
    return this.session === null || this.#lastLogin === null ? this.#steps() : this.#lastLogin;
  }

  #steps(): readonly DialStep[] {
    return [...(this.#jumps.at(this.#runner.index)?.loginSteps() ?? []), ...this.#attempts.steps];
  }

  /** The steps of the last login that succeeded; null when there was none. */
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
      reached: this.#attempts.reached || (jump?.reached ?? false),
      failure: jump?.failure ?? this.#attempts.waiting ?? this.#outage.failure,
      retryAtMs: jump === null ? this.#retryAtMs() : jump.retryAtMs,
      question: this.#parts.questions.of(this) ?? asked.find((found) => found !== null) ?? null,
      unanswered: jump === null ? this.#unanswered() : jump.unanswered,
      examining: jump === null ? this.#blocked.examining : jump.examining,
      endpoint: formatLogin(way.at(-1) as Host),
      via: way.slice(0, -1).map(({ name }) => name),
    };
  }

  /** With one way only, a jump host's trouble is the link's: the jump host has its own backoff and its own questions. */
  #jumpInTheWay(): JumpLink | null {
    const jump = this.#parts.ways.length === 1 ? this.#jumps.at(0) : null;
    if (jump === null || jump.state.kind === 'up') return null;
    const waits = this.state.kind === 'connecting' || this.state.kind === 'waiting';
    return waits || (this.state.kind === 'blocked' && this.#runner.inherited) ? jump : null;
  }

  #retryAtMs(): number | null {
    if (this.state.kind === 'blocked') return this.#blocked.lookAtMs;
    if (this.state.kind !== 'waiting') return null;
    return Math.min(this.state.untilMs, this.#nextConnectMs() ?? Number.POSITIVE_INFINITY);
  }

  #unanswered(): LinkSnapshot['unanswered'] {
    if (this.state.kind !== 'blocked' || this.#runner.inherited) return null;
    return this.#attempts.unanswered ?? questionOf(this.state.cause, this.host);
  }

  #jumpChanged(): void {
    this.#jumps.look();
    const { state } = this;
    const used = this.#jumps.at(this.#runner.index);
    if (state.kind === 'up' && used !== null && used.session === null) {
      const { failure } = used.snapshot();
      if (failure !== null) this.#runner.lose(failure.error, true);
    } else if (state.kind === 'up') this.#followJump();
    else if (this.#jumps.links.some((jump) => jump.session !== null)) {
      if (state.kind === 'waiting' && this.#runner.inherited) this.#runner.send({ kind: 'kick' });
      if (state.kind === 'blocked' && this.#runner.inherited) this.#runner.send({ kind: 'answered' });
    }
    this.changed();
  }

  /** A session of the jump host that was replaced is there only for what rides on it: this link moves to the next one. */
  #followJump(): void {
    const now = this.#jumps.at(this.#runner.index)?.session ?? null;
    if (now === null || now === this.#jumpSession) return;
    this.#jumpSession = now;
    if (now !== this.#attempts.via) this.#runner.send({ kind: 'jump-replaced' });
  }

  /** The link stays up: whoever uses it hears of what was reset. */
  #oldLost(error: TunnelError): void {
    const { clock, log } = this.#parts;
    const loss = { error, atMs: clock.now() };
    const words = `an old session is lost, what ran over it was reset: ${error.message}`;
    log('warn', 'link.old-session-lost', words, { link: this.id, code: error.code });
    for (const user of this.users.all()) user.suffered(loss);
    this.changed();
  }

  #entered(before: LinkState, after: LinkState, event: LinkEvent): void {
    const { clock, attended } = this.#parts;
    this.#tell(after, event, before.kind === 'up' ? (before.second?.why ?? null) : null);
    this.#outage = nextOutage(this.#outage, { before, after, event }, clock);
    if (after.kind !== 'connecting') this.#attempts.rest();
    this.#blocked.follow(after, this.#runner.inherited);
    if (event.kind === 'opened' || event.kind === 'second-opened') {
      this.#forgetRefusals();
      this.#jumps.keepOnly(this.#runner.index, before.kind === 'up');
      this.#lastLogin = this.#steps();
      this.#jumpSession = this.#attempts.via;
      this.#followJump();
      attended.set(this.#runner.session?.login.attended ?? false);
    }
    if (after.kind === 'idle') {
      this.#forgetRefusals();
      this.#jumps.keepOnly(null);
      if (this.users.size === 0) this.#parts.resting(this);
    }
  }

  #tell(after: LinkState, event: LinkEvent, why: Why | null): void {
    const { clock, log, ways } = this.#parts;
    const hint = 'cause' in event ? event.cause.hint : null;
    const name = this.users.tunnels()[0];
    logStep(log, this.id, {
      before: this.#outage,
      after,
      event,
      why,
      inherited: this.#runner.inherited,
      nowMs: clock.monotonic(),
      hint: hint === null || name === undefined ? hint : hintFor(hint, { name, ways }),
    });
  }

  /** People and clients come and go, here and at the jump hosts. */
  #reconsider(): void {
    this.#watchTcp();
    const haste = this.users.haste();
    if (haste === this.#haste) return;
    this.#haste = haste;
    this.#jumps.hurried();
    if (haste === 'held' && this.state.kind === 'waiting') this.#runner.send({ kind: 'hurry' });
  }

  /** Joins the watch for the server while somebody waits and nothing answers there, and leaves it otherwise. */
  #watchTcp(): void {
    const { tcpWatch } = this.#parts;
    if (this.#direct === null) return;
    if (this.#wantsTcpWatch()) tcpWatch.join(this.#direct, this.#tcpWatcher);
    else tcpWatch.leave(this.#direct, this.#tcpWatcher);
  }

  #wantsTcpWatch(): boolean {
    const { kind } = this.state;
    const away = kind === 'waiting' || (kind === 'connecting' && !this.#attempts.reached);
    return away && this.users.haste() !== 'none' && this.#failedAtTcp();
  }

  /** The next connect of the watch, monotonic; null while there is none. */
  #nextConnectMs(): number | null {
    return this.#direct !== null && this.#wantsTcpWatch()
      ? this.#parts.tcpWatch.nextAtMs(this.#direct)
      : null;
  }

  #tcpAnswered(transport: OpenTransport | null): void {
    const { kind } = this.state;
    if (kind === 'connecting') {
      if (transport !== null) this.#attempts.hurry(transport);
      return;
    }
    if (kind !== 'waiting') return transport?.destroy();
    if (transport !== null) this.#attempts.keep(transport);
    this.#runner.send({ kind: 'kick' });
  }

  /** A person came, or a login succeeded: earlier refusals and tries in vain do not count any more. */
  #forgetRefusals(): void {
    this.#attempts.forgetRefusals();
    this.#blocked.forget();
  }

  #lookAgain(how: Look): void {
    if (how !== 'as before') this.#attempts.offer(how);
    this.#runner.send({ kind: 'answered' });
  }

  #stopIfUnused(): void {
    if (this.users.size === 0 && !this.#draining) this.#runner.send({ kind: 'stop' });
  }

  #failedAtTcp(): boolean {
    return this.#outage.failure?.error.facts.tcpLevel === true && !this.#runner.inherited;
  }
}
