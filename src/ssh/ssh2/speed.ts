// Speed: one socket write per turn of the loop instead of one per packet, packet buffers used again, pooled padding.
import { createCipheriv, randomFillSync } from 'node:crypto';
import { letGoOf } from '../../model/reused-memory.ts';
import { leaveBehind } from './garbage.ts';
import type { PlainGcmCipher, PrivateCipher, PrivateProtocol } from './parts.ts';

/** More messages than these in a queue, and nobody reads them: data is held back long before. */
export const mostQueued = 100_000;

/** What packets are written to. */
export interface PacketSink {
  readonly writable: boolean;
  readonly writableLength: number;
  cork(): void;
  uncork(): void;
  write(chunk: Buffer, done?: () => void): boolean;
}

/** So many bytes go out at the end of the callback; fewer wait for what the other sockets bring in this turn. */
const plenty = 64 * 1024;

/**
 * Packets of one turn of the loop go out in one writev: 64 MiB are 71 system calls instead of 2,051 (SSH2.md 1.4), and
 * of a thousand small connections several share one. `setImmediate` comes right after the sockets that are ready.
 * Ciphers take `_onWrite` when they are made, so this is in force from the first key exchange on.
 * `tooMany`: as `watchArrivals`, for what waits in the sink.
 * @returns how many packets were written so far
 */
export function installCork(protocol: PrivateProtocol, sink: PacketSink, tooMany: () => void): () => number {
  let written = 0;
  let piled = 0;
  let corked = false;
  let hurried = false;
  let planned = false;
  const uncork = (): void => {
    hurried = false;
    if (!corked) return;
    corked = false;
    sink.uncork();
  };
  const turnEnds = (): void => {
    planned = false;
    uncork();
  };
  const cork = (): void => {
    corked = true;
    sink.cork();
    if (planned) return;
    planned = true;
    setImmediate(turnEnds);
  };
  protocol._onWrite = (chunk) => {
    if (!sink.writable) return;
    written += 1;
    if (sink.writableLength < plenty) piled = 0;
    else if ((piled += 1) > mostQueued) return tooMany();
    if (!corked) cork();
    const slab = chunk.buffer as ArrayBuffer;
    if (chunk.length > smallPacket && slabs.has(slab)) sink.write(chunk, () => giveBack(slab));
    else sink.write(chunk);
    if (hurried || sink.writableLength < plenty) return;
    hurried = true;
    process.nextTick(uncork);
  };
  return () => written;
}

/**
 * Buffers of big packets go round: made anew for every packet they are 100 MB of garbage for 100 MB of upload, and
 * collecting it was a quarter of the work. Small packets come out of Node's own pool.
 */
const smallPacket = 8 * 1024;
/** A 32 KiB packet with its frame, padding and tag. */
const slabSize = 33 * 1024;
const mostFree = 64;
const slabs = new WeakSet<ArrayBuffer>();
const free: ArrayBuffer[] = [];

function giveBack(slab: ArrayBuffer): void {
  letGoOf(new Uint8Array(slab));
  if (free.length < mostFree) free.push(slab);
}

function allocate(length: number): Buffer {
  if (length <= smallPacket || length > slabSize) return Buffer.allocUnsafe(length);
  let slab = free.pop();
  if (slab === undefined) {
    slab = Buffer.allocUnsafeSlow(slabSize).buffer as ArrayBuffer;
    slabs.add(slab);
  }
  return Buffer.from(slab, 0, length);
}

const poolSize = 16 * 1024;

/** Random bytes, each used once: RFC 4253 6 wants random padding, and a call a packet costs more than a small packet. */
function createPadding(): (packet: Buffer, from: number, length: number) => void {
  const pool = Buffer.allocUnsafeSlow(poolSize);
  let next = poolSize;
  return (packet, from, length) => {
    if (next + length > poolSize) {
      randomFillSync(pool);
      next = 0;
    }
    pool.copy(packet, from, next, next + length);
    next += length;
  };
}

/** How a cipher of crypto.js lays out a packet: what is not listed keeps its own `allocPacket`. */
const layouts: Readonly<Record<string, { readonly block: number; readonly tag: number }>> = {
  AESGCMCipherBinding: { block: 16, tag: 16 },
  AESGCMCipherNative: { block: 16, tag: 16 },
  ChaChaPolyCipherBinding: { block: 8, tag: 16 },
  ChaChaPolyCipherNative: { block: 8, tag: 0 },
};

const fillPadding = createPadding();

/** `allocPacket` of an AEAD cipher with pooled padding; null for a cipher we do not know. */
export function pooledAllocation(cipher: PrivateCipher): ((payloadLength: number) => Buffer) | null {
  const layout = layouts[cipher.constructor.name];
  if (layout === undefined) return null;
  const { block, tag } = layout;
  return (payloadLength) => {
    const body = 1 + payloadLength;
    let padding = block - (body & (block - 1));
    if (padding < 4) padding += block;
    const length = body + padding;
    const packet = allocate(4 + length + tag);
    packet.writeUInt32BE(length, 0);
    packet[4] = padding;
    fillPadding(packet, 5 + payloadLength, padding);
    return packet;
  };
}

const lengthBytes = 4;
const tagBytes = 16;

/**
 * `encrypt` of AES-GCM without native code: the packet is written as one, in the memory it was made in, which goes round like all others.
 * ssh2 writes its length, its body and its tag each on its own, and the memory of each is garbage.
 */
function encryptInPlace(cipher: PlainGcmCipher): (packet: Buffer) => void {
  return (packet) => {
    if (cipher._dead) return;
    const body = packet.subarray(lengthBytes, -tagBytes);
    const gcm = createCipheriv(cipher._encSSLName, cipher._encKey, cipher._encIV);
    gcm.setAutoPadding(false);
    gcm.setAAD(packet.subarray(0, lengthBytes));
    gcm.update(body).copy(body);
    leaveBehind(body.length);
    gcm.final();
    gcm.getAuthTag().copy(packet, packet.length - tagBytes);
    cipher._onWrite(packet);
    countUp(cipher._encIV);
    cipher.outSeqno = (cipher.outSeqno + 1) >>> 0;
  };
}

/** RFC 5647 7.1: the invocation counter, its last eight bytes, big end first. */
function countUp(iv: Buffer): void {
  for (let at = iv.length - 1; at >= lengthBytes; at -= 1) {
    const next = ((iv[at] ?? 0) + 1) & 0xff;
    iv[at] = next;
    if (next !== 0) return;
  }
}

/** Gives every cipher this connection will have the pooled padding, and one that is not native code its way to write. */
export function installPadding(protocol: PrivateProtocol): void {
  let cipher = protocol._cipher;
  Object.defineProperty(protocol, '_cipher', {
    configurable: true,
    get: () => cipher,
    set: (fresh: PrivateCipher) => {
      const allocation = pooledAllocation(fresh);
      if (allocation !== null) fresh.allocPacket = allocation;
      if (fresh.constructor.name === 'AESGCMCipherNative')
        fresh.encrypt = encryptInPlace(fresh as PlainGcmCipher);
      cipher = fresh;
    },
  });
}
