// mlkem768x25519-sha256: the KEM against published vectors, the exchange against a server written from the draft alone.
import { shake128 } from '@noble/hashes/sha3.js';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { connect, type Socket } from 'node:net';
import type { Client } from 'ssh2';
import { describe, expect, test } from 'vitest';
import { installKex, startHybridExchange } from '../../../src/ssh/ssh2/kex.ts';
import { hybridKex, ssh2 } from '../../../src/ssh/ssh2/load.ts';
import { privateParts } from '../../../src/ssh/ssh2/parts.ts';
import { startHybridServer } from '../../helpers/hybrid-server.ts';
import { sshdMissing, startSshd } from '../../helpers/sshd.ts';

test('ML-KEM-768 gives the accumulated vectors of the final FIPS 203, implicit rejection included', () => {
  // 100 rounds of the procedure published with Go's crypto/mlkem: one SHAKE128 stream in, a hash of all results out
  const source = shake128.create({});
  const results = shake128.create({});
  for (let round = 0; round < 100; round += 1) {
    const { publicKey, secretKey } = ml_kem768.keygen(source.xof(64));
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, source.xof(32));
    expect(ml_kem768.decapsulate(cipherText, secretKey)).toEqual(sharedSecret);
    const rejected = ml_kem768.decapsulate(source.xof(1088), secretKey);
    for (const part of [publicKey, cipherText, sharedSecret, rejected]) results.update(part);
  }
  expect(Buffer.from(results.xof(32)).toString('hex')).toBe(
    '1114b1b6699ed191734fa339376afa7e285c9e6acf6ff0177d346696ce564415',
  );
});

test('a reply of a wrong length, or with an X25519 key of low order, gives no secret', () => {
  expect(startHybridExchange().init).toHaveLength(1216);
  expect(() => startHybridExchange().secret(Buffer.alloc(1119, 1))).toThrow('1119 bytes, not 1120');
  expect(() => startHybridExchange().secret(Buffer.alloc(1121, 1))).toThrow('1121 bytes, not 1120');
  const lowOrder = Buffer.concat([Buffer.alloc(1088, 1), Buffer.alloc(32)]);
  expect(() => startHybridExchange().secret(lowOrder)).toThrow();
});

interface Attempt {
  readonly client: Client;
  readonly socket: Socket;
  /** Every negotiated method, first and later exchanges. */
  readonly methods: string[];
  readonly ready: Promise<string>;
}

/** Connects with `none` as the only credential; `ready` is 'ready' or the first error's text. */
function attempt(port: number, kex: readonly string[], over: Record<string, unknown> = {}): Attempt {
  const client = new ssh2.Client();
  const socket = connect(port, '127.0.0.1');
  const methods: string[] = [];
  client.on('handshake', (negotiated) => methods.push(negotiated.kex));
  const ready = new Promise<string>((resolve) => {
    client.on('error', (error) => resolve(error.message));
    client.once('ready', () => resolve('ready'));
  });
  socket.once('connect', () => {
    client.connect({
      sock: socket,
      username: 'root',
      authHandler: ['none'],
      algorithms: { kex: [...kex] as never },
      hostVerifier: () => true,
      readyTimeout: 0,
      ...over,
    });
    installKex(client);
  });
  return { client, socket, methods, ready };
}

const curve = 'curve25519-sha256';

describe('the key exchange', () => {
  test('with a server that takes nothing else succeeds, and the client’s list names the method first', async () => {
    await using server = await startHybridServer();
    const { ready, methods, socket } = attempt(server.port, [hybridKex, curve]);
    expect(await ready).toBe('ready');
    expect(methods).toEqual([hybridKex]);
    expect(server.offered().slice(0, 2)).toEqual([hybridKex, curve]);
    socket.destroy();
  });

  test('is the hybrid one when it is all that we offer', async () => {
    await using server = await startHybridServer({ kex: [curve, hybridKex] });
    const { ready, methods, socket } = attempt(server.port, [hybridKex]);
    expect(await ready).toBe('ready');
    expect(methods).toEqual([hybridKex]);
    socket.destroy();
  });

  test('is done anew when the server asks for it, and when we do', async () => {
    await using server = await startHybridServer();
    const { ready, client, methods, socket } = attempt(server.port, [hybridKex, curve]);
    expect(await ready).toBe('ready');
    server.rekey();
    await server.reached(2);
    const second = new Promise((resolve) => client.once('handshake', resolve));
    privateParts(client)._protocol.rekey();
    await second;
    await server.reached(3);
    expect(methods).toEqual([hybridKex, hybridKex, hybridKex]);
    // and the new keys carry traffic
    const answered = new Promise<void>((resolve) => {
      client.forwardIn('', 1, () => resolve());
    });
    await answered;
    socket.destroy();
  });

  test.each([
    ['a flipped bit in the ciphertext', (reply: Buffer) => flip(reply, 3)],
    ['a flipped bit in the X25519 key', (reply: Buffer) => flip(reply, 1100)],
    ['a short reply', (reply: Buffer) => reply.subarray(0, 1119)],
    ['a long reply', (reply: Buffer) => Buffer.concat([reply, Buffer.alloc(1)])],
  ])('fails with %s', async (_what, spoil) => {
    await using server = await startHybridServer({ spoil });
    const { ready, socket } = attempt(server.port, [hybridKex, curve]);
    expect(await ready).toMatch(/signature verification failed|bytes, not 1120/);
    socket.destroy();
  });
});

function flip(reply: Buffer, at: number): Buffer {
  const spoilt = Buffer.from(reply);
  spoilt[at] = (spoilt[at] ?? 0) ^ 1;
  return spoilt;
}

const withoutIt = { config: [`KexAlgorithms ${curve}`] };

describe.skipIf(sshdMissing() !== null)('a server without the method', () => {
  test('gets the next one, rekey included', async () => {
    await using sshd = await startSshd(withoutIt);
    const { readFileSync } = await import('node:fs');
    const { ready, client, methods, socket } = attempt(sshd.port, [hybridKex, curve], {
      authHandler: [{ type: 'publickey', username: sshd.user, key: readFileSync(sshd.identity) }],
      username: sshd.user,
    });
    expect(await ready).toBe('ready');
    const again = new Promise((resolve) => client.once('handshake', resolve));
    privateParts(client)._protocol.rekey();
    await again;
    expect(methods).toEqual([curve, curve]);
    socket.destroy();
  });

  test('is told so when we take nothing else', async () => {
    await using sshd = await startSshd(withoutIt);
    const { ready, socket } = attempt(sshd.port, [hybridKex]);
    expect(await ready).toContain('no matching key exchange algorithm');
    socket.destroy();
  });

  test('that takes nothing else gets it although it is not our first', async () => {
    await using server = await startHybridServer();
    const { ready, methods, socket } = attempt(server.port, ['ecdh-sha2-nistp256', hybridKex]);
    expect(await ready).toBe('ready');
    expect(methods).toEqual([hybridKex]);
    socket.destroy();
  });
});
