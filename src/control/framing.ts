// Framing: chunks of bytes to JSON messages and back, one a line. Pure; a line that is too long or not JSON is an error at once.
import { TunnelError } from '../errors.ts';
import { lineLimitBytes } from './protocol.ts';

const newline = 0x0a;

/** One message as it goes over the wire. Throws when it would not fit into one line. */
export function encodeMessage(message: unknown): string {
  const line = `${JSON.stringify(message)}\n`;
  if (line.length > lineLimitBytes && Buffer.byteLength(line) > lineLimitBytes) {
    throw new TunnelError(
      'INTERNAL',
      `control message failed, on a line of ${line.length} characters: too long`,
    );
  }
  return line;
}

function notOurs(why: string, cause?: unknown): TunnelError {
  return new TunnelError('DAEMON_MISMATCH', `control message failed, on the control socket: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'tunnel --version    # something else speaks on this socket, or another version',
  });
}

function parseLine(line: Buffer): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  } catch (thrown) {
    throw notOurs('a line is not UTF-8', thrown);
  }
  try {
    return JSON.parse(text);
  } catch {
    // JSON.parse quotes the line in its message, and a line may hold a secret: the message is not passed on.
    throw notOurs('a line is not JSON');
  }
}

/**
 * Answers a function that takes chunks as they come and calls `take` for each message in them.
 * That function throws DAEMON_MISMATCH at the first line longer than `limitBytes`, not UTF-8 or not JSON; the
 * messages before it were delivered, and nothing may be pushed after it.
 */
export function createDecoder(
  take: (message: unknown) => void,
  limitBytes: number = lineLimitBytes,
): (chunk: Buffer) => void {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  return (chunk) => {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(newline, from);
      const piece = chunk.subarray(from, end === -1 ? undefined : end);
      if (begunBytes + piece.length > limitBytes) throw notOurs(`a line is longer than ${limitBytes} bytes`);
      if (end === -1) {
        if (piece.length > 0) begun.push(piece);
        begunBytes += piece.length;
        // A sender of single bytes would cost a Buffer each, far more than the limit counts.
        if (begun.length > 1024) begun = [Buffer.concat(begun)];
        return;
      }
      const line = begun.length === 0 ? piece : Buffer.concat([...begun, piece]);
      begun = [];
      begunBytes = 0;
      from = end + 1;
      if (line.length > 0) take(parseLine(line));
    }
  };
}
