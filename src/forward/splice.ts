// The splice: joins a socket and an SSH channel, byte for byte, both ways, until both are over.
// Its rules (SPEC 3): FIN and EOF are passed on only when they were really received; whatever else ends one side
// resets the other; a side that cannot take more stops the other side's reading. Nothing is kept here but numbers.
import type { Socket } from 'node:net';
import type { Channel } from '../model/session.ts';
import { resetSocket } from './reset.ts';

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

export interface Splice {
  /** Ends both sides now, as a fault. */
  reset(reason: string): void;
}

/** Joins the two. Takes over both: nobody else may touch them. */
export function splice({ socket, channel, traffic, early, ended, finished }: SpliceParts): Splice {
  let eofReceived = false;
  let eofSent = false;
  let channelOver = false;
  let channelFull = false;
  let corked = false;
  let delivered = 0;
  let consumed = 0;
  let socketOver = false;
  let settled = false;
  let fate: Fate | null = null;

  const settle = (): void => {
    if (settled) return;
    settled = true;
    if (!channelOver) channel.close();
    finished(fate ?? { failed: false, reason: null });
  };
  const fail = (reason: string): void => {
    fate ??= { failed: true, reason };
    if (socketOver) settle();
    else resetSocket(socket);
  };
  const endSocket = (): void => {
    // Only once everything is written: a socket with a pending shutdown cannot be reset (see resetSocket).
    if (eofReceived && socket.writableLength === 0 && !socket.writableEnded) socket.end();
  };
  // One function for all writes: Node batches the callbacks of equal ones.
  const written = (): void => {
    if (socket.destroyed) return;
    const gone = delivered - socket.writableLength - consumed;
    if (gone > 0) {
      consumed += gone;
      if (!channelOver) channel.consumed(gone);
    }
    endSocket();
  };
  const uncork = (): void => {
    corked = false;
    socket.uncork();
  };
  const send = (chunk: Buffer): void => {
    traffic.bytesOut += chunk.length;
    if (channel.write(chunk)) return;
    channelFull = true;
    socket.pause();
  };
  const sendEof = (): void => {
    eofSent = true;
    channel.end();
  };

  socket.on('error', (error) => {
    // The client's own doing: no fault of the tunnel, but an end that must not look clean to the far side.
    fate ??= { failed: false, reason: error.message };
  });
  socket.on('data', (chunk: Buffer) => {
    if (!channelOver) send(chunk);
  });
  socket.on('end', () => {
    if (!channelOver) sendEof();
  });
  socket.on('close', () => {
    socketOver = true;
    // Both ended in order, but the last of the client's bytes still wait for window: a close would drop them.
    if (fate === null && eofReceived && eofSent && channelFull && !channelOver) return;
    settle();
  });
  socket.on('finish', () => {
    if (channelOver) socket.destroy();
  });

  channel.attach({
    data(chunk) {
      if (socket.destroyed) return;
      traffic.bytesIn += chunk.length;
      delivered += chunk.length;
      if (!corked) {
        // Packets that arrive together leave in one system call.
        corked = true;
        socket.cork();
        process.nextTick(uncork);
      }
      socket.write(chunk, written);
    },
    end() {
      eofReceived = true;
      endSocket();
    },
    drain() {
      channelFull = false;
      if (!socket.destroyed) socket.resume();
    },
    closed(clean) {
      channelOver = true;
      if (clean && eofReceived) {
        // The target is gone for good, and said so: what is written still leaves, then the socket closes as the
        // target did. More from the client would meet a reset by the kernel, as it would there.
        if (socket.writableFinished) socket.destroy();
        else socket.resume();
      } else if (clean) fail('the server closed the channel without an end');
      else if (!eofReceived || !eofSent || channelFull) fail('link lost');
      if (socketOver) settle();
    },
  });
  for (const chunk of early) send(chunk);
  if (ended) sendEof();
  else if (!channelFull) socket.resume();
  return { reset: fail };
}
