// UMAC under ssh2's ciphers: what one side seals the other opens, in any pieces, and nothing that was touched.
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ssh2Part } from '../../../src/ssh/ssh2/load.ts';
import { Umac, umacNames } from '../../../src/ssh/ssh2/mac.ts';
import { supportedAlgorithms } from '../../../src/ssh/ssh2/parts.ts';

interface Sealer {
  allocPacket(payload: number): Buffer;
  encrypt(packet: Buffer): void;
  outSeqno: number;
}
interface Opener {
  decrypt(data: Buffer, from: number, length: number): unknown;
  inSeqno: number;
}

const crypto = ssh2Part('protocol/crypto.js') as {
  CIPHER_INFO: Record<string, { keyLen: number; ivLen: number }>;
  MAC_INFO: Record<string, { len: number; actualLen: number }>;
  createCipher(config: object): Sealer;
  createDecipher(config: object): Opener;
};

function pair(
  cipher: string,
  mac: string,
): { seal: (payload: Buffer) => Buffer; open: Opener; got: Buffer[] } {
  const info = crypto.CIPHER_INFO[cipher] as { keyLen: number; ivLen: number };
  const macInfo = crypto.MAC_INFO[mac] as { len: number; actualLen: number };
  const [key, iv, macKey] = [randomBytes(info.keyLen), randomBytes(info.ivLen), randomBytes(macInfo.len)];
  const seqno = 2 ** 32 - 2; // it wraps
  const written: Buffer[] = [];
  const got: Buffer[] = [];
  const sealer = crypto.createCipher({
    outbound: {
      onWrite: (chunk: Buffer) => written.push(Buffer.from(chunk)),
      cipherInfo: info,
      cipherKey: key,
      cipherIV: iv,
      macInfo,
      macKey,
      seqno,
    },
  });
  const open = crypto.createDecipher({
    inbound: {
      onPayload: (payload: Buffer) => void got.push(Buffer.from(payload)),
      decipherInfo: info,
      decipherKey: key,
      decipherIV: iv,
      macInfo,
      macKey,
      seqno,
    },
  });
  const seal = (payload: Buffer): Buffer => {
    const packet = sealer.allocPacket(payload.length);
    payload.copy(packet, 5);
    sealer.encrypt(packet);
    return Buffer.concat(written.splice(0));
  };
  return { seal, open, got };
}

describe.each(umacNames)('%s', (mac) => {
  test.each(['aes128-ctr', 'aes256-ctr', 'aes128-cbc'])('under %s', (cipher) => {
    const { seal, open, got } = pair(cipher, mac);
    const payloads = [1, 5, 40, 1000, 1024, 32_768, 200_000].map((length) => randomBytes(length));
    const stream = Buffer.concat(payloads.map(seal));
    for (let at = 0, step = 1; at < stream.length; at += step, step = (step * 7) % 5000) {
      const piece = stream.subarray(at, at + step);
      open.decrypt(Buffer.from(piece), 0, piece.length);
    }
    expect(got).toEqual(payloads);
    expect(open.inSeqno).toBe(5);
    for (const from of [6, 21, -1]) {
      const other = pair(cipher, mac);
      const sealed = other.seal(randomBytes(60));
      const at = from < 0 ? sealed.length + from : from;
      sealed.writeUInt8(sealed.readUInt8(at) ^ 1, at);
      expect(() => other.open.decrypt(sealed, 0, sealed.length)).toThrow();
      expect(other.got).toEqual([]);
    }
  });
});

test('all four are among what this build can do', () => {
  expect(supportedAlgorithms().mac).toEqual(expect.arrayContaining([...umacNames]));
});

// The vectors of RFC 4418: its 64-bit tags, and its 96-bit ones, which are the beginning of those with 128.

const key = Buffer.from('abcdefghijklmnop');
const nonce = Buffer.from('bcdefghi').readBigUInt64BE();

describe('umac', () => {
  const vectors: [string, string, string, string][] = [
    ['nothing', '', '6E155FAD26900BE1', '32FEDB100C79AD58F07FF764'],
    ['aaa', 'a'.repeat(3), '44B5CB542F220104', '185E4FE905CBA7BD85E4C2DC'],
    ['2^10 a', 'a'.repeat(2 ** 10), '26BF2F5D60118BD9', '7A54ABE04AF82D60FB298C3C'],
    ['2^15 a', 'a'.repeat(2 ** 15), '27F8EF643B0D118D', '7B136BD911E4B734286EF2BE'],
    ['2^20 a', 'a'.repeat(2 ** 20), 'A4477E87E9F55853', 'F8ACFA3AC31CFEEA047F7B11'],
    ['abc', 'abc', 'D4D7B9F6BD4FBFCF', '883C3D4B97A61976FFCF2323'],
    ['500 abc', 'abc'.repeat(500), 'D4CF26DDEFD5C01A', '8824A260C53C66A36C9260A6'],
  ];

  test.each(vectors)('of %s is what RFC 4418 says, in one piece and in many', (_, message, short, long) => {
    const bytes = Buffer.from(message);
    const small = new Umac(key, 8);
    const large = new Umac(key, 16);
    // one instance for several messages: nothing of one is in the next
    for (const step of [bytes.length + 1, 1000, 1024, 7777]) {
      for (let at = 0; at < bytes.length; at += step) {
        small.update(bytes.subarray(at, at + step));
        large.update(bytes.subarray(at, at + step));
      }
      expect(small.tag(nonce).toString('hex').toUpperCase()).toBe(short);
      expect(large.tag(nonce).toString('hex').toUpperCase().slice(0, 24)).toBe(long);
    }
  });

  test('differs with every bit of message, nonce and key', () => {
    const tags = new Set<string>();
    const message = Buffer.alloc(2048, 7);
    const tagOf = (by: Buffer, bytes: Buffer, at: bigint): void => {
      for (const length of [8, 16] as const) {
        const umac = new Umac(by, length);
        umac.update(bytes);
        tags.add(umac.tag(at).toString('hex'));
      }
    };
    tagOf(key, message, 0n);
    tagOf(key, message, 1n);
    tagOf(key, message, 2n ** 32n - 1n);
    for (const at of [0, 1023, 1024, 2047]) {
      const changed = Buffer.from(message);
      changed.writeUInt8(6, at);
      tagOf(key, changed, 0n);
    }
    tagOf(key, message.subarray(1), 0n);
    tagOf(Buffer.from('abcdefghijklmnoq'), message, 0n);
    expect(tags.size).toBe(18);
  });
});
