// What ssh2 sees of the read buffers: copies of what it may keep, and whole packets where their lengths are in clear.
import type { Client } from 'ssh2';
import { describe, expect, test } from 'vitest';
import { ReadSlabs } from '../../../src/ssh/channels/buffers.ts';
import { copyPayloads, recycleReads } from '../../../src/ssh/ssh2/wire.ts';

/** True when a message of that type reaches ssh2 as it lies in its buffer. */
function passesView(type: number): boolean {
  const payload = Buffer.alloc(100, type);
  let seen: Buffer | null = null;
  const protocol = { _onPayload: (got: Buffer): void => void (seen = got) };
  copyPayloads({ _protocol: protocol } as unknown as Client);
  protocol._onPayload(payload);
  return seen === payload;
}

test('of what a connection is made of nothing is copied: the answer to its open, its data, its end', () => {
  for (const type of [91, 92, 93, 94, 95, 96, 97]) expect([type, passesView(type)]).toEqual([type, true]);
});

test('every other message is copied: ssh2 may keep a part of it', () => {
  for (const type of [1, 4, 20, 30, 52, 80, 81, 90, 98, 192])
    expect([type, passesView(type)]).toEqual([type, false]);
});

class AESGCMDecipherBinding {
  _len = 0;
  _lenBytes = 0;
  _pktLen = 0;
  _tagPos = 0;
  _packet = null;
}

class AESGCMDecipherNative extends AESGCMDecipherBinding {}
class ChaChaPolyDecipherBinding extends AESGCMDecipherBinding {}

/** A packet of AES-GCM by its frame alone: `length` bytes behind it, and a tag. */
function framed(length: number): Buffer {
  const packet = Buffer.alloc(4 + length + 16, 0xee);
  packet.writeUInt32BE(length);
  return packet;
}

/** How many bytes ssh2 is given of each read. */
function given(
  reads: readonly Buffer[],
  parts: { decipher?: AESGCMDecipherBinding; kexinit?: Buffer } = {},
): number[] {
  const slabs = new ReadSlabs();
  const sizes: number[] = [];
  const protocol = {
    _decipher: parts.decipher ?? new AESGCMDecipherBinding(),
    _kexinit: parts.kexinit,
    parse: (_bytes: Buffer, from: number, length: number): void => void sizes.push(length - from),
  };
  recycleReads({ _protocol: protocol } as unknown as Client, slabs);
  for (const read of reads) {
    const before = sizes.length;
    read.copy(slabs.next());
    slabs.arrived(read.length, (chunk) => protocol.parse(chunk, 0, chunk.length));
    if (sizes.length === before) sizes.push(0);
  }
  return sizes;
}

describe('reads of AES-GCM', () => {
  const two = Buffer.concat([framed(32), framed(64)]); // 52 and 84 bytes

  test('reach ssh2 in whole packets, however they are cut', () => {
    expect(given([two])).toEqual([136]);
    expect(given([two.subarray(0, 51), two.subarray(51, 53), two.subarray(53)])).toEqual([0, 52, 84]);
    expect(given([two.subarray(0, 2), two.subarray(2)])).toEqual([0, 136]);
    expect(given([...two].map((byte) => Buffer.of(byte))).filter((size) => size > 0)).toEqual([52, 84]);
  });

  test('without native code too', () => {
    const decipher = new AESGCMDecipherNative();
    expect(given([two.subarray(0, 60), two.subarray(60)], { decipher })).toEqual([52, 84]);
  });

  test('of a packet that is longer than any of a channel reach ssh2 as they come', () => {
    const long = framed(100_000);
    expect(given([long.subarray(0, 1000), long.subarray(1000, 3000)])).toEqual([1000, 2000]);
  });

  test.each([
    ['its length', { _len: 0, _lenBytes: 2 }, Buffer.from([0, 32, ...Buffer.alloc(48)])],
    ['itself', { _len: 32, _lenBytes: 4, _pktLen: 30 }, Buffer.alloc(18)],
    ['its tag', { _len: 32, _lenBytes: 4, _pktLen: 32, _tagPos: 15 }, Buffer.alloc(1)],
  ])('complete first what ssh2 has of a packet: of %s', (_what, begun, rest) => {
    const decipher = (): AESGCMDecipherBinding => Object.assign(new AESGCMDecipherBinding(), begun);
    const read = Buffer.concat([rest, framed(32), framed(64).subarray(0, 10)]);
    expect(given([read], { decipher: decipher() })).toEqual([rest.length + 52]);
    if (rest.length > 1) expect(given([rest.subarray(0, 1)], { decipher: decipher() })).toEqual([1]); // ssh2 goes on with what it has begun
  });
});

test('reads of another cipher, and during a key exchange, reach ssh2 as they come', () => {
  const cut = framed(32).subarray(0, 20);
  expect(given([cut], { decipher: new ChaChaPolyDecipherBinding() })).toEqual([20]);
  expect(given([cut], { kexinit: Buffer.alloc(1) })).toEqual([20]);
});
