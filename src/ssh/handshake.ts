// One attempt at a login over connected bytes: key exchange, host key, authentication, each with its own deadline.
// Settles on whatever comes first: ready, an error, the end of the bytes, a deadline, the signal. Once.
import type { Client } from 'ssh2';
import { asTunnelError, TunnelError } from '../errors.ts';
import { cleanBanner } from '../model/clean.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { onAbort } from '../model/give-up.ts';
import type { Host } from '../model/host.ts';
import type { DialContext, DialStep } from '../model/session.ts';
import type { NegotiatedAlgorithms } from '../model/status.ts';
import {
  attemptFailure,
  loginFailed,
  silenceFailure,
  wordsOf,
  type AttemptFacts,
  type Layer,
} from './failure.ts';
import { isCertificateType } from '../keys/algorithms.ts';
import { createHelloReader, type HelloReader } from './ssh2/hello.ts';
import { installKex } from './ssh2/kex.ts';
import { ssh2 } from './ssh2/load.ts';
import { supportedAlgorithms, type AlgorithmNames } from './ssh2/parts.ts';
import { withoutCredential, type DialLogin } from './auth/login.ts';
import type { Connection } from './session.ts';
import type { Transport } from './transport/open.ts';
import type { Decision, HostKeyCheck } from './verify.ts';
import { keyType } from '../keys/public-key.ts';

export interface HandshakeParts {
  readonly host: Host;
  readonly transport: Transport;
  readonly offer: AlgorithmNames;
  readonly key: HostKeyCheck;
  readonly login: DialLogin;
  readonly context: DialContext;
  readonly clock: Clock;
  readonly log: (level: 'debug' | 'info' | 'warn', event: string, message: string) => void;
  /** Right after `connect`: takes hold of the client's private parts. */
  readonly hold: (client: Client) => Connection;
}

export interface Handshaken {
  readonly client: Client;
  readonly connection: Connection;
  readonly algorithms: NegotiatedAlgorithms;
  /** The key that the server proved. */
  readonly hostKey: Buffer;
}

/** A key that a person confirmed while the server lost patience: the next attempt takes it unasked. */
export class ConfirmedTooLate extends Error {
  readonly key: Buffer;

  constructor(key: Buffer) {
    super('the server ended the connection while its host key was being confirmed');
    this.key = key;
  }
}

/** Silence in which a login is given up: LoginGraceTime of OpenSSH, and longer than any push waits for a thumb. */
const loginSilenceMs = 120_000;

/** A login in which the server goes on talking: so long, so many bytes and so many banners, and it is given up too. */
const longestLoginMs = 600_000;
const mostLoginBytes = 4 * 1024 * 1024;
const mostBanners = 100;

interface Negotiated {
  readonly kex: string;
  readonly serverHostKey?: string;
  readonly cs: { readonly cipher: string; readonly mac: string };
}

/** One use: `run` once. */
export class Handshake {
  readonly #parts: HandshakeParts;
  readonly #client: Client = new ssh2.Client();
  readonly #hello: HelloReader = createHelloReader();
  readonly #deadline: Deadline;
  /** Of the whole login, whatever the server says meanwhile. */
  readonly #patience: Deadline;
  #loginBytes = 0;
  #banners = 0;
  #layer: Extract<Layer, 'kex' | 'auth'> = 'kex';
  #layerSince: number;
  #thinking = 0;
  #thinkingSince = 0;
  #connection: Connection | null = null;
  /** A person is looking at the host key. */
  #asking: Promise<Decision> | null = null;
  /** Bytes that had come when a person answered about the host key; null: nobody did. */
  #receivedAtAnswer: number | null = null;
  #stored: Promise<void> = Promise.resolve();
  #algorithms: NegotiatedAlgorithms | null = null;
  #thrown: AttemptFacts['thrown'] = null;
  #methodsSpent = false;
  #settle: ((outcome: Handshaken | Error) => void) | null = null;

  constructor(parts: HandshakeParts) {
    this.#parts = parts;
    this.#layerSince = parts.clock.monotonic();
    this.#deadline = new Deadline(parts.clock, () => this.#late());
    this.#patience = new Deadline(parts.clock, () =>
      this.#tired(
        'TIMED_OUT',
        `goes on talking, and has not let us in for ${longestLoginMs / 60_000} minutes`,
      ),
    );
  }

  /** A person is at a question: no deadline runs meanwhile. Nests. */
  pause(): void {
    this.#deadline.pause();
    this.#patience.pause();
    this.#thinking += 1;
    if (this.#thinking === 1) this.#thinkingSince = this.#now();
  }

  resume(): void {
    this.#deadline.resume();
    this.#patience.resume();
    this.#thinking -= 1;
    if (this.#thinking === 0) this.#layerSince += this.#now() - this.#thinkingSince;
  }

  /** Milliseconds of the present layer, without what a person took over a question. */
  #spentMs(): number {
    return (this.#thinking > 0 ? this.#thinkingSince : this.#now()) - this.#layerSince;
  }

  #now(): number {
    return this.#parts.clock.monotonic();
  }

  async run(): Promise<Handshaken> {
    const { context, transport } = this.#parts;
    let cancel: Cancel = () => undefined;
    const outcome = await new Promise<Handshaken | Error>((resolve) => {
      this.#settle = resolve;
      cancel = onAbort(context.signal, () => this.#end(context.signal.reason as Error));
      if (this.#settle !== null) this.#guard(() => this.#connect());
    });
    cancel();
    this.#deadline.stop();
    this.#patience.stop();
    if (!(outcome instanceof Error)) return outcome;
    transport.stream.destroy();
    throw await this.#afterQuestion(outcome);
  }

  /** LoginGraceTime can run out while a person looks a fingerprint up: the answer must not be lost with the link. */
  async #afterQuestion(error: Error): Promise<Error> {
    if (this.#parts.context.signal.aborted) return error;
    const decision = this.#asking === null ? this.#answeredInVain(error) : await this.#asking;
    if (decision === null) return error;
    if (!decision.accepted) return decision.error;
    return new ConfirmedTooLate(decision.judgement.key);
  }

  /** The answer met a link that had ended, though its end was not seen yet: the server said nothing after it. */
  #answeredInVain(error: Error): Decision | null {
    const lost = error instanceof TunnelError && error.code === 'LINK_LOST';
    return lost && this.#receivedAtAnswer === this.#hello.received ? this.#parts.key.accepted : null;
  }

  #end(outcome: Handshaken | Error): void {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(outcome);
  }

  /** Nothing may be thrown into ssh2: it would end the connection with somebody else's words (SSH2.md 2.3). */
  #guard(act: () => void): void {
    try {
      act();
    } catch (thrown) {
      this.#end(asTunnelError(thrown));
    }
  }

  #connect(): void {
    const { host, offer, login, key, hold } = this.#parts;
    const { stream } = this.#parts.transport;
    this.#listen();
    if (host.firstWordsMs !== null) this.#deadline.start(host.firstWordsMs);
    this.#client.connect({
      sock: stream,
      username: host.user,
      readyTimeout: 0,
      keepaliveInterval: 0,
      ident: 'tunnelkeeper',
      hostVerifier: (blob: Buffer, answer: (accepted: boolean) => void) => this.#verify(blob, answer),
      authHandler: ((left: readonly string[] | null, partial: boolean | null, next: never) =>
        this.#authenticate(left, partial, next)) as never,
      algorithms: {
        kex: [...offer.kex] as never,
        serverHostKey: [...offer.hostKey] as never,
        cipher: [...offer.cipher] as never,
        hmac: [...offer.mac] as never,
        compress: host.compression ? ['zlib@openssh.com', 'none'] : ['none'],
      },
      ...({ strictVendor: false } as object),
    });
    installKex(this.#client);
    key.install(this.#client);
    this.#connection = hold(this.#client);
    login.install(this.#client);
    stream.on('data', (chunk: Buffer) => {
      key.expect(); // this listener was here first: ssh2 sees the chunk after it
      if (this.#hello.received === 0 && this.#settle !== null) this.#deadline.start(host.connectTimeoutMs);
      this.#hello.feed(chunk);
      if (this.#layer === 'auth' && this.#settle !== null) this.#loginTalk(chunk.length);
    });
  }

  #listen(): void {
    const { stream } = this.#parts.transport;
    const client = this.#client;
    client.on('error', (error) => this.#failed(error));
    client.on('ready', () => this.#guard(() => this.#ready()));
    client.on('handshake', (negotiated) =>
      this.#guard(() => this.#keyed(negotiated as unknown as Negotiated)),
    );
    client.on('banner', (text) => this.#guard(() => this.#banner(text)));
    stream.on('error', (error) => {
      this.#thrown ??= error;
    });
    // 'close' always comes, 'error' and 'end' may not; a moment later, so that every reason is in
    stream.once('close', () => setImmediate(() => this.#over()));
    stream.once('end', () => setImmediate(() => this.#over()));
  }

  /** A sign of life of the server's during the login. */
  #loginTalk(bytes: number): void {
    this.#deadline.start(loginSilenceMs);
    this.#loginBytes += bytes;
    if (this.#loginBytes > mostLoginBytes)
      this.#tired('LINK_LOST', `has sent ${mostLoginBytes / 1024 / 1024} MiB, and not let us in`);
  }

  #banner(text: string): void {
    if (this.#settle === null) return; // they belong to the login (RFC 4252 5.4)
    this.#banners += 1;
    if (this.#banners <= mostBanners) return this.#parts.context.banner(cleanBanner(text));
    this.#tired('LINK_LOST', `has sent more than ${mostBanners} banners, and not let us in`);
  }

  /** The server talks, and comes to no end. */
  #tired(code: 'LINK_LOST' | 'TIMED_OUT', why: string): void {
    if (this.#settle === null) return;
    const failure = loginFailed(this.#parts.host, code, `the server ${why}`);
    this.#step(this.#layer, 'failed', failure.message);
    this.#end(failure);
  }

  #failed(error: Error & { level?: string }): void {
    if (error.level === 'agent') return this.#parts.log('info', 'agent', wordsOf(error)); // the next method follows
    this.#thrown ??= error;
    setImmediate(() => this.#over());
  }

  /** The connection is over: why, from everything that is known by now. */
  #over(): void {
    if (this.#settle === null) return;
    const { host, offer, login } = this.#parts;
    const facts = {
      thrown: this.#thrown,
      disconnect: this.#connection?.goodbye ?? null,
      methodsSpent: this.#methodsSpent,
    };
    const failure = attemptFailure(facts, {
      host,
      offer,
      supported: supportedAlgorithms(),
      layer: this.#layer,
      hello: this.#hello.hello,
      received: this.#hello.received,
      login: () => login.failure(),
    });
    // a proxy command that ended before the server was reached
    this.#step(failure.facts.layer === 'tcp' ? 'tcp' : this.#layer, 'failed', failure.message);
    this.#end(failure);
  }

  #late(): void {
    const { host, offer, key, transport } = this.#parts;
    const deaf = this.#hello.received === 0;
    const limitMs =
      this.#layer === 'auth' ? loginSilenceMs : deaf ? host.firstWordsMs : host.connectTimeoutMs;
    const failure = silenceFailure(host, limitMs ?? 0, {
      layer: this.#layer,
      hello: this.#hello.hello,
      deaf: deaf ? transport.silence() : null,
      offer,
      keyShown: key.presented !== null,
    });
    this.#step(this.#layer, 'failed', failure.message);
    this.#end(failure);
  }

  /** ssh2's hostVerifier: an answer now, or undefined and one through `answer`. */
  #verify(blob: Buffer, answer: (accepted: boolean) => void): boolean | undefined {
    try {
      const presented = Buffer.from(blob);
      const decision = this.#parts.key.judge(presented);
      if (typeof decision === 'boolean') return decision;
      if (!(decision instanceof Promise)) return this.#decided(presented, decision);
      this.#asking = decision;
      decision
        .then((late) => {
          if (this.#settle === null) return;
          this.#asking = null;
          this.#receivedAtAnswer = this.#hello.received;
          answer(this.#decided(presented, late));
        })
        .catch((thrown: unknown) => this.#end(asTunnelError(thrown)));
      return undefined;
    } catch (thrown) {
      this.#end(asTunnelError(thrown));
      return false;
    }
  }

  #decided(presented: Buffer, decision: Decision): boolean {
    if (decision.accepted) {
      this.#parts.key.pin(presented, decision);
      return true;
    }
    this.#step('host-key', 'failed', decision.error.message);
    this.#end(decision.error);
    return false;
  }

  /** The server has proved its key. The first time: write it down before any credential is offered. */
  #keyed(negotiated: Negotiated): void {
    this.#connection?.freshKeys(negotiated.cs.cipher);
    if (this.#algorithms !== null) return;
    const { accepted, presented } = this.#parts.key;
    if (accepted === null || presented === null)
      throw new TunnelError('INTERNAL', 'key exchange finished without a verified host key');
    const { kex, cs } = negotiated;
    // of a certificate ssh2 has seen the plain key only
    const hostKey = isCertificateType(keyType(presented))
      ? keyType(presented)
      : (negotiated.serverHostKey ?? '');
    this.#algorithms = { kex, hostKey, cipher: cs.cipher, mac: cs.mac };
    this.#step('kex', 'ok', [kex, cs.cipher, hostKey].join(', '));
    this.#step('host-key', 'ok', accepted.how);
    this.#layer = 'auth';
    this.#layerSince = this.#now();
    this.#deadline.start(loginSilenceMs);
    this.#patience.start(longestLoginMs);
    this.#stored = this.#parts.key.proved(accepted);
    this.#stored.catch((thrown: unknown) => this.#end(asTunnelError(thrown)));
  }

  #authenticate(
    left: readonly string[] | null,
    partial: boolean | null,
    next: (method: object | false) => void,
  ): undefined {
    const go = (): void =>
      this.#guard(() => {
        if (this.#settle === null) return;
        this.#parts.login.handler(left, partial, (method) =>
          this.#guard(() => {
            if (this.#settle === null) return;
            if (method === false) this.#methodsSpent = true;
            next(method);
          }),
        );
      });
    this.#stored.then(go, () => undefined); // a store that fails has ended the attempt
    return undefined;
  }

  #ready(): void {
    const { presented } = this.#parts.key;
    const connection = this.#connection;
    if (this.#algorithms === null || presented === null || connection === null) return;
    this.#step('auth', 'ok', this.#parts.login.record().accepted.join(', ') || withoutCredential);
    this.#end({ client: this.#client, connection, algorithms: this.#algorithms, hostKey: presented });
  }

  #step(layer: DialStep['layer'], status: 'ok' | 'failed', detail: string): void {
    const { host, context } = this.#parts;
    context.step({ hop: host.name, layer, status, ms: this.#spentMs(), detail });
  }
}

/** The deadline of a dial's present phase, stopped while a person is at a question. */
class Deadline {
  readonly #clock: Clock;
  readonly #expired: () => void;
  #cancel: Cancel = () => undefined;
  #paused = 0;
  #lengthMs = 0;
  #stopped = true;

  constructor(clock: Clock, expired: () => void) {
    this.#clock = clock;
    this.#expired = expired;
  }

  /** A new phase, or a sign of life within one: the whole time again. */
  start(ms: number): void {
    this.#lengthMs = ms;
    this.#stopped = false;
    this.#arm();
  }

  /** Somebody is at a question. Nests. */
  pause(): void {
    this.#paused += 1;
    this.#cancel();
  }

  resume(): void {
    this.#paused -= 1;
    // the whole time again: how long a person took says nothing about the server
    if (this.#paused === 0) this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #arm(): void {
    this.#cancel();
    if (this.#paused === 0 && !this.#stopped)
      this.#cancel = this.#clock.schedule(this.#lengthMs, this.#expired);
  }
}
