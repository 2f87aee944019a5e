// The logins of one link: what each attempt is told of the world, and what it leaves behind.
import { TunnelError } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { Host, Way } from '../model/host.ts';
import type { Answer, PendingQuestion, Question } from '../model/question.ts';
import type { DialContext, Dialer, DialStep, OpenTransport, Session } from '../model/session.ts';
import { attempt } from './attempt.ts';
import type { AttemptResult } from './attempt.ts';
import { canonicalJson } from './canonical.ts';
import type { EngineLog, Hearer, Person } from './engine.ts';
import { environmentDigest } from './environment.ts';
import type { Jumps } from './jumps.ts';
import type { LinkUsers } from './link-users.ts';
import { attendedError } from './needs-you.ts';
import type { TimedError } from './outage.ts';
import type { Pilots } from './pilots.ts';
import type { Asker, Questions } from './questions.ts';

export interface LoginParts {
  readonly ways: readonly [Way, ...Way[]];
  readonly dialer: Dialer;
  readonly clock: Clock;
  readonly questions: Questions;
  readonly pilots: Pilots<Login>;
  readonly log: EngineLog;
  readonly jumps: Jumps;
  readonly asker: Asker;
  readonly users: LinkUsers;
  readonly hearers: (tunnels: readonly string[]) => readonly Hearer[];
  /** The way that worked last. */
  readonly first: () => number;
  /** Logins here were found to need a person. */
  readonly foundAttended: () => boolean;
  readonly wasUp: () => boolean;
  /** `reached` or `waiting` changed. */
  readonly changed: () => void;
}

/** Lines of a proxy command that whoever comes later is told. */
const talkKept = 40;

/** How a proxy command is named, as the speaker of what it says. */
const talkerOf = (hop: string): string => `${hop}'s proxy command`;

export class Login {
  /**
   * A refusal is not to be repeated by guessing: after one, only what worked here before is offered (the slow retry), or
   * only what was not refused (something changed).
   */
  offers: 'everything' | 'proven' | 'new' = 'everything';
  /** Names of what was refused since a person was there. The dialer adds to it. */
  readonly refused = new Set<string>();
  /** The question that nobody was there to answer, of the last attempt. */
  unanswered: Question | null = null;
  readonly #parts: LoginParts;
  #reached = false;
  #waiting: TimedError | null = null;
  #through = false;
  #talk: { readonly who: string; readonly line: string }[] = [];
  #steps: DialStep[] = [];
  #transport: OpenTransport | null = null;
  #takeKnock: ((transport: OpenTransport | null) => void) | null = null;

  constructor(parts: LoginParts) {
    this.#parts = parts;
  }

  /** The attempt under way is past its TCP connect. */
  get reached(): boolean {
    return this.#reached;
  }

  /** What the attempt under way waits for; null while it does something. */
  get waiting(): TimedError | null {
    return this.#waiting;
  }

  /** What the last attempt recorded. */
  get steps(): readonly DialStep[] {
    return this.#steps;
  }

  /** Leaves a transport for the next attempt. */
  leave(transport: OpenTransport): void {
    this.#transport?.destroy();
    this.#transport = transport;
  }

  /** Gives a knock's transport to the attempt under way, if that has not got through itself. */
  offer(transport: OpenTransport): void {
    const take = this.#takeKnock;
    this.#takeKnock = null;
    if (take === null || this.#reached) return transport.destroy();
    take(transport);
    this.#markReached();
  }

  /** Has a connect that is under way begun anew. */
  redial(): void {
    const take = this.#takeKnock;
    if (this.#reached || take === null) return;
    this.#takeKnock = null;
    take(null);
  }

  /** The attempt is over. */
  rest(): void {
    this.#begin();
    this.#transport?.destroy();
    this.#transport = null;
  }

  #begin(): void {
    this.#reached = false;
    this.#through = false;
    this.#waiting = null;
    this.#talk = [];
  }

  attempt(signal: AbortSignal): Promise<AttemptResult> {
    const { dialer, ways, jumps, first } = this.#parts;
    this.#begin();
    this.#steps = [];
    this.unanswered = null;
    const direct = ways.findIndex((way) => way.length === 1);
    return attempt(
      {
        dialer,
        ways,
        first: this.#transport === null || direct < 0 ? first() : direct,
        jump: (index, until) => jumps.whenUp(index, until),
        takeTransport: () => {
          const transport = this.#transport;
          this.#transport = null;
          if (transport !== null) this.#markReached();
          return transport;
        },
        awaitKnock: (take) => {
          this.#takeKnock = take;
        },
        mayLogIn: () => this.#mayLogIn(),
        wantsPerson: () => this.#wantsPerson(),
        dial: (index, from, until) => this.#dial(ways[index] as Way, from, until),
      },
      signal,
    );
  }

  /** After another link's that goes the same way, unless a knock got through: then the server is waiting for us. */
  #dial(way: Way, from: Parameters<Dialer['dial']>[1], signal: AbortSignal): Promise<Session> {
    const { dialer, pilots, users } = this.#parts;
    const host = way.at(-1) as Host;
    const dial = (): Promise<Session> => dialer.dial(host, from, this.#context(host, signal));
    if (from.transport !== null) return dial();
    const { acceptNew } = users.terms();
    const environment = environmentDigest(host, users.environment());
    const key = canonicalJson({ way, acceptNew, environment, offers: this.offers });
    return pilots.run({ key, pilot: this, signal, dial, failedWith: (ahead) => this.#failWith(ahead) });
  }

  persons(): readonly Person[] {
    return this.#parts.users.persons();
  }

  #failWith({ steps, refused, unanswered }: Login): void {
    this.#steps = [...steps];
    this.unanswered = unanswered;
    for (const name of refused) this.refused.add(name);
  }

  #mayLogIn(): boolean {
    const { ways, users, foundAttended } = this.#parts;
    const attended = (ways[0].at(-1) as Host).attended ?? foundAttended();
    return !attended || users.terms().personPresent || users.persons().length > 0;
  }

  #wantsPerson(): ReturnType<typeof attendedError> {
    const { ways, users, wasUp } = this.#parts;
    const host = ways[0].at(-1) as Host;
    return attendedError(host, users.tunnels()[0] ?? host.name, wasUp());
  }

  #context(host: Host, signal: AbortSignal): DialContext {
    const { users, log, asker } = this.#parts;
    return {
      signal,
      ask: (question) => this.#ask(question, signal),
      personPresent: () => users.persons().length > 0,
      get acceptNew() {
        return users.terms().acceptNew;
      },
      onlyProven: this.offers === 'proven',
      onlyNew: this.offers === 'new',
      refused: this.refused,
      environment: users.environment(),
      step: (step) => {
        this.#steps.push(step);
        const facts = { link: asker.id, ms: step.ms };
        log('debug', `dial.${step.layer}`, `${step.hop} ${step.status}: ${step.detail}`, facts);
        if (step.layer === 'tcp' && step.status === 'ok') this.#gotThrough();
      },
      log: (level, event, message, facts) => log(level, event, message, { ...facts, link: asker.id }),
      banner: (text) => {
        log('info', 'link.banner', text, { link: asker.id });
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
    const { clock, changed } = this.#parts;
    this.#waiting = why === null ? null : { error: why, atMs: clock.now() };
    if (why !== null) for (const hearer of this.#hearers()) hearer.notice?.(why.message);
    changed();
  }

  #hearers(): readonly Hearer[] {
    const { hearers, users } = this.#parts;
    return hearers(users.tunnels());
  }

  /** It may want something of a person: it is left alone, and who comes later hears of it too. */
  #talked(hop: string, line: string): void {
    const { clock } = this.#parts;
    this.#reached = true;
    const who = talkerOf(hop);
    this.#talk.push({ who, line });
    if (this.#talk.length > talkKept) this.#talk.shift();
    const error = new TunnelError('TIMED_OUT', `login waits, on ${hop}: its proxy command says: ${line}`, {
      hint: 'tunnel logs    # all that it said',
    });
    if (!this.#through) this.#waiting = { error, atMs: clock.now() };
    for (const hearer of this.#hearers()) hearer.banner(who, line);
    this.#parts.changed();
  }

  repeatTalk(hearer: Hearer): void {
    if (!this.#through) for (const { who, line } of this.#talk) hearer.banner(who, line);
  }

  /** The server is there: nothing that a command said before is waited for. */
  #gotThrough(): void {
    this.#through = true;
    this.#waiting = null;
    this.#reached = true;
    this.#parts.changed();
  }

  async #ask(question: Omit<PendingQuestion, 'id' | 'link'>, signal: AbortSignal): Promise<Answer> {
    const { questions, asker } = this.#parts;
    try {
      return await questions.ask(asker, question, signal);
    } catch (error) {
      const { kind, host, text, echo, fingerprint } = question;
      this.unanswered = { kind, host, text, echo, fingerprint };
      throw error;
    }
  }

  #markReached(): void {
    if (this.#reached) return;
    this.#reached = true;
    this.#parts.changed();
  }
}
