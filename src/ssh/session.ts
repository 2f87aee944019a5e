// One live SSH connection: channels, listeners, liveness, fresh keys in time, and one end.
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import { TunnelError } from '../errors.ts';
import { cleanQuote } from '../model/clean.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Host } from '../model/host.ts';
import type { Channel, LoginRecord, Origin, RemoteListener, Session } from '../model/session.ts';
import type { NegotiatedAlgorithms } from '../model/status.ts';
import { Channels } from './channels/channels.ts';
import { linkLost, silenceLoss, wordsOf } from './failure.ts';
import { copyPayloads, recycleReads } from './ssh2/wire.ts';
import { takeWire, type KeyLimits, type Wire } from './ssh2/wire.ts';
import { Listeners, type Accept } from './channels/listeners.ts';
import { RoundTrips, watchLiveness } from './channels/liveness.ts';
import { outputOf, type OutputLimits } from './channels/output.ts';
import { PromptAcks, type AckBudget } from './channels/prompt-acks.ts';
import { removeSocketOver } from './channels/sftp.ts';
import type { ReadSlabs } from './channels/buffers.ts';
import type { WindowBudget } from './channels/window.ts';

export interface ConnectionParts {
  readonly host: Host;
  readonly stream: Duplex;
  /** Its read buffers, when they are used again; null for a stream that has none. */
  readonly slabs: ReadSlabs | null;
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly budget: WindowBudget;
  readonly ackBudget: AckBudget;
  /** How much one set of keys carries; tests make it little. */
  readonly keyLimits?: KeyLimits;
  readonly log: (level: 'debug' | 'info' | 'warn', event: string, message: string) => void;
}

/** How long a server may take to say goodbye, within the second that `close` has. */
const goodbyeMs = 500;

/** A ping that was asked for is late after this share of its time. */
const lateShare = 0.4;

/** How much one set of keys carries: OpenSSH's own limits are 64 GiB and 2^31 packets; RFC 4344 3.2 and, for ChaCha, RFC 4253 9 ask for fewer. */
function usualKeyLimits(cipher: string, random: number): KeyLimits {
  const jitter = 0.9 + random * 0.1;
  const bytes = cipher.startsWith('chacha20') ? 2 ** 30 : 2 ** 35;
  return { bytes: bytes * jitter, packets: 2 ** 30 * jitter };
}

function strayWords(where: string): string {
  return `the server handed on a connection to ${where}, which no forward asked for: refused`;
}

/** What a login made known. */
export interface LoggedIn {
  readonly algorithms: NegotiatedAlgorithms;
  readonly login: LoginRecord;
}

/** A connection from `client.connect()` on; a Session once it is logged in. */
export class Connection {
  readonly #parts: ConnectionParts;
  readonly #client: Client;
  readonly channels: Channels;
  readonly #roundTrips: RoundTrips;
  #wire: Wire | null = null;
  #listeners: Listeners | null = null;
  #promptAcks: PromptAcks | null = null;
  #received = 0;
  #drained = 0;
  #stopLiveness: Cancel = () => undefined;
  #goodbye: { readonly reason: number; readonly words: string } | null = null;
  #thrown: Error | null = null;
  #ended: { readonly reason: TunnelError | null } | null = null;
  #late = false;
  #onLate: ((late: boolean) => void)[] = [];
  #onEnd: ((reason: TunnelError | null) => void)[] = [];
  #closing: Promise<void> | null = null;

  constructor(parts: ConnectionParts, client: Client) {
    this.#parts = parts;
    this.#client = client;
    this.#roundTrips = new RoundTrips(parts.clock, (answered) => this.#sendPing(answered));
    this.channels = new Channels({
      clock: parts.clock,
      budget: parts.budget,
      stream: parts.stream,
      slabs: parts.slabs,
      rttMs: () => this.#roundTrips.leastMs,
      bug: (thrown) => parts.log('warn', 'bug', `a channel's reader failed: ${wordsOf(thrown)}`),
      accept: (open) => this.#listeners?.takerOf(open) ?? null,
      debug: (words) => {
        parts.log('debug', 'server-debug', cleanQuote(words));
        this.#listeners?.heard(words);
      },
      disconnect: (reason, words) => {
        this.#goodbye = { reason, words: cleanQuote(words) };
      },
      broken: (thrown) => this.#broken(thrown),
    });
  }

  /** Right after `client.connect()`. */
  connected(): void {
    const { stream, clock, host } = this.#parts;
    if (this.#parts.slabs !== null) copyPayloads(this.#client);
    this.#wire = takeWire(this.#client, stream, this.channels.events);
    this.#listeners = new Listeners({
      clock,
      wire: this.#wire,
      hostName: host.name,
      stray: (where) => this.#parts.log('warn', 'remote-stray', strayWords(cleanQuote(where))),
    });
    // before ssh2: what it sends in answer is sent after the read
    stream.prependListener('data', (chunk: Buffer) => {
      this.#received += chunk.length;
      this.#promptAcks?.received(chunk.length);
      if (this.#late) this.#setLate(false);
    });
    stream.on('drain', () => {
      this.#drained += 1;
      if (this.#late) this.#setLate(false);
      this.channels.pump();
    });
  }

  get goodbye(): { readonly reason: number; readonly words: string } | null {
    return this.#goodbye;
  }

  /** Fresh keys are in use: what was held back during the exchange may go. */
  freshKeys(cipher: string): void {
    const { keyLimits, random } = this.#parts;
    this.#wire?.freshKeys(keyLimits ?? usualKeyLimits(cipher, random()));
    queueMicrotask(() => this.channels.pump());
  }

  /** The login succeeded: from here on it is a session. */
  open(result: LoggedIn): Session {
    const { host, stream } = this.#parts;
    const client = this.#client;
    const wire = this.#wire;
    if (wire === null)
      throw new TunnelError('INTERNAL', 'session open failed: the client was never connected');
    this.channels.start(wire);
    this.#promptAcks = new PromptAcks({
      clock: this.#parts.clock,
      budget: this.#parts.ackBudget,
      sent: () => wire.sent(),
      ignore: () => wire.ignore(),
    });
    if (this.#parts.slabs !== null) recycleReads(client, this.#parts.slabs);
    client.on('error', (error: Error & { level?: string }) => {
      if (error.level === 'agent') return;
      this.#thrown ??= error;
      // in a moment: the words of a DISCONNECT may still be on their way to us
      setImmediate(() => this.#lost());
    });
    stream.once('end', () => setImmediate(() => this.#lost()));
    stream.once('close', () => this.#lost());
    if (stream.destroyed || stream.readableEnded) setImmediate(() => this.#lost());
    this.#watch();
    this.#roundTrips.start();
    const roundTrips = this.#roundTrips;
    return {
      host,
      algorithms: result.algorithms,
      login: result.login,
      get latencyMs() {
        return roundTrips.latencyMs;
      },
      openChannel: (to, from, limits) => this.#openChannel(to, from, limits),
      listenRemote: (at, accept, limits) => this.#listenRemote(at, accept, limits),
      removeSocket: (path, timeoutMs) => this.#removeSocket(path, timeoutMs),
      runCommand: (command, limits) => this.#runCommand(command, limits),
      ping: (timeoutMs) => this.#askPing(timeoutMs),
      onLate: (listener) => void this.#onLate.push(listener),
      onEnd: (listener) => this.#whenEnded(listener),
      onIdle: (listener) => this.channels.onIdle(listener),
      close: () => this.close(),
    };
  }

  #watch(): void {
    const { host, clock, stream } = this.#parts;
    this.#stopLiveness = watchLiveness({
      clock,
      intervalMs: host.keepalive.intervalMs,
      count: host.keepalive.count,
      // a full queue that empties is a peer that acknowledges, even while it sends nothing itself
      signs: () => this.#received + this.#drained,
      ping: () => this.#roundTrips.ping(),
      late: () => this.#setLate(true),
      dead: (silentMs) => {
        this.#end(silenceLoss(host, silentMs, this.#roundTrips.leastMs !== null));
        stream.destroy();
      },
    });
  }

  /** A server that has answered no ping yet may be one that answers none. */
  #setLate(late: boolean): void {
    if (this.#ended !== null || this.#late === late || this.#roundTrips.leastMs === null) return;
    this.#late = late;
    for (const listener of this.#onLate) this.#tell(listener, late);
  }

  #sendPing(answered: () => void): void {
    if (this.#ended !== null || this.#wire === null) return;
    this.#wire.ping(() => {
      if (this.#ended === null) answered();
    });
  }

  #askPing(timeoutMs: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const { host, clock } = this.#parts;
      if (this.#ended !== null) return reject(this.#reason());
      const before = this.#received;
      const cancelLate = clock.schedule(timeoutMs * lateShare, () => {
        if (this.#received === before) this.#setLate(true);
      });
      const fail = (): void => {
        cancel();
        cancelLate();
        reject(this.#reason());
      };
      const giveUp = (): void => this.#end(linkLost(host, `no answer to a ping in ${timeoutMs / 1000}s`));
      let cancel = clock.schedule(timeoutMs, () => {
        // slow is not dead: the answer may stand behind a lot of data that is coming in
        if (this.#received === before) giveUp();
        else cancel = clock.schedule(timeoutMs, giveUp);
      });
      this.#onEnd.push(fail);
      this.#roundTrips.ping((ms) => {
        cancel();
        cancelLate();
        this.#onEnd = this.#onEnd.filter((listener) => listener !== fail);
        resolve(ms);
      });
    });
  }

  #openChannel(
    to: Endpoint,
    from: Origin,
    limits: { timeoutMs: number; signal?: GiveUpSignal },
  ): Promise<Channel> {
    if (this.#ended !== null) return Promise.reject(this.#reason());
    return this.channels.open(to, from, limits);
  }

  #listenRemote(at: Endpoint, accept: Accept, limits: { timeoutMs: number }): Promise<RemoteListener> {
    if (this.#ended !== null || this.#listeners === null) return Promise.reject(this.#reason());
    return this.#listeners.listen(at, accept, limits);
  }

  async #removeSocket(path: string, timeoutMs: number): Promise<boolean> {
    if (this.#ended !== null) throw this.#reason();
    const channel = await this.channels.openSubsystem('sftp', { timeoutMs });
    const cancel = this.#parts.clock.schedule(timeoutMs, () => channel.close());
    return removeSocketOver(channel, path).finally(cancel);
  }

  async #runCommand(command: string, limits: OutputLimits): Promise<Buffer> {
    if (this.#ended !== null) throw this.#reason();
    const channel = await this.channels.openCommand(command, { timeoutMs: limits.timeoutMs });
    return outputOf(channel, this.#parts.clock, limits);
  }

  #whenEnded(listener: (reason: TunnelError | null) => void): void {
    if (this.#ended === null) this.#onEnd.push(listener);
    else listener(this.#ended.reason);
  }

  #reason(): TunnelError {
    return this.#ended?.reason ?? linkLost(this.#parts.host, 'the session was closed');
  }

  /** Nothing can be sent any more. Later in the turn: whoever was sending is done with that, and knows its channel. */
  #broken(thrown: unknown): void {
    const { stream } = this.#parts;
    // of a link that is over already it is a consequence, and no reason
    if (!stream.destroyed && !stream.readableEnded)
      this.#thrown ??= thrown instanceof Error ? thrown : new Error(String(thrown));
    setImmediate(() => this.#lost());
  }

  #lost(): void {
    if (this.#ended !== null) return;
    if (this.#closing !== null) return this.#end(null);
    this.#end(linkLost(this.#parts.host, this.#lossWords(), this.#thrown ?? undefined));
  }

  #lossWords(): string {
    const goodbye = this.#goodbye;
    if (goodbye !== null) return `the server ended it: ${goodbye.words || `reason ${goodbye.reason}`}`;
    const cause = this.#thrown ?? this.#parts.stream.errored;
    return cause === null ? 'the server closed the connection' : wordsOf(cause);
  }

  #end(reason: TunnelError | null): void {
    if (this.#ended !== null) return;
    this.#ended = { reason };
    this.#stopLiveness();
    this.#roundTrips.stop();
    this.#promptAcks?.stop();
    this.#promptAcks = null;
    const why = this.#reason();
    this.#listeners?.lose(why);
    this.channels.lose(why);
    this.#parts.stream.destroy();
    const listeners = this.#onEnd;
    this.#onEnd = [];
    for (const listener of listeners) this.#tell(listener, reason);
  }

  #tell<T>(listener: (told: T) => void, told: T): void {
    try {
      listener(told);
    } catch (thrown) {
      this.#parts.log('warn', 'bug', `a listener of the session failed: ${wordsOf(thrown)}`);
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#sayGoodbye();
    return this.#closing;
  }

  /** SSH_MSG_DISCONNECT, so that the server ends its side at once; then the bytes, whether it listened or not. */
  async #sayGoodbye(): Promise<void> {
    const { stream, clock } = this.#parts;
    if (this.#ended !== null) return;
    this.#stopLiveness();
    await new Promise<void>((resolve) => {
      const cancel = clock.schedule(goodbyeMs, resolve);
      stream.once('close', () => {
        cancel();
        resolve();
      });
      try {
        this.#client.end();
      } catch {
        resolve(); // mid-exchange it may be unable to; the close below says enough
      }
    });
    this.#end(null);
  }
}
