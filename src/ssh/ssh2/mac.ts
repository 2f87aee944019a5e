// UMAC for ssh2's ciphers: crypto.js knows HMACs only. Its own ciphers do the work, with another tag on their packets.
import { createCipheriv } from 'node:crypto';

const umacKeyLength = 16;

/** Bytes that one NH takes (RFC 4418 5.2). */
const chunkLength = 1024;
const mask64 = 0xffff_ffff_ffff_ffffn;
/** 2^64 - 59 and 2^36 - 5, the primes of 5.1. */
const prime64 = 0xffff_ffff_ffff_ffc5n;
const prime36 = 0xf_ffff_fffb;

/** As OpenSSH orders them; offered last, since they are computed here and HMACs by OpenSSL. */
export const umacNames = [
  'umac-128-etm@openssh.com',
  'umac-64-etm@openssh.com',
  'umac-128@openssh.com',
  'umac-64@openssh.com',
] as const;

/** An entry of crypto.js' table, and of ours. */
interface MacInfo {
  /** What crypto.js makes an HMAC with, which nobody looks at here. */
  readonly sslName: string;
  /** Of the key. */
  readonly len: number;
  readonly actualLen: number;
  readonly isETM: boolean;
  readonly umac?: 8 | 16;
}

interface MacConfig {
  readonly macInfo?: MacInfo;
  readonly macKey?: Buffer;
  readonly forceNative?: boolean;
}

/** GenericCipherNative: the one of crypto.js that is written in JavaScript. */
interface NativeCipher {
  _dead: boolean;
  _macETM: boolean;
  _cipherInstance: { update(bytes: Uint8Array): Buffer };
  _onWrite(chunk: Uint8Array): void;
  outSeqno: number;
  encrypt(packet: Buffer): void;
}

/** GenericDecipherNative: what it has read of a packet goes into `_macInstance`, the packet's number first. */
interface NativeDecipher {
  _macInstance: unknown;
}

export interface CryptoPart {
  readonly MAC_INFO: Record<string, MacInfo>;
  createCipher: (config: { outbound: MacConfig }) => object;
  createDecipher: (config: { inbound: MacConfig }) => object;
}

/** Before the rest of ssh2 is loaded: it takes these functions out of the module when it is. */
export function addUmac(crypto: CryptoPart): void {
  for (const name of umacNames) {
    const umac = name.startsWith('umac-64') ? 8 : 16;
    const isETM = name.includes('-etm@');
    crypto.MAC_INFO[name] = { sslName: 'sha256', len: umacKeyLength, actualLen: umac, isETM, umac };
  }
  const { createCipher, createDecipher } = crypto;
  crypto.createCipher = (config) => {
    const mac = umacOf(config.outbound);
    if (mac === null) return createCipher(config);
    const native = createCipher({ outbound: { ...config.outbound, forceNative: true } });
    return tagging(native as NativeCipher, mac);
  };
  crypto.createDecipher = (config) => {
    const mac = umacOf(config.inbound);
    if (mac === null) return createDecipher(config);
    const native = createDecipher({ inbound: { ...config.inbound, forceNative: true } });
    return checking(native as NativeDecipher, mac);
  };
}

/** AES-GCM and ChaCha20-Poly1305 come without a MAC. */
function umacOf({ macInfo, macKey }: MacConfig): Umac | null {
  return macInfo?.umac === undefined || macKey === undefined ? null : new Umac(macKey, macInfo.umac);
}

/** The packet's number is the nonce (umac.c of OpenSSH); over what the tag is, -etm decides (PROTOCOL 1.5 there). */
function tagging(cipher: NativeCipher, mac: Umac): NativeCipher {
  cipher.encrypt = (packet) => {
    if (cipher._dead) return;
    const head = cipher._macETM ? packet.subarray(0, 4) : packet.subarray(0, 0);
    const encrypted = cipher._cipherInstance.update(packet.subarray(head.length));
    if (head.length > 0) cipher._onWrite(head);
    cipher._onWrite(encrypted);
    mac.update(head);
    mac.update(cipher._macETM ? encrypted : packet);
    cipher._onWrite(mac.tag(BigInt(cipher.outSeqno)));
    cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
  };
  return cipher;
}

function checking(decipher: NativeDecipher, mac: Umac): NativeDecipher {
  let nonce: bigint | null = null;
  const instance = {
    update(bytes: Uint8Array): void {
      if (nonce === null) nonce = BigInt(Buffer.from(bytes).readUInt32BE());
      else mac.update(bytes);
    },
    digest: (): Buffer => mac.tag(nonce ?? 0n),
  };
  Object.defineProperty(decipher, '_macInstance', {
    get: () => instance,
    set() {
      nonce = null; // a packet begins, or has ended
    },
  });
  return decipher;
}

/** One of the hashes that a tag is put together from, four bytes each (5.1: an iteration). */
interface Stream {
  /** 256 words. */
  readonly nhKey: Uint32Array;
  readonly polyKey: bigint;
  readonly innerKey: readonly number[];
  readonly outerKey: number;
  poly: bigint;
  /** What NH came to for the last chunk. */
  last: bigint;
}

/**
 * UMAC (RFC 4418) with 64 and 128 bits: a tag over a message and a nonce. For messages up to 16 MiB, of which the polynomial
 * needs 64 bits only; an SSH packet has 256 KiB at most. Pure.
 * One message at a time: `update` as often as wanted, then `tag`, and again.
 */
export class Umac {
  readonly #tagLength: 8 | 16;
  readonly #streams: readonly Stream[];
  readonly #pad: (nonce: Buffer) => Buffer;
  readonly #chunk = Buffer.alloc(chunkLength);
  readonly #words = new DataView(this.#chunk.buffer, this.#chunk.byteOffset, chunkLength);
  readonly #message = new Uint32Array(chunkLength / 4);
  #filled = 0;
  #chunks = 0;

  /** `key`: 16 bytes. */
  constructor(key: Buffer, tagLength: 8 | 16) {
    const count = tagLength / 4;
    const derive = derivation(key);
    this.#tagLength = tagLength;
    this.#streams = streamsOf(count, derive);
    const encrypt = aes(derive(0, umacKeyLength));
    this.#pad = (nonce) => encrypt(nonce);
  }

  update(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      if (this.#filled === chunkLength) this.#hash(chunkLength);
      const taken = Math.min(chunkLength - this.#filled, bytes.length - from);
      this.#chunk.set(bytes.subarray(from, from + taken), this.#filled);
      this.#filled += taken;
      from += taken;
    }
  }

  /** Of everything since the last one. `nonce`: a number that no other message of the key has. */
  tag(nonce: bigint): Buffer {
    const padded = Math.max(32, Math.ceil(this.#filled / 32) * 32);
    this.#chunk.fill(0, this.#filled, padded);
    this.#hash(padded);
    const tag = this.#mask(nonce);
    for (const [index, stream] of this.#streams.entries()) {
      const value = this.#chunks === 1 ? stream.last : stream.poly;
      tag.writeUInt32BE((tag.readUInt32BE(index * 4) ^ finish(stream, value)) >>> 0, index * 4);
      stream.poly = 1n;
    }
    this.#chunks = 0;
    return tag;
  }

  /** The first layer over what the chunk holds, padded to `length`, and the second over what the first gives. */
  #hash(length: number): void {
    const bits = BigInt(this.#filled * 8);
    for (let at = 0; at < length; at += 4) this.#message[at / 4] = this.#words.getUint32(at, true);
    for (const stream of this.#streams) {
      stream.last = (nh(this.#message, stream.nhKey, length / 4) + bits) & mask64;
      stream.poly = polynomial(stream.polyKey, stream.poly, stream.last);
    }
    this.#chunks += 1;
    this.#filled = 0;
  }

  /** The pad that hides the hash (3.3): with 8 bytes two nonces share a block. */
  #mask(nonce: bigint): Buffer {
    const block = Buffer.alloc(16);
    const half = this.#tagLength === 8 ? nonce & 1n : 0n;
    block.writeBigUInt64BE(nonce - half);
    const from = Number(half) * 8;
    return Buffer.from(this.#pad(block).subarray(from, from + this.#tagLength));
  }
}

type Derive = (index: number, length: number) => Buffer;

/** AES of single blocks. */
function aes(key: Buffer): (block: Buffer) => Buffer {
  const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  return (block) => cipher.update(block);
}

/** The key derivation of 3.2. */
function derivation(key: Buffer): Derive {
  const encrypt = aes(key);
  return (index, length) => {
    const blocks = Buffer.alloc(Math.ceil(length / 16) * 16);
    for (let at = 0; at < blocks.length; at += 16) {
      blocks.writeBigUInt64BE(BigInt(index), at);
      blocks.writeBigUInt64BE(BigInt(at / 16 + 1), at + 8);
    }
    return encrypt(blocks).subarray(0, length);
  };
}

function streamsOf(count: number, derive: Derive): readonly Stream[] {
  const first = derive(1, chunkLength + (count - 1) * 16);
  const second = derive(2, count * 24);
  const third = derive(3, count * 64);
  const fourth = derive(4, count * 4);
  return Array.from({ length: count }, (_, index) => ({
    nhKey: Uint32Array.from({ length: chunkLength / 4 }, (__, word) =>
      first.readUInt32BE(index * 16 + word * 4),
    ),
    polyKey: second.readBigUInt64BE(index * 24) & 0x01ff_ffff_01ff_ffffn,
    // of 16 bytes that the second layer gives the first eight are zero here: four of eight factors do nothing
    innerKey: [4, 5, 6, 7].map((factor) =>
      Number(third.readBigUInt64BE(index * 64 + factor * 8) % BigInt(prime36)),
    ),
    outerKey: fourth.readUInt32BE(index * 4),
    poly: 1n,
    last: 0n,
  }));
}

/**
 * NH (5.2.2): products of sums of words, added up modulo 2^64. A factor is split in halves of 16 bits, so that doubles
 * hold every product, and sixteen of them.
 */
function nh(message: Uint32Array, key: Uint32Array, words: number): bigint {
  let low = 0;
  let high = 0;
  for (let at = 0; at < words;) {
    for (const end = Math.min(words, at + 32); at < end; at += 8) {
      for (let pair = at; pair < at + 4; pair += 1) {
        const one = ((message[pair] as number) + (key[pair] as number)) >>> 0;
        const other = ((message[pair + 4] as number) + (key[pair + 4] as number)) >>> 0;
        low += one * (other & 0xffff);
        high += one * (other >>> 16);
      }
    }
    const carry = Math.floor(low / 0x1_0000);
    low -= carry * 0x1_0000;
    high = (high + carry) % 0x1_0000_0000_0000;
  }
  return BigInt(high) * 0x1_0000n + BigInt(low);
}

/** One step of POLY (5.3.1); words that the prime does not reach are marked, and moved below it. */
function polynomial(key: bigint, before: bigint, word: bigint): bigint {
  if (word < 0xffff_ffff_0000_0000n) return (key * before + word) % prime64;
  const marked = (key * before + prime64 - 1n) % prime64;
  return (key * marked + word - 59n) % prime64;
}

/** The third layer (5.4), over the eight bytes that are not zero. */
function finish({ innerKey, outerKey }: Stream, value: bigint): number {
  let sum = 0;
  for (const [index, factor] of innerKey.entries())
    sum += (Number((value >> BigInt(48 - index * 16)) & 0xffffn) * factor) % prime36;
  return (((sum % prime36) % 0x1_0000_0000) ^ outerKey) >>> 0;
}
