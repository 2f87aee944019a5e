// Reads a channel as a test wants it: everything into one buffer, with what happened and when it was over.
import { createHash } from 'node:crypto';
import type { Channel } from '../../src/model/session.ts';

export interface Read {
  readonly bytes: () => Buffer;
  readonly sha256: () => string;
  readonly received: () => number;
  readonly ended: Promise<void>;
  /** `clean` of `closed`. */
  readonly closed: Promise<boolean>;
  /** Resolves at the next `drain`. */
  drained(): Promise<void>;
}

export function readChannel(channel: Channel, keep = true): Read {
  const chunks: Buffer[] = [];
  const hash = createHash('sha256');
  let received = 0;
  let end: () => void = () => undefined;
  let close: (clean: boolean) => void = () => undefined;
  let wake: (() => void)[] = [];
  const ended = new Promise<void>((resolve) => (end = resolve));
  const closed = new Promise<boolean>((resolve) => (close = resolve));
  channel.attach({
    data(chunk) {
      received += chunk.length;
      hash.update(chunk);
      if (keep) chunks.push(Buffer.from(chunk));
      channel.consumed(chunk.length);
    },
    end: () => end(),
    closed(clean) {
      close(clean);
      for (const task of wake) task();
    },
    drain() {
      const tasks = wake;
      wake = [];
      for (const task of tasks) task();
    },
  });
  return {
    bytes: () => Buffer.concat(chunks),
    sha256: () => hash.copy().digest('hex'),
    received: () => received,
    ended,
    closed,
    drained: () => new Promise((resolve) => wake.push(resolve)),
  };
}

/** Writes everything, waiting where the channel asks for it. */
export async function writeAll(channel: Channel, read: Read, chunks: Iterable<Buffer>): Promise<void> {
  for (const chunk of chunks) if (!channel.write(chunk)) await read.drained();
}
