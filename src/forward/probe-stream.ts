// What a probe talks over: a channel as a stream, and reads that end by a deadline, a limit or a match.
import { Duplex } from 'node:stream';
import type { Channel } from '../model/session.ts';

/** A channel as a Node stream: for the few bytes of a probe (TLS wants one), never for a flow. */
export function channelDuplex(channel: Channel): Duplex {
  let written: (() => void) | null = null;
  const stream = new Duplex({
    allowHalfOpen: true,
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      if (channel.write(chunk)) done();
      else written = done;
    },
    final(done) {
      channel.end();
      done();
    },
    destroy(error, done) {
      channel.close();
      done(error);
    },
  });
  channel.attach({
    data(chunk) {
      channel.consumed(chunk.length);
      if (!stream.destroyed) stream.push(chunk);
    },
    end: () => void stream.push(null),
    closed: () => void stream.destroy(),
    drain() {
      const done = written;
      written = null;
      done?.();
    },
  });
  return stream;
}

/** The other side said nothing more; or never what was waited for. */
export class ProbeFailed extends Error {
  override readonly name = 'ProbeFailed';
}

/**
 * Reads until `found` makes something of what has come; at most `limit` bytes.
 * Throws ProbeFailed with `missing` when the stream ends or the limit is reached before.
 */
export function readUntil<T>(
  stream: Duplex,
  found: (bytes: Buffer) => T | null,
  limit: number,
  missing: string,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let got: Buffer = Buffer.alloc(0);
    const settle = (act: () => void): void => {
      stream.off('data', more);
      stream.off('end', ended);
      stream.off('close', ended);
      stream.pause();
      act();
    };
    const ended = (): void => settle(() => reject(new ProbeFailed(missing)));
    const more = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]).subarray(0, limit);
      try {
        const answer = found(got);
        if (answer !== null) settle(() => resolve(answer));
        else if (got.length >= limit) ended();
      } catch (thrown) {
        settle(() => reject(thrown as Error)); // thrown into a stream it would end the supervisor
      }
    };
    stream.on('data', more);
    stream.on('end', ended);
    stream.on('close', ended);
    stream.resume();
    if (stream.destroyed || stream.readableEnded) ended();
  });
}
