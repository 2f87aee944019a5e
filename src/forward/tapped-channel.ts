// A channel whose first bytes we read ourselves, before it is handed on as if nobody had touched it.
import type { Channel, ChannelReader } from '../model/session.ts';
import type { Preface } from './handshake.ts';

export class TappedChannel implements Preface {
  readonly #channel: Channel;
  #kept: Buffer[] = [];
  /** Consumed by us, and put back: the reader will say so once more. */
  #again = 0;
  #ended = false;
  #closed: { readonly clean: boolean } | null = null;
  #notify: (() => void) | null = null;
  #reader: ChannelReader | null = null;

  /** Attaches to the channel. `left`: it was closed before anybody else had it. */
  constructor(channel: Channel, left: (clean: boolean) => void) {
    this.#channel = channel;
    channel.attach({
      data: (chunk) => {
        if (this.#reader !== null) return this.#reader.data(chunk);
        this.#kept.push(chunk); // bounded by the window, since only what is taken is consumed
        this.#notify?.();
      },
      end: () => {
        this.#ended = true;
        if (this.#reader !== null) return this.#reader.end();
        this.#notify?.();
      },
      closed: (clean) => {
        this.#closed = { clean };
        if (this.#reader !== null) return this.#reader.closed(clean);
        left(clean);
      },
      drain: () => this.#reader?.drain(),
    });
  }

  take(): Buffer[] {
    const taken = this.#kept;
    this.#kept = [];
    if (taken.length > 0) this.#channel.consumed(taken.reduce((sum, { length }) => sum + length, 0));
    return taken;
  }

  putBack(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#kept.unshift(bytes);
    this.#again += bytes.length;
  }

  ended(): boolean {
    return this.#ended;
  }

  notify(listener: (() => void) | null): void {
    this.#notify = listener;
  }

  send(bytes: Buffer): void {
    this.#channel.write(bytes);
  }

  close(): void {
    this.#channel.close();
  }

  /** The channel from here on: whoever attaches gets what was not taken, and what came meanwhile. */
  release(): Channel {
    const channel = this.#channel;
    return {
      attach: (reader) => this.#hand(reader),
      consumed: (bytes) => {
        const known = Math.min(bytes, this.#again);
        this.#again -= known;
        if (bytes > known) channel.consumed(bytes - known);
      },
      write: (chunk) => channel.write(chunk),
      end: () => channel.end(),
      close: () => channel.close(),
    };
  }

  #hand(reader: ChannelReader): void {
    // In its own turn, as channels do; what comes before it queues behind.
    queueMicrotask(() => {
      this.#reader = reader;
      for (const chunk of this.#kept.splice(0)) reader.data(chunk);
      if (this.#ended) reader.end();
      if (this.#closed !== null) reader.closed(this.#closed.clean);
    });
  }
}
