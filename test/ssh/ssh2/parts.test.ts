// The private parts of ssh2 that we use, pinned: when one changes, this fails before anything else does.
import { readFileSync } from 'node:fs';
import { createDecipheriv } from 'node:crypto';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import {
  knownVersion,
  missingParts,
  nativeCrypto,
  privateParts,
  supportedAlgorithms,
  type PrivateCipher,
} from '../../../src/ssh/ssh2/parts.ts';
import { usableAlgorithms, offeredByDefault } from '../../../src/keys/algorithms.ts';
import { certificateTypes, largestPacket, ssh2 } from '../../../src/ssh/ssh2/load.ts';
import { installCork, installPadding, mostQueued, pooledAllocation } from '../../../src/ssh/ssh2/speed.ts';
import { watchArrivals } from '../../../src/ssh/ssh2/wire.ts';

const require = createRequire(import.meta.url);
const packageFile = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>;
};
const cryptoParts = require('ssh2/lib/protocol/crypto.js') as {
  createCipher: (config: object) => PrivateCipher;
  createDecipher: (config: object) => { decrypt(chunk: Buffer, from: number, length: number): void };
  MAC_INFO: Record<string, { len: number }>;
  /** Resolves when the WASM of poly1305 is there. */
  init: Promise<void>;
  CIPHER_INFO: Record<string, { keyLen: number; ivLen: number }>;
};

const { createCipher, createDecipher, CIPHER_INFO, MAC_INFO } = cryptoParts;

function connectedClient(): InstanceType<typeof ssh2.Client> {
  const client = new ssh2.Client();
  client.on('error', () => undefined);
  client.connect({ sock: new PassThrough(), username: 'me' });
  return client;
}

function cipherOf(name: string): PrivateCipher {
  const info = CIPHER_INFO[name];
  if (info === undefined) throw new Error(`no cipher ${name}`);
  return createCipher({
    outbound: {
      seqno: 0,
      onWrite: () => undefined,
      cipherInfo: info,
      cipherIV: Buffer.alloc(info.ivLen),
      cipherKey: Buffer.alloc(info.keyLen),
    },
  });
}

describe('the ssh2 we know', () => {
  test('is the one we depend on, exactly', () => {
    expect(packageFile.dependencies['ssh2']).toBe(knownVersion);
  });

  test('has every part we use', () => {
    expect(missingParts(connectedClient())).toEqual([]);
  });

  test('is not believed to be whole when a part is missing', () => {
    const client = connectedClient();
    delete privateParts(client)._protocol._handlers['CHANNEL_DATA'];
    expect(missingParts(client)).toEqual(['CHANNEL_DATA']);
    expect(missingParts(new ssh2.Client())).toContain('_protocol');
  });

  test('is missed by name when it is another one', () => {
    expect(missingParts({ _protocol: { _handlers: {} } } as never)).toEqual(
      expect.arrayContaining(['USERAUTH_FAILURE', '_authsQueue', '_packetRW.write.alloc']),
    );
    expect(missingParts({} as never)).toContain('_protocol');
  });

  test('has the hybrid method in its list a single time, and takes it into its offer', () => {
    const { SUPPORTED_KEX } = require('ssh2/lib/protocol/constants.js') as { SUPPORTED_KEX: string[] };
    expect(SUPPORTED_KEX.filter((name) => name === 'mlkem768x25519-sha256')).toHaveLength(1);
    const client = new ssh2.Client();
    client.on('error', () => undefined);
    client.connect({
      sock: new PassThrough(),
      username: 'x',
      readyTimeout: 0,
      algorithms: { kex: ['mlkem768x25519-sha256', 'curve25519-sha256'] as never },
    });
    expect(privateParts(client)._protocol._offer.lists.kex.array.slice(0, 2)).toEqual([
      'mlkem768x25519-sha256',
      'curve25519-sha256',
    ]);
    client.destroy();
  });

  test('supports all our defaults, and host certificates since they were added', () => {
    const supported = supportedAlgorithms();
    for (const kind of ['kex', 'hostKey', 'cipher', 'mac'] as const)
      for (const name of offeredByDefault[kind]) expect(supported[kind]).toContain(name);
    for (const type of certificateTypes) expect(supported.hostKey).toContain(type);
    // What the config is judged by is what can be had.
    for (const kind of ['kex', 'hostKey', 'cipher', 'mac'] as const)
      expect([...usableAlgorithms[kind]].sort(), kind).toEqual([...supported[kind]].sort());
    expect(typeof nativeCrypto()).toBe('boolean');
  });

  test.each(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'])(
    'lays out packets of %s as our allocation does',
    (name) => {
      const theirs = cipherOf(name);
      const ours = pooledAllocation(theirs);
      expect(ours).not.toBeNull();
      const tag = theirs.constructor.name === 'AESGCMCipherNative' ? 16 : 0; // written into the packet by us
      for (const length of [1, 2, 9, 255, 256, 1000, 8191, 8192, 8300, 32_768, 32_777]) {
        const [expected, made] = [theirs.allocPacket(length), ours?.(length)];
        expect(made?.length).toBe(expected.length + tag);
        expect(made?.subarray(0, 5)).toEqual(expected.subarray(0, 5));
      }
    },
  );

  test('keeps its own allocation where we do not know the layout', () => {
    expect(
      pooledAllocation({ allocPacket: () => Buffer.alloc(0), encrypt: () => undefined, outSeqno: 0 }),
    ).toBeNull();
  });
});

test('a server whose requests pile up behind new keys that it never makes is told of', () => {
  const queue: Buffer[] = [];
  const parse = (_chunk: Buffer, _from: number, _length: number): unknown => queue.push(Buffer.alloc(1));
  const client = { _protocol: { parse, _queue: queue, _destruct: true } };
  let told = 0;
  watchArrivals(client as never, () => (told += 1));
  const request = Buffer.from('SSH-2.0-Test\r\n');
  for (let count = 0; count < mostQueued - 1; count += 1) client._protocol.parse(request, 0, request.length);
  expect(told).toBe(0);
  client._protocol.parse(request, 0, request.length);
  expect(told).toBe(1);
});

describe('packets of 200 KiB', () => {
  const macOf = (cipher: string): object | undefined =>
    /gcm|poly1305/.test(cipher) ? undefined : MAC_INFO[cipher.endsWith('cbc') ? 'hmac-sha1' : etm];
  const etm = 'hmac-sha2-256-etm@openssh.com';
  const kinds = ['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes256-ctr', 'aes128-cbc'];

  test.each(kinds.flatMap((cipher) => [true, false].map((forceNative) => ({ cipher, forceNative }))))(
    'are taken and longer ones refused by $cipher, native code left out: $forceNative',
    async ({ cipher, forceNative }) => {
      await cryptoParts.init;
      const info = CIPHER_INFO[cipher];
      const [key, iv, macKey] = [
        Buffer.alloc(info?.keyLen ?? 0, 1),
        Buffer.alloc(info?.ivLen ?? 0, 2),
        Buffer.alloc(64),
      ];
      const mac = macOf(cipher) as { len: number } | undefined;
      const own = { seqno: 0, forceNative, macInfo: mac, macKey: macKey.subarray(0, mac?.len) };
      const wire: Buffer[] = [];
      const sealed = createCipher({
        outbound: {
          ...own,
          onWrite: (chunk: Buffer) => wire.push(Buffer.from(chunk)),
          cipherInfo: info,
          cipherIV: Buffer.from(iv),
          cipherKey: key,
        },
      });
      const payloads: number[] = [];
      const opened = createDecipher({
        inbound: {
          ...own,
          onPayload: (payload: Buffer) => void payloads.push(payload.length),
          decipherInfo: info,
          decipherIV: Buffer.from(iv),
          decipherKey: key,
        },
      });
      for (const length of [200 * 1024, 10]) sealed.encrypt(sealed.allocPacket(length));
      const bytes = Buffer.concat(wire.splice(0));
      for (let from = 0; from < bytes.length; from += 65_536) {
        const piece = Buffer.from(bytes.subarray(from, from + 65_536));
        opened.decrypt(piece, 0, piece.length);
      }
      expect(payloads).toEqual([200 * 1024, 10]);
      sealed.encrypt(sealed.allocPacket(largestPacket));
      const long = Buffer.concat(wire);
      expect(() => opened.decrypt(long, 0, long.length)).toThrow('Bad packet length');
    },
  );

  test('are not what a compressed one may become: it is refused before it is unpacked', () => {
    const { ZlibPacketReader, ZlibPacketWriter } = require('ssh2/lib/protocol/zlib.js') as {
      ZlibPacketReader: new () => { read(packet: Buffer): Buffer };
      ZlibPacketWriter: new (protocol: object) => { finalize(payload: Buffer): Buffer };
    };
    const cipher = { allocPacket: (length: number) => Buffer.alloc(5 + length) };
    const packed = (length: number): Buffer =>
      new ZlibPacketWriter({ _cipher: cipher }).finalize(Buffer.alloc(length)).subarray(5);
    expect(new ZlibPacketReader().read(packed(200 * 1024))).toHaveLength(200 * 1024);
    expect(() => new ZlibPacketReader().read(packed(64 * 1024 * 1024))).toThrow('exceeded maximum');
  });
});

describe('padding', () => {
  test('is random and never the same twice', () => {
    const allocate = pooledAllocation(cipherOf('aes128-gcm@openssh.com'));
    const seen = new Set<string>();
    for (let count = 0; count < 5000; count += 1) {
      const packet = allocate?.(5) ?? Buffer.alloc(0);
      seen.add(packet.subarray(10, 10 + (packet[4] ?? 0)).toString('hex'));
    }
    expect(seen.size).toBe(5000);
  });
});

describe('AES-GCM without native code', () => {
  test('writes each packet as one piece, in the memory it was made in, as RFC 5647 has it', () => {
    const written: Buffer[] = [];
    class AESGCMCipherNative {
      _encSSLName = 'aes-128-gcm' as const;
      _encKey = Buffer.alloc(16, 'k');
      _encIV = Buffer.from('00000001000000000000fffe', 'hex');
      _dead = false;
      outSeqno = 0xffffffff;
      _onWrite = (packet: Buffer): void => void written.push(packet);
      allocPacket = (length: number): Buffer => Buffer.alloc(length);
      encrypt = (): void => undefined;
    }
    const protocol: { _cipher: PrivateCipher } = { _cipher: new AESGCMCipherNative() };
    installPadding(protocol as never);
    const cipher = new AESGCMCipherNative();
    protocol._cipher = cipher;
    const packets = [1, 300, 20_000].map((length) => {
      const packet = protocol._cipher.allocPacket(length);
      const plain = Buffer.from(packet.fill('p', 5, 5 + length));
      protocol._cipher.encrypt(packet);
      expect(written.at(-1)).toBe(packet);
      return { packet, plain };
    });
    const counted = ['00000001000000000000fffe', '00000001000000000000ffff', '000000010000000000010000'];
    for (const [at, { packet, plain }] of packets.entries()) {
      const iv = Buffer.from(counted[at] ?? '', 'hex');
      const gcm = createDecipheriv('aes-128-gcm', cipher._encKey, iv).setAutoPadding(false);
      gcm.setAAD(packet.subarray(0, 4)).setAuthTag(packet.subarray(-16));
      const opened = Buffer.concat([gcm.update(packet.subarray(4, -16)), gcm.final()]);
      expect(packet.readUInt32BE(0)).toBe(opened.length);
      expect(opened.equals(plain.subarray(4, -16))).toBe(true);
    }
    expect(cipher.outSeqno).toBe(2);
    cipher._dead = true;
    protocol._cipher.encrypt(protocol._cipher.allocPacket(1));
    expect(written).toHaveLength(3);
  });
});

describe('corked writes', () => {
  test('that nobody takes are told of by their number, whatever their size', async () => {
    const { Writable } = await import('node:stream');
    const sink = new Writable({ write: () => undefined }); // says of nothing that it was written
    const protocol = { _onWrite: (): void => undefined };
    let told = 0;
    installCork(protocol as never, sink, () => (told += 1));
    const write = protocol._onWrite as (chunk: Buffer) => void;
    write(Buffer.alloc(64 * 1024));
    for (let count = 0; count < mostQueued; count += 1) write(Buffer.alloc(1));
    expect(told).toBe(0);
    write(Buffer.alloc(1));
    expect(told).toBe(1);
  });

  test('of one turn go out together, in order, and a big buffer is used again only when it was written', async () => {
    const allocate = pooledAllocation(cipherOf('aes128-gcm@openssh.com'));
    const batches: Buffer[][] = [];
    let finish: () => void = () => undefined;
    const { Writable } = await import('node:stream');
    const sink = new Writable({
      writev(chunks, done) {
        batches.push(chunks.map(({ chunk }) => chunk as Buffer));
        finish = done;
      },
    });
    const protocol = { _onWrite: (): void => undefined };
    installCork(protocol as never, sink, () => undefined);
    const write = protocol._onWrite as (chunk: Buffer) => void;
    const first = allocate?.(20_000) ?? Buffer.alloc(0);
    write(first);
    write(Buffer.from('small'));
    expect(batches).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(batches).toEqual([[first, Buffer.from('small')]]);
    expect(allocate?.(20_000).buffer).not.toBe(first.buffer);
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    expect(allocate?.(20_000).buffer).toBe(first.buffer);
  });
});
