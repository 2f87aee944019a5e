// A server's first words, read beside ssh2: its identification and the algorithms it offers (RFC 4253 4.2, 7.1). Pure.
import { wireReader } from '../../keys/wire.ts';
import { cleanQuote } from '../../model/clean.ts';
import type { AlgorithmNames } from './parts.ts';

export interface ServerHello {
  /** "SSH-2.0-OpenSSH_9.2p1 Debian-2", null before its line was complete. */
  readonly ident: string | null;
  /** The first line, when it is not an identification: what a full or another server says. Not clean. */
  readonly line: string | null;
  /** Null before its KEXINIT was complete. */
  readonly offers: AlgorithmNames | null;
}

const kexinit = 20;
/** As OpenSSH takes them: a first packet that is longer is none of SSH. */
const largest = 256 * 1024;
/** Length, padding length and message number. */
const packetHead = 6;

export interface HelloReader {
  /** Takes what arrives, until the hello is complete. */
  feed(chunk: Buffer): void;
  readonly hello: ServerHello;
  readonly received: number;
}

/** A packet that is no KEXINIT offers nothing. Takes pieces of any size: each is looked at once. */
export function createHelloReader(): HelloReader {
  const ident = new IdentReader();
  const packet = createPacketReader();
  let offers: AlgorithmNames | null = null;
  let received = 0;
  let over = false;
  const read = (chunk: Buffer): void => {
    const used = ident.feed(chunk);
    if (used === null) return;
    const first = packet(chunk.subarray(used));
    if (first === null) return;
    offers = parseOffers(first);
    over = true;
  };
  return {
    feed(chunk) {
      received += chunk.length;
      if (over) return;
      try {
        read(chunk);
      } catch {
        over = true; // none of SSH: ssh2's reader says so
      }
    },
    get hello() {
      const text = (bytes: Buffer | null): string | null => bytes?.toString('utf8') ?? null;
      return { ident: text(ident.ident), line: text(ident.line), offers };
    },
    get received() {
      return received;
    },
  };
}

/** The first packet, once it is complete; one that cannot be what is looked for is given as far as it came. */
function createPacketReader(): (chunk: Buffer) => Buffer | null {
  const pieces: Buffer[] = [];
  let length = 0;
  let wanted = packetHead;
  return (chunk) => {
    if (chunk.length > 0) pieces.push(Buffer.from(chunk));
    length += chunk.length;
    if (length < wanted) return null;
    const bytes = Buffer.concat(pieces.splice(0), length);
    pieces.push(bytes);
    wanted = 4 + bytes.readUInt32BE(0);
    return length >= wanted || wanted > largest || bytes[5] !== kexinit ? bytes : null;
  };
}

function parseOffers(packet: Buffer): AlgorithmNames | null {
  if (packet.length < packetHead) return null;
  const length = packet.readUInt32BE(0);
  if (length > largest || packet.length < 4 + length || packet[5] !== kexinit) return null;
  try {
    // To the end of the packet, without its padding: what came behind it in the same piece is another packet.
    const reader = wireReader(
      packet.subarray(packetHead + 16, Math.max(0, 4 + length - packet.readUInt8(4))),
    );
    const list = (): string[] => reader.string().toString('latin1').split(',').filter(Boolean);
    const [kex, hostKey, cipher, , mac] = [list(), list(), list(), list(), list()];
    if (kex === undefined || hostKey === undefined || cipher === undefined || mac === undefined) return null;
    return { kex, hostKey, cipher, mac };
  } catch {
    return null; // cut short: ssh2 will say what is wrong with it
  }
}

const kinds = [
  ['kex', 'key exchange method'],
  ['hostKey', 'host key type'],
  ['cipher', 'cipher'],
  ['mac', 'MAC'],
] as const;

export interface Disagreement {
  readonly kind: keyof AlgorithmNames;
  readonly words: string;
}

/** The first kind of algorithm that the two sides do not share; null when they could agree. */
export function disagreement(ours: AlgorithmNames, theirs: AlgorithmNames): Disagreement | null {
  for (const [kind, words] of kinds) {
    if (ours[kind].some((name) => theirs[kind].includes(name))) continue;
    if (kind === 'mac' && ours.cipher.some((name) => theirs.cipher.includes(name) && !needsMac(name)))
      continue;
    return {
      kind,
      words: `no common ${words}: the server offers ${listed(theirs[kind])}; we offer ${ours[kind].join(', ')}`,
    };
  }
  return null;
}

/** Names of the server's: they may be anything, and many. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 20).map((name) => cleanQuote(name.slice(0, 64)));
  return names.length > 20 ? `${shown.join(', ')} and ${names.length - 20} more` : shown.join(', ');
}

/** AES-GCM and ChaCha20-Poly1305 authenticate by themselves. */
function needsMac(cipher: string): boolean {
  return !/gcm|poly1305/.test(cipher);
}

/** Bytes of a line and lines before the identification, as OpenSSH takes them (SSH_MAX_BANNER_LEN and its kin). */
const longestLine = 8192;
const mostLines = 1024;

const lineFeed = 0x0a;
const identStart = Buffer.from('SSH-');

/** The identification out of bytes as they come: its line, and those that may stand before it (RFC 4253 4.2). */
export class IdentReader {
  #pending: Buffer = Buffer.alloc(0);
  #lines = 0;
  #first: Buffer | null = null;
  #ident: Buffer | null = null;

  /** The identification without its line end, null before it is complete. */
  get ident(): Buffer | null {
    return this.#ident;
  }

  /** The first line, complete or not, when it is no identification. */
  get line(): Buffer | null {
    const pending = this.#pending;
    const isOther = pending.length > 0 && !pending.subarray(0, identStart.length).equals(identStart);
    return this.#first ?? (isOther ? pending : null);
  }

  /** How many bytes of the chunk belong to it, once it is complete. Throws when what comes is none of SSH. */
  feed(chunk: Buffer): number | null {
    if (this.#ident !== null) return 0;
    for (let from = 0; ;) {
      const end = chunk.indexOf(lineFeed, from);
      const piece = chunk.subarray(from, end === -1 ? chunk.length : end);
      if (this.#pending.length + piece.length > longestLine)
        throw new Error(`a line of more than ${longestLine} bytes in place of an SSH identification`);
      const line = this.#pending.length === 0 ? piece : Buffer.concat([this.#pending, piece]);
      if (end === -1) {
        this.#pending = Buffer.from(line);
        return null;
      }
      this.#pending = Buffer.alloc(0);
      from = end + 1;
      if (this.#take(line.at(-1) === 0x0d ? line.subarray(0, -1) : line)) return from;
    }
  }

  /** True when the line was the identification. */
  #take(line: Buffer): boolean {
    if (line.subarray(0, identStart.length).equals(identStart)) {
      this.#ident = Buffer.from(line);
      return true;
    }
    this.#first ??= Buffer.from(line);
    this.#lines += 1;
    if (this.#lines > mostLines) throw new Error(`more than ${mostLines} lines before an SSH identification`);
    return false;
  }
}
