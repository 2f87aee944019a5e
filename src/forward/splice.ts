// The splice: joins a socket and an SSH channel, byte for byte, both ways, until both are over.
// Its rules (SPEC 3): FIN and EOF are passed on only when they were really received; whatever else ends one side
// resets the other; a side that cannot take more stops the other side's reading. Nothing is kept here but numbers.
import type { Socket } from 'node:net';
import type { Channel, ChannelReader } from '../model/session.ts';
import { resetSocket } from '../model/reset-socket.ts';
import { hasNoPeer, wasReset } from './reset.ts';

/** Bytes of a forward. In: received from the SSH side. Out: sent to it (SPEC 4). */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
}

/** How a flow ended. `reason` is for the log; null for an ordinary end. */
export interface Fate {
  readonly failed: boolean;
  readonly reason: string | null;
}

export interface SpliceParts {
  /** allowHalfOpen, with no listeners left from before; an 'end' that was already emitted is told by `ended`. */
  readonly socket: Socket;
  /** Not attached yet. */
  readonly channel: Channel;
  readonly traffic: Traffic;
  /** What the socket sent before there was a channel. */
  readonly early: readonly Buffer[];
  /** The socket's side has already half-closed, after `early`. */
  readonly ended: boolean;
  /** Called exactly once, when the socket is closed and the channel is closed or asked to. */
  readonly finished: (fate: Fate) => void;
}

const orderly: Fate = { failed: false, reason: null };

/** libuv reads a socket that is full 32 times before it looks at the next one, and keystrokes wait for 2 MiB. */
const mostInARow = 128 * 1024;

export class Splice implements ChannelReader {
  /** `consumed` is told only once a write is over. */
  readonly letsGo = true;
  readonly #socket: Socket;
  readonly #channel: Channel;
  readonly #traffic: Traffic;
  readonly #finished: (fate: Fate) => void;
  /** EOF of the channel, and ours to it. */
  #eofReceived = false;
  #eofSent = false;
  #channelOver = false;
  #channelFull = false;
  /** The client had gone with a reset before we ended the socket: afterwards that cannot be told. */
  #resetByClient = false;
  #socketOver = false;
  #corked = false;
  /** Bytes of the socket since others had their turn. */
  #row = 0;
  /** Bytes given to the socket, and those of them that left it. */
  #delivered = 0;
  #consumed = 0;
  #fate: Fate | null = null;
  #settled = false;

  /** Joins the two and takes over both: nobody else may touch them. */
  constructor({ socket, channel, traffic, early, ended, finished }: SpliceParts) {
    this.#socket = socket;
    this.#channel = channel;
    this.#traffic = traffic;
    this.#finished = finished;
    socket.on('data', this.#fromSocket);
    socket.on('end', this.#socketEnded);
    socket.on('error', this.#socketFailed);
    socket.on('finish', this.#socketFlushed);
    socket.on('close', this.#socketClosed);
    channel.attach(this);
    for (const chunk of early) this.#fromSocket(chunk);
    if (ended) this.#socketEnded();
    else if (!this.#channelFull) socket.resume();
  }

  /** Ends both sides now, as a fault. */
  reset(reason: string): void {
    this.#fate ??= { failed: true, reason };
    if (this.#socketOver) this.#settle();
    else resetSocket(this.#socket);
  }

  // The channel's side.

  data(chunk: Buffer): void {
    const socket = this.#socket;
    if (socket.destroyed) return;
    this.#traffic.bytesIn += chunk.length;
    this.#delivered += chunk.length;
    if (!this.#corked) {
      // Packets that arrive together leave in one system call.
      this.#corked = true;
      socket.cork();
      process.nextTick(this.#uncork);
    }
    socket.write(chunk, this.#written);
  }

  end(): void {
    this.#eofReceived = true;
    this.#endSocket();
  }

  drain(): void {
    this.#channelFull = false;
    if (!this.#socket.destroyed) this.#socket.resume();
  }

  closed(clean: boolean): void {
    this.#channelOver = true;
    if (clean && this.#eofReceived) this.#targetGone();
    else if (clean) this.reset('the server closed the channel without an end');
    else if (!this.#eofReceived || !this.#eofSent || this.#channelFull) this.reset('link lost');
    if (this.#socketOver) this.#settle();
  }

  /**
   * The target closed for good, and said so: what is written still leaves, then the socket closes as the target did.
   * The kernel answers later bytes of the client with a reset, as the target's kernel would.
   */
  #targetGone(): void {
    if (this.#socket.writableFinished) this.#socket.destroy();
    else this.#socket.resume();
  }

  // The socket's side. Arrow functions: listeners and callbacks without a closure for each call.

  readonly #fromSocket = (chunk: Buffer): void => {
    if (this.#channelOver) return;
    this.#traffic.bytesOut += chunk.length;
    if (!this.#channel.write(chunk)) {
      this.#channelFull = true;
      this.#socket.pause();
      return;
    }
    this.#row += chunk.length;
    if (this.#row < mostInARow) return;
    this.#row = 0;
    this.#socket.pause();
    setImmediate(this.#goOn);
  };

  readonly #goOn = (): void => {
    if (!this.#channelFull && !this.#socket.destroyed) this.#socket.resume();
  };

  readonly #socketEnded = (): void => {
    if (this.#channelOver) return;
    if (this.#resetByClient || wasReset(this.#socket)) {
      this.#fate ??= { failed: false, reason: 'reset by the client' };
      this.#socket.destroy();
      return;
    }
    this.#eofSent = true;
    this.#channel.end();
  };

  /** The client's own doing: no fault of the tunnel, but an end that must not look clean to the far side. */
  readonly #socketFailed = (error: Error): void => {
    this.#fate ??= { failed: false, reason: error.message };
  };

  readonly #socketFlushed = (): void => {
    if (this.#channelOver) this.#socket.destroy();
  };

  readonly #socketClosed = (): void => {
    this.#socketOver = true;
    // Both ended in order, but the last of the client's bytes still wait for window: a close would drop them.
    const sending = this.#eofReceived && this.#eofSent && this.#channelFull && !this.#channelOver;
    if (this.#fate !== null || !sending) this.#settle();
  };

  readonly #uncork = (): void => {
    this.#corked = false;
    this.#socket.uncork();
  };

  /** One function for all writes: Node batches the callbacks of equal ones. */
  readonly #written = (): void => {
    if (this.#socket.destroyed) return;
    const gone = this.#delivered - this.#socket.writableLength - this.#consumed;
    if (gone > 0) {
      this.#consumed += gone;
      if (!this.#channelOver) this.#channel.consumed(gone);
    }
    if (this.#eofReceived) this.#endSocket();
  };

  /** Only once everything is written: a socket with a pending shutdown cannot be reset (see resetSocket). */
  #endSocket(): void {
    if (this.#socket.writableLength > 0 || this.#socket.writableEnded) return;
    this.#resetByClient = hasNoPeer(this.#socket);
    this.#socket.end();
  }

  #settle(): void {
    if (this.#settled) return;
    this.#settled = true;
    if (!this.#channelOver) this.#channel.close();
    this.#finished(this.#fate ?? orderly);
  }
}
