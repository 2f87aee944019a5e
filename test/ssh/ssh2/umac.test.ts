// UMAC against the vectors of RFC 4418: its 64-bit tags, and its 96-bit ones, which are the beginning of those with 128.
import { describe, expect, test } from 'vitest';
import { Umac } from '../../../src/ssh/ssh2/umac.ts';

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
