// The identification of a server out of bytes as they come: its line, and those that may stand before it (RFC 4253 4.2).
// Pure.

/** Bytes of a line and lines before the identification, as OpenSSH takes them (SSH_MAX_BANNER_LEN and its kin). */
const longestLine = 8192;
const mostLines = 1024;

const lineFeed = 0x0a;
const start = Buffer.from('SSH-');

export interface IdentReader {
  /** How many bytes of the chunk belong to it, once it is complete. Throws when what comes is none of SSH. */
  feed(chunk: Buffer): number | null;
  /** The identification without its line end, null before it is complete. */
  readonly ident: Buffer | null;
  /** The first line, complete or not, when it is no identification. */
  readonly line: Buffer | null;
}

export function createIdentReader(): IdentReader {
  let pending: Buffer = Buffer.alloc(0);
  let lines = 0;
  let first: Buffer | null = null;
  let ident: Buffer | null = null;
  /** True when it was the identification. */
  const take = (line: Buffer): boolean => {
    if (line.subarray(0, start.length).equals(start)) {
      ident = Buffer.from(line);
      return true;
    }
    first ??= Buffer.from(line);
    lines += 1;
    if (lines > mostLines) throw new Error(`more than ${mostLines} lines before an SSH identification`);
    return false;
  };
  return {
    feed(chunk) {
      if (ident !== null) return 0;
      for (let from = 0; ;) {
        const end = chunk.indexOf(lineFeed, from);
        const piece = chunk.subarray(from, end === -1 ? chunk.length : end);
        if (pending.length + piece.length > longestLine)
          throw new Error(`a line of more than ${longestLine} bytes in place of an SSH identification`);
        const line = pending.length === 0 ? piece : Buffer.concat([pending, piece]);
        if (end === -1) {
          pending = Buffer.from(line);
          return null;
        }
        pending = Buffer.alloc(0);
        from = end + 1;
        if (take(line.at(-1) === 0x0d ? line.subarray(0, -1) : line)) return from;
      }
    },
    get ident() {
      return ident;
    },
    get line() {
      const isOther = pending.length > 0 && !pending.subarray(0, start.length).equals(start);
      return first ?? (isOther ? pending : null);
    },
  };
}
