// What a command on the server writes to its standard output, within limits of size and time. Then the channel is closed.
import type { Clock } from '../../model/clock.ts';
import type { Channel } from '../../model/session.ts';

export interface OutputLimits {
  readonly timeoutMs: number;
  readonly mostBytes: number;
}

/** All of it, or as much as came before a limit was reached or the channel ended. */
export function outputOf(
  channel: Channel,
  clock: Clock,
  { timeoutMs, mostBytes }: OutputLimits,
): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    let isOver = false;
    const over = (): void => {
      if (isOver) return;
      isOver = true;
      cancel();
      channel.close();
      resolve(Buffer.concat(chunks).subarray(0, mostBytes));
    };
    const cancel = clock.schedule(timeoutMs, over);
    channel.attach({
      data(chunk) {
        chunks.push(Buffer.from(chunk)); // the read buffer is used again
        length += chunk.length;
        channel.consumed(chunk.length);
        if (length >= mostBytes) over();
      },
      end: over,
      closed: over,
      drain: () => undefined,
    });
  });
}
