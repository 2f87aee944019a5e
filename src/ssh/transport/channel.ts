// A stream over a channel of another session: what the connection behind a jump host runs on.
import { Duplex } from 'node:stream';
import type { Channel } from '../../model/session.ts';
import { ReadSlabs } from '../channels/buffers.ts';
import { maxPacket } from '../ssh2/wire.ts';

/** Enough that a turn's packets go out together; the channel's own window does the rest. */
const highWaterMark = 256 * 1024;

type Done = (error?: Error | null) => void;

class ChannelStream extends Duplex {
  /** Where the inner packets come together: the outer memory is free again at once, and the inner link reads as from a socket. */
  readonly slabs = new ReadSlabs();
  readonly #channel: Channel;
  /** Pushed, and not yet read from here. */
  #unread = 0;
  #written: Done | null = null;
  #gotEnd = false;

  constructor(channel: Channel) {
    super({
      allowHalfOpen: true,
      readableHighWaterMark: highWaterMark,
      writableHighWaterMark: highWaterMark,
    });
    this.on('error', () => undefined); // its user adds its own
    this.#channel = channel;
    channel.attach({
      letsGo: true,
      data: (chunk) => {
        if (this.readableFlowing === true && this.readableLength === 0) return this.#emitFrom(chunk);
        this.#unread += chunk.length;
        if (this.push(Buffer.from(chunk))) this.#consume();
      },
      end: () => {
        this.#gotEnd = true;
        this.push(null);
      },
      closed: (clean) => {
        if (clean && this.#gotEnd) this.destroy();
        else
          this.destroy(new Error(clean ? 'the jump host closed the connection' : 'the jump host was lost'));
      },
      drain: () => this.#continue(),
    });
  }

  #emitFrom(chunk: Buffer): void {
    for (let from = 0; from < chunk.length;) {
      const copied = chunk.copy(this.slabs.next(), 0, from);
      from += copied;
      this.slabs.arrived(copied, this.#emitData);
    }
    this.#channel.consumed(chunk.length);
  }

  readonly #emitData = (chunk: Buffer): void => void this.emit('data', chunk);

  #consume(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#channel.consumed(bytes);
  }

  #continue(): void {
    const done = this.#written;
    this.#written = null;
    done?.();
  }

  override _read(): void {
    this.#consume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    if (this.#channel.write(chunk)) done();
    else this.#written = done;
  }

  /** Small packets of one turn become one outer packet; a 32 KiB packet with its frame would need two. */
  override _writev(chunks: { chunk: Buffer }[], done: Done): void {
    const buffers = chunks.map(({ chunk }) => chunk);
    const length = buffers.reduce((sum, { length: size }) => sum + size, 0);
    const joined = buffers.length > 1 && length <= 8 * maxPacket ? [Buffer.concat(buffers, length)] : buffers;
    let free = true;
    for (const chunk of joined) free = this.#channel.write(chunk);
    if (free) done();
    else this.#written = done;
  }

  override _final(done: Done): void {
    this.#channel.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#channel.close();
    this.#continue();
    done(error);
  }
}

export function channelStream(channel: Channel): ChannelStream {
  return new ChannelStream(channel);
}
