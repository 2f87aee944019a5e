// A session that counts its open channels, so that a link which is no longer wanted can end after its last flow.
import type { TunnelError } from '../errors.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import type { Host } from '../model/host.ts';
import type {
  Channel,
  ChannelReader,
  LoginRecord,
  Origin,
  RemoteListener,
  Session,
} from '../model/session.ts';
import type { NegotiatedAlgorithms } from '../model/status.ts';

export class CountedSession implements Session {
  /** What the dialer made: what a session behind this one rides on. */
  readonly raw: Session;
  #open = 0;
  #idleListeners: (() => void)[] = [];

  constructor(raw: Session) {
    this.raw = raw;
  }

  get host(): Host {
    return this.raw.host;
  }

  get algorithms(): NegotiatedAlgorithms {
    return this.raw.algorithms;
  }

  get login(): LoginRecord {
    return this.raw.login;
  }

  get latencyMs(): number | null {
    return this.raw.latencyMs;
  }

  /** Channels open or being opened, in both directions. */
  get openChannels(): number {
    return this.#open;
  }

  async openChannel(
    target: Endpoint,
    origin: Origin,
    limits: { timeoutMs: number; signal?: GiveUpSignal },
  ): Promise<Channel> {
    const ended = this.#begin();
    try {
      return new CountedChannel(await this.raw.openChannel(target, origin, limits), ended);
    } catch (error) {
      ended();
      throw error;
    }
  }

  listenRemote(
    at: Endpoint,
    accept: (channel: Channel, origin: Origin) => void,
    limits: { timeoutMs: number },
  ): Promise<RemoteListener> {
    return this.raw.listenRemote(
      at,
      (channel, origin) => accept(new CountedChannel(channel, this.#begin()), origin),
      limits,
    );
  }

  removeSocket(path: string, timeoutMs: number): Promise<boolean> {
    return this.raw.removeSocket?.(path, timeoutMs) ?? Promise.resolve(false);
  }

  ping(timeoutMs: number): Promise<number> {
    return this.raw.ping(timeoutMs);
  }

  onEnd(listener: (reason: TunnelError | null) => void): void {
    this.raw.onEnd(listener);
  }

  /** Calls once, when no channel is open: at once if there is none. */
  onIdle(listener: () => void): void {
    if (this.#open === 0) listener();
    else this.#idleListeners.push(listener);
  }

  close(): Promise<void> {
    return this.raw.close();
  }

  #begin(): () => void {
    this.#open += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#open -= 1;
      if (this.#open > 0) return;
      for (const listener of this.#idleListeners.splice(0)) listener();
    };
  }
}

/** One channel of it. One that is closed before it is attached never reports its end: its own close counts then. */
class CountedChannel implements Channel {
  readonly #channel: Channel;
  readonly #ended: () => void;
  #attached = false;

  constructor(channel: Channel, ended: () => void) {
    this.#channel = channel;
    this.#ended = ended;
  }

  attach(reader: ChannelReader): void {
    this.#attached = true;
    this.#channel.attach(new CountedReader(reader, this.#ended));
  }

  consumed(bytes: number): void {
    this.#channel.consumed(bytes);
  }

  write(chunk: Buffer): boolean {
    return this.#channel.write(chunk);
  }

  end(): void {
    this.#channel.end();
  }

  close(): void {
    this.#channel.close();
    if (!this.#attached) this.#ended();
  }
}

class CountedReader implements ChannelReader {
  readonly #reader: ChannelReader;
  readonly #ended: () => void;

  constructor(reader: ChannelReader, ended: () => void) {
    this.#reader = reader;
    this.#ended = ended;
  }

  get letsGo(): boolean {
    return this.#reader.letsGo === true;
  }

  data(chunk: Buffer): void {
    this.#reader.data(chunk);
  }

  end(): void {
    this.#reader.end();
  }

  drain(): void {
    this.#reader.drain();
  }

  closed(clean: boolean): void {
    this.#ended();
    this.#reader.closed(clean);
  }
}
