// The three streams of a command: what a terminal is, and where text goes. Node's own streams are made when first used, since they take
// longer than all that `--help` does; a few lines go straight to the file.
import { fstatSync, statSync, writeSync } from 'node:fs';

/** As isatty(3), whose module and the network behind it are loaded only for what may be one. */
export function isTerminal(descriptor: 0 | 1 | 2): boolean {
  if (process.platform !== 'win32') {
    try {
      const stats = fstatSync(descriptor);
      if (!stats.isCharacterDevice() || stats.rdev === statSync('/dev/null').rdev) return false;
    } catch {
      return false; // closed
    }
  }
  return process.getBuiltinModule('node:tty').isatty(descriptor);
}

/** The reader of a pipe has left, or a terminal has hung up. */
const readerGone = ['EPIPE', 'EIO', 'ERR_STREAM_DESTROYED'];

let output: NodeJS.WriteStream | null = null;
let errors: NodeJS.WriteStream | null = null;

export function standardOutput(): NodeJS.WriteStream {
  output ??= process.stdout.on('error', outputFailed);
  return output;
}

/** Where nobody reads any more, nobody is left to be told. */
export function standardError(): NodeJS.WriteStream {
  errors ??= process.stderr.on('error', () => undefined);
  return errors;
}

/**
 * `tunnel status | head -1`: whoever reads has read enough, which is no fault; what was begun is done, and ends as it
 * would have. A result that is lost (a full disk) is one.
 */
function outputFailed({ code, message }: NodeJS.ErrnoException): void {
  if (readerGone.includes(code ?? '')) return;
  standardError().write(`tunnel: writing failed, on the standard output: ${message}\n`);
  process.exit(1);
}

export function printStream(text: string): void {
  standardOutput().write(text);
}

/** For a command that does nothing else meanwhile: in one write, without the stream. What the file does not take goes through that. */
export function print(text: string): void {
  let rest = Buffer.from(text);
  try {
    // A console of Windows takes no UTF-8; behind the stream's words nothing may overtake them.
    while (process.platform !== 'win32' && output === null && rest.length > 0)
      rest = rest.subarray(writeSync(1, rest));
  } catch {
    // EAGAIN of a pipe that somebody else made non-blocking; whatever else it is, the stream meets it too
  }
  if (rest.length > 0) standardOutput().write(rest);
}
