// A server's first words, read beside ssh2: its identification and the algorithms it offers (RFC 4253 4.2, 7.1). Pure.
import { readWire } from '../trust/wire.ts';
import type { AlgorithmNames } from './internals.ts';

export interface ServerHello {
  /** "SSH-2.0-OpenSSH_9.2p1 Debian-2", null before its line was complete. */
  readonly ident: string | null;
  /** The first line, when it is not an identification: what a full or another server says. Not clean. */
  readonly line: string | null;
  /** Null before its KEXINIT was complete. */
  readonly offers: AlgorithmNames | null;
}

const kexinit = 20;
/** RFC 4253 6.1: longer packets need not be read, and a first one that long is none of SSH. */
const largest = 64 * 1024;
/** RFC 4253 4.2 allows an identification 255 bytes. */
const longestLine = 255;

export interface HelloReader {
  /** Takes what arrives, until the hello is complete. */
  feed(chunk: Buffer): void;
  readonly hello: ServerHello;
  readonly received: number;
}

export function createHelloReader(): HelloReader {
  let bytes: Buffer | null = Buffer.alloc(0);
  let received = 0;
  let hello: ServerHello = { ident: null, line: null, offers: null };
  return {
    feed(chunk) {
      received += chunk.length;
      if (bytes === null) return;
      bytes = Buffer.concat([bytes, chunk]);
      hello = parseHello(bytes);
      if (hello.offers !== null || bytes.length > largest) bytes = null;
    },
    get hello() {
      return hello;
    },
    get received() {
      return received;
    },
  };
}

/** Lines before the identification are allowed (RFC 4253 4.2); a packet that is no KEXINIT offers nothing. */
export function parseHello(bytes: Buffer): ServerHello {
  let from = 0;
  let first: string | null = null;
  for (;;) {
    const end = bytes.indexOf('\n', from);
    const line = bytes.toString('utf8', from, end === -1 ? from + longestLine : end).replace(/\r$/, '');
    if (end === -1) return { ident: null, line: first ?? (line === '' ? null : line), offers: null };
    from = end + 1;
    if (line.startsWith('SSH-'))
      return { ident: line, line: first, offers: parseOffers(bytes.subarray(from)) };
    first ??= line;
  }
}

function parseOffers(packet: Buffer): AlgorithmNames | null {
  if (packet.length < 5) return null;
  const length = packet.readUInt32BE(0);
  if (length > largest || packet.length < 4 + length || packet[5] !== kexinit) return null;
  try {
    const reader = readWire(packet.subarray(4 + 1 + 1 + 16));
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

/** What the two sides have not in common, in words; null when they could agree. */
export function disagreement(ours: AlgorithmNames, theirs: AlgorithmNames): string | null {
  for (const [kind, words] of kinds) {
    if (ours[kind].some((name) => theirs[kind].includes(name))) continue;
    if (kind === 'mac' && ours.cipher.some((name) => theirs.cipher.includes(name) && !needsMac(name)))
      continue;
    return `no common ${words}: the server offers ${theirs[kind].join(', ')}; we offer ${ours[kind].join(', ')}`;
  }
  return null;
}

/** AES-GCM and ChaCha20-Poly1305 authenticate by themselves. */
function needsMac(cipher: string): boolean {
  return !/gcm|poly1305/.test(cipher);
}
