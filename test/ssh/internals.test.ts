// The private parts of ssh2 that we use, pinned: when one changes, this fails before anything else does.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { PassThrough } from 'node:stream';
import ssh2 from 'ssh2';
import { describe, expect, test } from 'vitest';
import {
  hostKeyTypeList,
  knownVersion,
  missingParts,
  nativeCrypto,
  privateParts,
  supportedAlgorithms,
  type PrivateCipher,
} from '../../src/ssh/internals.ts';
import { certificateTypes } from '../../src/ssh/internals-hostcert.ts';
import { allowHybridKex } from '../../src/ssh/internals-kex.ts';
import { installCork, pooledAllocation } from '../../src/ssh/internals-speed.ts';
import { defaultAlgorithms } from '../../src/ssh/algorithms.ts';

const require = createRequire(import.meta.url);
const packageFile = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  dependencies: Record<string, string>;
};
const { createCipher, CIPHER_INFO } = require('ssh2/lib/protocol/crypto.js') as {
  createCipher: (config: object) => PrivateCipher;
  CIPHER_INFO: Record<string, { keyLen: number; ivLen: number }>;
};

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

  test('supports all our defaults, and host certificates since they were added', () => {
    allowHybridKex();
    const supported = supportedAlgorithms();
    for (const kind of ['kex', 'hostKey', 'cipher', 'mac'] as const)
      for (const name of defaultAlgorithms[kind]) expect(supported[kind]).toContain(name);
    for (const type of certificateTypes) expect(hostKeyTypeList()).toContain(type);
    expect(typeof nativeCrypto()).toBe('boolean');
  });

  test.each(['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'chacha20-poly1305@openssh.com'])(
    'lays out packets of %s as our allocation does',
    (name) => {
      const theirs = cipherOf(name);
      const ours = pooledAllocation(theirs);
      expect(ours).not.toBeNull();
      for (const length of [1, 2, 9, 255, 256, 1000, 8191, 8192, 8300, 32_768, 32_777]) {
        const [expected, made] = [theirs.allocPacket(length), ours?.(length)];
        expect(made?.length).toBe(expected.length);
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

describe('corked writes', () => {
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
    installCork(protocol as never, sink);
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
