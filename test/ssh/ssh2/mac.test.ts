// UMAC under ssh2's ciphers: what one side seals the other opens, in any pieces, and nothing that was touched.
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ssh2Part } from '../../../src/ssh/ssh2/load.ts';
import { umacNames } from '../../../src/ssh/ssh2/mac.ts';
import { supportedAlgorithms } from '../../../src/ssh/ssh2/internals.ts';

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
