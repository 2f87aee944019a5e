// The attempts of one link: its ways in order, the jump host first, until one of them logs in; what an attempt is told of
// the world, and what it leaves behind.
import { asTunnelError, needsPerson, retryHelps, TunnelError } from '../errors.ts';
import { abortable } from '../model/give-up.ts';
import type { Clock } from '../model/clock.ts';
import { tcp } from '../model/endpoint.ts';
import type { Host, Way } from '../model/host.ts';
import type { Answer, PendingQuestion, Question } from '../model/question.ts';
import type { DialContext, Dialer, DialStep, OpenTransport, Session } from '../model/session.ts';
import { attendedError, environmentDigest, type Offered } from './blocked.ts';
import { canonicalJson } from './canonical.ts';
import type { EngineLog, Hearer, Person } from './engine.ts';
import type { Jumps } from './jumps.ts';
import type { LinkUsers } from './link-users.ts';
import type { LoginTurns } from './login-turns.ts';
import { nobody } from './questions.ts';
import type { Asker, Questions } from './questions.ts';
import type { TimedError } from './status.ts';

export interface AttemptsParts {
  readonly ways: readonly [Way, ...Way[]];
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly questions: Questions;
  readonly loginTurns: LoginTurns<Attempts>;
  /** Whoever waits for one of these tunnels. */
  readonly hearers: (tunnels: readonly string[]) => readonly Hearer[];
  /** Whether logins over these ways were found to need a person. The fact outlives the link. */
  readonly attended: { readonly get: () => boolean; readonly set: (attended: boolean) => void };
}

/** What an attempt begins with. */
export interface Beginning {
  /** The way to try first: the one that worked last. */
  readonly first: number;
  /** The link was up, and was lost. */
  readonly wasUp: boolean;
  /** The link is up: the session is to replace the one it has, and nobody is asked for it. */
  readonly beside: boolean;
}

export type AttemptResult =
  | { readonly kind: 'opened'; readonly session: Session; readonly index: number }
  /** `inherited`: the failure is a jump host's. */
  | { readonly kind: 'failed'; readonly cause: TunnelError; readonly inherited: boolean };

type Failed = AttemptResult & { kind: 'failed' };
type DialFrom = Parameters<Dialer['dial']>[1];

/** Lines of a proxy command that whoever comes later is told. */
const talkKept = 40;

/** How a proxy command is named, as the speaker of what it says. */
const talkerOf = (hop: string): string => `${hop}'s proxy command`;

export class Attempts {
  readonly #parts: AttemptsParts;
  readonly #users: LinkUsers;
  readonly #jumps: Jumps;
  readonly #asker: Asker;
  #offers: Offered = 'everything';
  /** Names of what was refused since a person was there. The dialer adds to it. */
  readonly #refused = new Set<string>();
  #unanswered: Question | null = null;
  #beside = false;
  #reached = false;
  #waiting: TimedError | null = null;
  #through = false;
  #talk: { readonly who: string; readonly line: string }[] = [];
  #steps: DialStep[] = [];
  #via: Session | null = null;
  #transport: OpenTransport | null = null;
  /** Gives the dial under way another transport, or has the dial connect anew (null). Null itself: too late for both. */
  #takeLater: ((transport: OpenTransport | null) => void) | null = null;

  constructor(parts: AttemptsParts, users: LinkUsers, jumps: Jumps, asker: Asker) {
    this.#parts = parts;
    this.#users = users;
    this.#jumps = jumps;
    this.#asker = asker;
  }

  /** The attempt under way is past its TCP connect. */
  get reached(): boolean {
    return this.#reached;
  }

  /** What the attempt under way waits for; null while it does something. */
  get waiting(): TimedError | null {
    return this.#waiting;
  }

  /** The question that nobody was there to answer, of the last attempt. */
  get unanswered(): Question | null {
    return this.#unanswered;
  }

  /** What the last attempt recorded. */
  get steps(): readonly DialStep[] {
    return this.#steps;
  }

  /** The jump host's session that the last attempt went over, or goes; null where it has none. */
  get via(): Session | null {
    return this.#via;
  }

  /** What the next attempt offers. */
  offer(offers: Offered): void {
    this.#offers = offers;
  }

  /** The next attempt offers everything, also what was refused before. */
  forgetRefusals(): void {
    this.#offers = 'everything';
    this.#refused.clear();
  }

  /** Keeps a transport for the next attempt. */
  keep(transport: OpenTransport): void {
    this.#transport?.destroy();
    this.#transport = transport;
  }

  /** Gives a transport to the attempt under way, unless that has got through itself. */
  hurry(transport: OpenTransport): void {
    const take = this.#takeLater;
    this.#takeLater = null;
    if (take === null || this.#reached) return transport.destroy();
    take(transport);
    this.#markReached();
  }

  /** Has a connect that is under way begin anew. */
  redial(): void {
    const take = this.#takeLater;
    if (this.#reached || take === null) return;
    this.#takeLater = null;
    take(null);
  }

  /** The attempt is over. */
  rest(): void {
    this.#begin();
    this.#transport?.destroy();
    this.#transport = null;
  }

  persons(): readonly Person[] {
    return this.#users.persons();
  }

  /** Tells the lines of a proxy command that still waits. */
  repeatTalk(hearer: Hearer): void {
    if (!this.#through) for (const { who, line } of this.#talk) hearer.banner(who, line);
  }

  /** Rejects only when the signal is aborted. A session that arrives after that is closed. */
  async open(signal: AbortSignal, { first, wasUp, beside }: Beginning): Promise<AttemptResult> {
    const { ways } = this.#parts;
    this.#begin();
    this.#beside = beside;
    this.#steps = [];
    this.#unanswered = null;
    const direct = ways.findIndex((way) => way.length === 1);
    const begin = this.#transport === null || direct < 0 ? first : direct;
    const failures: Failed[] = [];
    for (const index of new Set([begin, ...ways.keys()])) {
      const result = await this.#openWay(index, signal, wasUp);
      if (result.kind === 'opened') return result;
      failures.push(result);
      // The server itself refused us: another way leads to the same refusal, and counts as one more attempt there.
      if (!result.inherited && needsPerson(result.cause)) return result;
    }
    return failures.find(({ cause }) => retryHelps(cause)) ?? (failures[0] as Failed);
  }

  #begin(): void {
    this.#reached = false;
    this.#through = false;
    this.#waiting = null;
    this.#talk = [];
  }

  async #openWay(index: number, signal: AbortSignal, wasUp: boolean): Promise<AttemptResult> {
    const way = this.#parts.ways[index] as Way;
    const host = way.at(-1) as Host;
    let via: Session | null = null;
    if (way.length > 1) {
      try {
        via = await this.#jumps.whenUp(index, signal);
      } catch (thrown) {
        signal.throwIfAborted();
        return { kind: 'failed', cause: asTunnelError(thrown), inherited: true };
      }
    }
    this.#via = via;
    try {
      if (!this.#mayLogIn()) {
        await this.#answers(host, via, signal);
        throw this.#wantsPerson(wasUp);
      }
      const session = await (via === null
        ? this.#dialFirst(way, signal)
        : abortable(this.#dial(way, { via, transport: null }, signal), signal, closeLate));
      return { kind: 'opened', session, index };
    } catch (thrown) {
      signal.throwIfAborted();
      return { kind: 'failed', cause: asTunnelError(thrown), inherited: false };
    }
  }

  /** A dial whose TCP connect hangs gives way to a later connect that got through, or to a new network. */
  async #dialFirst(way: Way, signal: AbortSignal): Promise<Session> {
    let transport = this.#takeTransport();
    try {
      for (;;) {
        const hanging = new AbortController();
        const until = AbortSignal.any([signal, hanging.signal]);
        const better: { transport: OpenTransport | null }[] = [];
        this.#takeLater = (later) => {
          better.push({ transport: later });
          hanging.abort(new Error('a later connect is better'));
        };
        try {
          return await abortable(this.#dial(way, { via: null, transport }, until), until, closeLate);
        } catch (thrown) {
          const next = better[0];
          if (next === undefined) throw thrown;
          if (signal.aborted) next.transport?.destroy();
          signal.throwIfAborted();
          transport = next.transport;
        }
      }
    } finally {
      this.#takeLater = null;
    }
  }

  /** Resolves when the server takes a TCP connection; nothing is sent. */
  async #answers(host: Host, via: Session | null, signal: AbortSignal): Promise<void> {
    if (via !== null) {
      const limits = { timeoutMs: host.connectTimeoutMs, signal };
      const from = { host: '127.0.0.1', port: 0 };
      (await via.openChannel(tcp(host.hostname, host.port), from, limits)).close();
      return;
    }
    const destroy = (transport: OpenTransport | null): void => transport?.destroy();
    const kept = this.#takeTransport();
    if (kept !== null) destroy(kept);
    else destroy(await abortable(this.#parts.dialer.reach(host, signal), signal, destroy));
  }

  #takeTransport(): OpenTransport | null {
    const transport = this.#transport;
    this.#transport = null;
    if (transport !== null) this.#markReached();
    return transport;
  }

  /** Dials after the link that goes the same way, unless a connect got through just now: then the server waits for us. */
  #dial(way: Way, from: DialFrom, signal: AbortSignal): Promise<Session> {
    const { dialer, loginTurns } = this.#parts;
    const host = way.at(-1) as Host;
    const dial = (): Promise<Session> => dialer.dial(host, from, this.#context(way, signal));
    if (from.transport !== null) return dial();
    const { acceptNew } = this.#users.terms();
    const environment = environmentDigest(host, this.#users.environment());
    const key = canonicalJson({ way, acceptNew, environment, offers: this.#offers });
    return loginTurns.run({ key, who: this, signal, dial, failedWith: (ahead) => this.#failWith(ahead) });
  }

  #failWith(ahead: Attempts): void {
    this.#steps = [...ahead.#steps];
    this.#unanswered = ahead.#unanswered;
    for (const name of ahead.#refused) this.#refused.add(name);
  }

  /** False: a login would need a person, and nobody is there. Only TCP is tried. */
  #mayLogIn(): boolean {
    const { ways, attended } = this.#parts;
    const needsPersons = (ways[0].at(-1) as Host).attended ?? attended.get();
    return !needsPersons || this.#users.terms().personPresent || this.persons().length > 0;
  }

  /** The failure of an attempt that found the server answering, and may not log in. */
  #wantsPerson(wasUp: boolean): TunnelError {
    const host = this.#parts.ways[0].at(-1) as Host;
    return attendedError(host, this.#users.tunnels()[0] ?? host.name, wasUp);
  }

  #context(way: Way, signal: AbortSignal): DialContext {
    const host = way.at(-1) as Host;
    const { log } = this.#parts;
    const users = this.#users;
    const link = this.#asker.id;
    return {
      signal,
      ask: (question) => this.#ask(question, signal),
      personPresent: () => !this.#beside && users.persons().length > 0,
      get acceptNew() {
        return users.terms().acceptNew;
      },
      onlyProven: this.#offers === 'proven',
      onlyNew: this.#offers === 'new',
      refused: this.#refused,
      environment: users.environment(),
      step: (step) => {
        this.#steps.push({ ...step, place: way.length - 1 });
        const facts = { link, ms: step.ms };
        log('debug', `dial.${step.layer}`, `${step.hop} ${step.status}: ${step.detail}`, facts);
        if (step.layer === 'tcp' && step.status === 'ok') this.#gotThrough();
      },
      log: (level, event, message, facts) => log(level, event, message, { ...facts, link }),
      banner: (text) => {
        log('info', 'link.banner', text, { link });
        for (const hearer of this.#hearers()) hearer.banner(host.name, text);
      },
      notice: (text) => {
        for (const hearer of this.#hearers()) hearer.notice?.(text);
      },
      talk: (hop, line) => {
        if (!signal.aborted) this.#talked(hop, line);
      },
      waits: (why) => {
        if (!signal.aborted) this.#wait(why);
      },
    };
  }

  #wait(why: TunnelError | null): void {
    this.#waiting = why === null ? null : { error: why, atMs: this.#parts.clock.now() };
    if (why !== null) for (const hearer of this.#hearers()) hearer.notice?.(why.message);
    this.#asker.changed();
  }

  #hearers(): readonly Hearer[] {
    return this.#parts.hearers(this.#users.tunnels());
  }

  /** The command may want something of a person: nobody cuts it short, and later hearers are told its lines too. */
  #talked(hop: string, line: string): void {
    const { clock } = this.#parts;
    this.#reached = true;
    const who = talkerOf(hop);
    this.#talk.push({ who, line });
    if (this.#talk.length > talkKept) this.#talk.shift();
    const error = new TunnelError('TIMED_OUT', `login waits, on ${hop}: its proxy command says: ${line}`, {
      hint: { command: 'logs', note: 'all that it said' },
    });
    if (!this.#through) this.#waiting = { error, atMs: clock.now() };
    for (const hearer of this.#hearers()) hearer.banner(who, line);
    this.#asker.changed();
  }

  /** The server answers: the attempt no longer waits for the proxy command. */
  #gotThrough(): void {
    this.#through = true;
    this.#waiting = null;
    this.#reached = true;
    this.#asker.changed();
  }

  async #ask(question: Omit<PendingQuestion, 'id' | 'link'>, signal: AbortSignal): Promise<Answer> {
    try {
      if (this.#beside) throw nobody(question.host);
      return await this.#parts.questions.ask(this.#asker, question, signal);
    } catch (error) {
      const { kind, host, text, echo, fingerprint } = question;
      this.#unanswered = { kind, host, text, echo, fingerprint };
      throw error;
    }
  }

  #markReached(): void {
    if (this.#reached) return;
    this.#reached = true;
    this.#asker.changed();
  }
}

function closeLate(session: Session): void {
  void session.close();
}
