// A login: the authentication of one connection, from the first request to the last (RFC 4252 5.1). Which credential is
// next after each word of the server, what became of each, and why the login failed. The steps are beside the table of methods.
import type { Client } from 'ssh2';
import { asTunnelError, type TunnelError } from '../../errors.ts';
import { wireString } from '../../keys/wire.ts';
import { formatLogin, type AuthMethod, type Host } from '../../model/host.ts';
import type { QuestionKind } from '../../model/question.ts';
import { Secret } from '../../model/secret.ts';
import type { DialContext, LoginRecord, UserCertificate } from '../../model/session.ts';
import type { StoredRef } from '../../secrets/read.ts';
import { ConnectionGone, hookAuth, type AuthReply, type AuthWire } from '../ssh2/auth.ts';
import type { CredentialParts } from './credentials.ts';
import { refusalOfHost } from './hostbased.ts';
import type { Failure, LastLogin, Remembered } from './kept.ts';
import { Keys } from './key.ts';
import { methodNames, methods, type Refusal, type Step, type StepEnd, type Steps } from './methods.ts';
import { Passwords } from './password.ts';
import {
  loginFailure,
  mayBeAcceptedAgain,
  recall,
  startNotes,
  type Mark,
  type Notes,
  type Obstacle,
} from './refusals.ts';
import { hasStored, refusalOfSecret, StoredAnswers } from './stored.ts';

/** ssh2's callback for the next method: an `authHandler` object, or false when nothing is left. */
export type NextMethod = (method: object | false) => void;

/** What a dial does with a login. */
export type DialLogin = Pick<Login, 'prepare' | 'install' | 'handler' | 'record' | 'failure' | 'finish'>;

export type CreateLogin = (host: Host, context: DialContext) => DialLogin;

/** A key or certificate on the wire. */
export interface OfferedKey {
  readonly method: 'publickey' | 'hostbased';
  /** Its name among the proven ones; null where none is kept. */
  readonly credential: string | null;
  /** Its name among the refused ones. */
  readonly refusal: string;
  /** What it is when it is a certificate that ends. */
  readonly certificate: UserCertificate | null;
}

/** A credential under way. */
interface Current {
  /** Null for the `none` request. */
  readonly words: string | null;
  /** Moved on by what a person took over a question. */
  startedMs: number;
  /** Null for what is no key. */
  readonly key: OfferedKey | null;
}

/** What became of a question: the answer, a person who declined, or nobody there. */
export type Asked =
  | { readonly kind: 'answer'; readonly secret: Secret }
  | { readonly kind: 'declined' }
  | { readonly kind: 'nobody' };

export interface Question {
  readonly kind: QuestionKind;
  /** Clean. */
  readonly text: string;
  readonly echo: boolean;
  readonly fromServer: boolean;
  readonly tries: number;
}

/** What the server's yes to the `none` request is called. It proves nothing, and nothing is offered (RFC 4252 5.2). */
export const withoutCredential = 'let in without a credential';

/** A server that is never content is left. */
const mostPartials = 8;

const messageRequest = Buffer.from([50]);

/** One a connection: `prepare`, `install`, `handler` by ssh2, then `record` or `failure`, and `finish`. */
export class Login {
  readonly context: DialContext;
  readonly parts: CredentialParts;
  readonly remembered: Remembered;
  readonly stored: StoredAnswers;
  readonly passwords: Passwords;
  readonly keys: Keys;
  /** Names of what is not offered: it was refused before, and only what is new is worth another try. */
  readonly spurned: ReadonlySet<string>;
  /** As it was given: what is remembered stands under it. */
  readonly #given: Host;
  #host: Host;
  readonly #before: Failure | null;
  readonly #notes: Notes = startNotes();
  /** The certificates with an end that the server took. */
  readonly #certificates: UserCertificate[] = [];
  /** How many of the refused ones were refused to an earlier login. */
  readonly #recalled: number;
  #steps: ReadonlyMap<AuthMethod, Steps> = new Map();
  #wire: AuthWire | null = null;
  #last: LastLogin | null = null;
  /** A request was sent: how this login ends says something of the server. */
  #begun = false;
  #current: Current | null = null;
  /** The `none` request is still to be sent, and nothing of the last login says that it would be in vain. */
  #asksNone = false;
  #noneTried = false;
  #partials = 0;
  #bug: TunnelError | null = null;

  constructor(host: Host, context: DialContext, parts: CredentialParts, remembered: Remembered) {
    this.#given = host;
    this.#host = host;
    this.context = context;
    this.parts = parts;
    this.remembered = remembered;
    this.stored = new StoredAnswers(host, context, parts.secrets);
    this.passwords = new Passwords(this);
    this.keys = new Keys(this);
    // Of now: what this login is refused itself may yet be wanted after another method.
    this.spurned = context.onlyNew === true ? new Set(context.refused) : new Set();
    this.#before = remembered.failure(host);
    const repeats = context.onlyNew === true && this.#before !== null;
    this.#recalled = repeats ? recall(this.#notes, this.#before.notes) : 0;
  }

  /** Without its stored answers where they were refused before. */
  get host(): Host {
    return this.#host;
  }

  /** From `install` on. */
  get wire(): AuthWire {
    if (this.#wire === null) throw new Error('the login was not installed');
    return this.#wire;
  }

  /**
   * Begins to look for credentials while the dial goes on. Throws the kept failure where no connection is to be made,
   * because what is new or proven is all that may be offered, and there is none of it (SPEC 3).
   */
  async prepare(): Promise<void> {
    const { onlyProven, onlyNew } = this.context;
    // A first look at the server needs no credential: its host key is settled before one is missed (SPEC 2), or made.
    if (!onlyProven && onlyNew !== true) {
      if (this.#given.certificateCommand === null) this.keys.gather().catch(() => undefined);
      return;
    }
    await this.keys.gather();
    // No connection is made just to say nothing: what would be said is known (SPEC 3).
    if (onlyProven && !this.keys.someProven) throw this.#before?.error ?? this.#failureNow();
    if (onlyNew !== true) return;
    const stored = hasStored(this.#given);
    const spurnsStored = !this.context.personPresent() && !(stored && (await this.#hasFreshAnswer()));
    if (spurnsStored) this.#host = { ...this.#given, password: null, totp: null };
    if (this.keys.someNew || (stored && !spurnsStored) || this.#mayDoOtherwise()) return;
    this.#notes.methods = this.#before?.notes.methods ?? null;
    throw this.#failureNow();
  }

  /** A stored answer was not refused before: where two are wanted together, that makes the pair new. */
  async #hasFreshAnswer(): Promise<boolean> {
    let fresh = false;
    for (const kind of ['password', 'totp'] as const) {
      const ref = this.#given[kind];
      const secret = ref === null || ref.from === 'prompt' ? null : await this.readStored(ref, kind);
      if (secret !== null && !this.spurned.has(refusalOfSecret(secret))) fresh = true;
    }
    return fresh;
  }

  /** True when something may do that is neither a key nor stored: a person, this machine's own key, nothing at all. */
  #mayDoOtherwise(): boolean {
    return this.#given.auth.some((name) => {
      const { needs } = methods[name];
      if (needs === 'person') return this.context.personPresent();
      return needs === 'nothing' || (needs === 'host-key' && !this.spurned.has(refusalOfHost));
    });
  }

  /** Hooks the protocol instance (authPK, USERAUTH_FAILURE …). Called right after `client.connect()`. */
  install(client: Client): void {
    this.#wire = hookAuth(client, () => this.#settle({ kind: 'success' }));
    this.#last = this.remembered.lastLogin(this.#given);
    this.#notes.methods = this.#last?.methods ?? null;
    this.#asksNone = this.#last === null && !this.context.onlyProven;
    this.#steps = new Map(this.#host.auth.map((name) => [name, methods[name].start(this)]));
  }

  /** ssh2's `authHandler`. Asked once: from then on the conversation is ours, and ssh2 hears only of its end. */
  readonly handler = (
    _methodsLeft: readonly string[] | null,
    _partial: boolean | null,
    next: NextMethod,
  ): void => void this.#run(next);

  async #run(next: NextMethod): Promise<void> {
    try {
      if (this.#wire !== null) {
        if (await this.#authenticate()) return;
        this.#notePerson();
      }
    } catch (error) {
      if (error instanceof ConnectionGone) return; // the session hears of it by itself
      this.#bug = asTunnelError(error);
      this.log('warn', 'login-broke', this.#bug.message, { host: this.#host.name });
    }
    next(false);
  }

  /**
   * True when the server let us in. Rejects with ConnectionGone when the link ends. `none` comes first, as with ssh: a
   * server may take nothing else and end the connection at any other request; the keys are looked at after it.
   */
  async #authenticate(): Promise<boolean> {
    if (this.#asksNone && (await this.#askNone()).kind === 'success') return true;
    await this.keys.gather();
    await this.keys.bind();
    for (;;) {
      const found = this.#asksNone ? null : await this.#nextStep();
      const end = found === null ? await this.#lastQuestion() : await found.step();
      if (end.kind === 'success') return true;
      if (end.kind === 'stop' || (found === null && end.kind === 'skipped')) return false;
      if (end.kind === 'failure') this.#heed(end, found?.of ?? null);
    }
  }

  async #nextStep(): Promise<{ step: Step; of: Steps } | null> {
    if (this.#partials > mostPartials) return null;
    for (const [name, of] of this.#steps) {
      const { wire, needs } = methods[name];
      if (name !== 'none' && this.#notes.methods?.includes(wire) === false) continue;
      if (this.context.onlyProven && needs !== 'key') continue;
      const step = await of.next();
      if (step !== null) return { step, of };
    }
    return null;
  }

  #heed(end: Refusal, of: Steps | null): void {
    this.#learn(end.methods);
    for (const steps of this.#steps.values()) steps.heard?.(end, steps === of);
    if (end.partial) {
      this.#partials += 1;
      return;
    }
    // the server does not do as it did: it may have come to want less
    const refused = this.#notes.refused.at(-1);
    if (!this.#noneTried && !this.context.onlyProven && refused !== undefined)
      this.#asksNone = this.#last?.refused.has(refused) === false;
  }

  #learn(taken: readonly string[]): void {
    this.#notes.methods = taken;
    this.#notes.firstMethods ??= taken;
  }

  /** Nothing is left to offer: `none`, where it was left out so far, may still do, or tells what the server takes by now. */
  async #lastQuestion(): Promise<StepEnd> {
    if (this.#noneTried || this.context.onlyProven || this.#notes.accepted.length > 0)
      return { kind: 'skipped' };
    return this.#askNone();
  }

  async #askNone(): Promise<StepEnd> {
    this.#asksNone = false;
    this.#noneTried = true;
    this.begin(null);
    const reply = await this.request('none', []);
    this.#settle(reply.kind === 'success' ? reply : { kind: 'failure', methods: [], partial: false });
    if (reply.kind !== 'success' && reply.kind !== 'failure') return { kind: 'skipped' };
    if (reply.kind === 'failure') this.#learn(reply.methods);
    return reply;
  }

  /** The `none` method, for a host that lists it. */
  noneSteps(): Steps {
    return { next: () => (this.#noneTried ? null : () => this.#askNone()) };
  }

  /** Notes the question that a person could still have answered, had one been there: status then shows it. */
  #notePerson(): void {
    if (this.context.onlyProven || this.context.personPresent()) return;
    if (this.#notes.obstacles.some(({ question }) => question !== null)) return;
    if (this.#notes.marks.has('secret-refused')) return this.remark('nobody is here to type another');
    const wanted = methodNames.find(
      (name) =>
        methods[name].needs === 'person' &&
        this.#steps.has(name) &&
        this.#notes.methods?.includes(methods[name].wire) === true,
    );
    if (wanted !== undefined) this.#steps.get(wanted)?.noteMissing?.();
  }

  /** What the server accepted. Complete once the login succeeded. */
  record(): LoginRecord {
    const { accepted, marks } = this.#notes;
    const [certificate] = this.#certificates.toSorted((one, other) => one.endsAtMs - other.endsAtMs);
    return {
      ...(certificate === undefined ? {} : { certificate }),
      accepted: [...accepted],
      attended: this.#given.attended ?? (marks.has('typed-code') || this.#byPerson()),
    };
  }

  /** A keyboard-interactive login to which nothing was said that is kept: somebody pushed a button (SPEC 3). */
  #byPerson(): boolean {
    return (
      this.#notes.accepted.includes('keyboard-interactive') &&
      this.stored.refusals.length === 0 &&
      this.remembered.password(this.#given) === null
    );
  }

  /** Why it failed: AUTH_REFUSED (offered what, server takes what), KEY_UNREADABLE, SECRET_MISSING, AGENT_DOWN. */
  failure(): TunnelError {
    if (this.#wire?.farewell === true) this.#hungUp();
    const said = this.#notes.refused.slice(this.#recalled);
    if (methodNames.some((name) => methods[name].stored && said.includes(methods[name].wire)))
      for (const refusal of this.stored.refusals) this.context.refused?.add(refusal);
    if (this.#bug !== null) return this.#bug;
    // The slow retry says less than the login it repeats, and nothing new when all of it was refused.
    if (this.context.onlyProven && this.#before !== null && this.#notes.accepted.length === 0)
      return this.#before.error;
    const error = this.#failureNow();
    this.remembered.keepFailure(this.#given, { error, notes: this.#notes });
    return error;
  }

  #failureNow(): TunnelError {
    const isProven = this.keys.isProven.bind(this.keys);
    const again = mayBeAcceptedAgain(this.keys.offers, this.#notes, isProven, this.context.refused);
    return loginFailure(this.#notes, this.#given, again);
  }

  /** The credential under way when the server hung up counts as refused: OpenSSH ends a login that way (MaxAuthTries). */
  #hungUp(): void {
    this.mark('hung-up');
    const current = this.#current;
    this.#current = null;
    if (current?.words == null) return;
    this.#notes.refused.push(current.words);
    if (current.key !== null) this.context.refused?.add(current.key.refusal);
  }

  /** Ends the login, once: frees agent sockets, remembers what worked. */
  finish(succeeded: boolean): void {
    this.keys.close();
    if (this.#begun) this.remembered.dropLogin(this.#given);
    if (!succeeded) return;
    this.remembered.dropFailure(this.#given);
    const { accepted, refused, firstMethods, methods: lastMethods } = this.#notes;
    if (accepted.length > 0) {
      const login = { refused: new Set(refused), methods: firstMethods ?? lastMethods };
      this.remembered.keepLogin(this.#given, login);
    }
    const how = accepted.length > 0 ? ` with ${accepted.join(', ')}` : `: ${withoutCredential}`;
    this.log('info', 'login', `logged in to ${formatLogin(this.#given)}${how}`);
  }

  // Below: for the steps.

  /** Sends SSH_MSG_USERAUTH_REQUEST (RFC 4252 5); `fields`: what follows the method's name. */
  request(method: string, fields: readonly Buffer[]): Promise<AuthReply> {
    return this.wire.request(method, Buffer.concat([this.#head(method), ...fields]));
  }

  /** The same with a signature over the session and the request (RFC 4252 7, 9). Null: `sign` made none. */
  async requestSigned(
    method: string,
    fields: readonly Buffer[],
    sign: (covered: Buffer) => Promise<Buffer | null>,
  ): Promise<AuthReply | null> {
    const body = Buffer.concat([this.#head(method), ...fields]);
    const covered = Buffer.concat([wireString(this.wire.sessionId), messageRequest, body]);
    const signature = await sign(covered);
    if (signature === null) return null;
    return this.wire.request(method, Buffer.concat([body, wireString(signature)]));
  }

  #head(method: string): Buffer {
    return Buffer.concat([this.#host.user, 'ssh-connection', method].map((text) => wireString(text)));
  }

  /** Opens the book on a credential: what the server says next is about it. */
  begin(words: string | null, key: OfferedKey | null = null): void {
    this.#begun = true;
    this.#current = { words, startedMs: this.parts.clock.monotonic(), key };
  }

  /** Closes the book on a credential that was neither accepted nor refused. */
  drop(): void {
    this.#current = null;
  }

  /** Writes down what became of the credential under way. Null, or a reply that has no place here: nothing was offered. */
  conclude(reply: AuthReply | null): StepEnd {
    if (reply?.kind === 'success' || reply?.kind === 'failure') {
      this.#settle(reply);
      return reply;
    }
    this.drop();
    return { kind: 'skipped' };
  }

  /** Idempotent until the next `begin`. */
  #settle(reply: Extract<AuthReply, { kind: 'success' | 'failure' }>): void {
    const current = this.#current;
    if (current === null) return;
    this.#current = null;
    const taken = reply.kind === 'success' || reply.partial;
    if (current.words === null) {
      if (taken) this.report(true, withoutCredential, current.startedMs);
      return;
    }
    (taken ? this.#notes.accepted : this.#notes.refused).push(current.words);
    if (current.key !== null) this.#judge(current.key, taken, reply);
    const more =
      reply.kind === 'failure' ? `; the server takes ${reply.methods.join(',') || 'nothing else'}` : '';
    const said = taken ? (reply.kind === 'success' ? 'accepted' : 'accepted, more is wanted') : 'refused';
    this.report(taken, `${current.words}: ${said}${more}`, current.startedMs);
  }

  /** A method that is not wanted now says nothing of the key (AuthenticationMethods password,publickey). */
  #judge(key: OfferedKey, taken: boolean, reply: AuthReply): void {
    if (!taken && reply.kind === 'failure' && reply.methods.includes(key.method))
      this.context.refused?.add(key.refusal);
    if (taken && key.certificate !== null) this.#certificates.push(key.certificate);
    if (taken && key.credential !== null) this.parts.proven.add(formatLogin(this.#host), key.credential);
  }

  /** Reads a stored answer; what stands in the way is written down, and null is the answer. */
  async readStored(ref: StoredRef, kind: 'password' | 'totp'): Promise<Secret | null> {
    const read = await this.stored.read(ref, kind);
    if (read instanceof Secret) return read;
    this.block(read);
    return null;
  }

  async ask(question: Question): Promise<Asked> {
    const askedMs = this.parts.clock.monotonic();
    try {
      const secret = await this.context.ask({
        ...question,
        host: this.#host.name,
        endpoint: formatLogin(this.#host),
        fingerprint: null,
        keyType: null,
        randomart: [],
      });
      return secret === null ? { kind: 'declined' } : { kind: 'answer', secret };
    } catch {
      return { kind: 'nobody' }; // how an absent person shows (DialContext.ask)
    } finally {
      if (this.#current !== null) this.#current.startedMs += this.parts.clock.monotonic() - askedMs;
    }
  }

  /** Something keeps a credential from being used. */
  block(obstacle: Obstacle): void {
    this.#notes.obstacles.push(obstacle);
  }

  /** Nobody is here to answer a question: told once for each kind. */
  missing(obstacle: Obstacle & { readonly question: NonNullable<Obstacle['question']> }): void {
    const { kind } = obstacle.question;
    if (!this.#notes.obstacles.some(({ question }) => question?.kind === kind)) this.block(obstacle);
  }

  mark(mark: Mark): void {
    this.#notes.marks.add(mark);
  }

  /** `path`: as a shell takes it. */
  refusedFile(path: string): void {
    this.#notes.refusedFiles.push(path);
  }

  /** A credential that could not be offered, or the trouble with it. */
  remark(words: string): void {
    if (!this.#notes.remarks.includes(words)) this.#notes.remarks.push(words);
    this.tell(words);
  }

  /** For `why` alone. */
  tell(words: string): void {
    this.report(false, words, this.parts.clock.monotonic());
  }

  /** A word on the login under way, for `why`. */
  report(ok: boolean, detail: string, startedMs: number): void {
    const ms = Math.max(0, this.parts.clock.monotonic() - startedMs);
    this.context.step({ hop: this.#host.name, layer: 'auth', status: ok ? 'ok' : 'failed', ms, detail });
  }

  readonly log: CredentialParts['log'] = (level, event, message, facts) =>
    (this.context.log ?? this.parts.log)(level, event, message, facts);
}
