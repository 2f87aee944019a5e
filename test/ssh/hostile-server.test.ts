// Servers that do what few do: a raw one says it, the session holds, or ends with a reason and within bounds.
import { writeFileSync } from 'node:fs';
import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { generateKey } from '../../src/demo/ssh-server.ts';
import type { Channel, Session } from '../../src/model/session.ts';
import { mostQueued } from '../../src/ssh/ssh2/speed.ts';
import { readChannel } from '../helpers/channel-reader.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  startHybridServer,
  string,
  uint32,
  type HybridServer,
  type HybridServerOptions,
  type RawPeer,
} from '../helpers/hybrid-server.ts';
import { hostOf, testContext, testDialer, type TestContext } from '../helpers/ssh-dialer.ts';

const anew = { via: null, transport: null };
const opened: (HybridServer | Session)[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).toReversed()) {
    if ('close' in one) await one.close();
    else await one[Symbol.asyncDispose]();
  }
});

interface Scene {
  readonly server: HybridServer;
  readonly session: Session;
  readonly context: TestContext;
  readonly logged: readonly string[];
}

async function meet(options: HybridServerOptions): Promise<Scene> {
  const server = await startHybridServer(options);
  opened.push(server);
  const identity = join(temporaryFolder('hostile'), 'key');
  writeFileSync(identity, generateKey().private, { mode: 0o600 });
  const context = testContext();
  const { dialer, logged } = testDialer();
  const host = hostOf({ port: server.port, user: 'me', identity }, { algorithms: gcm });
  const session = await dialer.dial(host, anew, context);
  opened.push(session);
  return { server, session, context, logged };
}

const gcm = { kex: null, cipher: ['aes128-gcm@openssh.com'], mac: null, hostKey: null, pubkey: null };

/** Writes each piece in a packet of its own: the client, in this same process, reads it in one of the next turns. */
async function inPieces(
  write: (piece: string, done: () => void) => void,
  pieces: readonly string[],
): Promise<void> {
  for (const piece of pieces) {
    await new Promise<void>((resolve) => write(piece, resolve));
    for (let turns = 0; turns < 3; turns += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('an identification that comes in pieces', () => {
  test.each([
    ['three', ['SSH-2.0-', 'Hybrid', 'Test\r\n']],
    ['its bytes', Array.from('SSH-2.0-HybridTest\r\n')],
    [
      'lines cut anywhere before it',
      ['We', 'lcome\r\nto gate.exa', 'mple.org\n', 'SSH', '-2.0-HybridTest\r', '\n'],
    ],
  ])('of %s is taken', async (_what, pieces) => {
    const { session } = await meet({
      greet: (socket) => {
        const write = socket.write.bind(socket);
        const later: Buffer[] = [];
        socket.write = ((chunk: Buffer) => later.push(chunk) > 0) as never; // what follows waits for it
        void inPieces((piece, done) => write(piece, done), pieces).then(() => {
          socket.write = write;
          for (const chunk of later) write(chunk);
        });
      },
    });
    expect(await session.ping(5000)).toBeGreaterThan(0);
  });
});

const banner = (text: string): Buffer => Buffer.concat([Buffer.from([53]), string(text), string('')]);
const ignore = (length: number): Buffer =>
  Buffer.concat([Buffer.from([2]), string(Buffer.alloc(length, 'i'))]);
/** A userauth request: what the client says first once it may log in. */
const asksToLogIn = (payload: Buffer): boolean => payload[0] === 50;

describe('a packet of up to 256 KiB', () => {
  test('is taken during the login, as a banner', async () => {
    const text = `Welcome.\n${'All that is done here is written down. '.repeat(6000)}\nEnd.`;
    const { context } = await meet({
      heard: (payload, peer) => {
        if (asksToLogIn(payload)) peer.send(banner(text));
        return false;
      },
    });
    expect(context.banners).toHaveLength(1);
    expect(context.banners[0]).toMatch(/^Welcome\.\nAll .*\nEnd\.$/);
  });

  test('is taken before the login, as a list of algorithms', async () => {
    const kex = [
      'mlkem768x25519-sha256',
      ...Array.from({ length: 9000 }, (_, index) => `kex-${index}@example.org`),
    ];
    const { session } = await meet({ kex });
    expect(session.algorithms.kex).toBe('mlkem768x25519-sha256');
  });

  test('is taken afterwards, and one that is longer ends the link', async () => {
    const { server, session } = await meet({});
    server.peer().send(ignore(250 * 1024));
    expect(await session.ping(5000)).toBeGreaterThan(0);
    const ended = new Promise((resolve) => session.onEnd(resolve));
    server.peer().send(ignore(257 * 1024));
    expect(await ended).toMatchObject({
      code: 'LINK_LOST',
      message: expect.stringContaining('packet length'),
    });
  });
});

const message = (type: number, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from([type]), ...parts]);
const nameOf = (payload: Buffer): string => payload.toString('latin1', 5, 5 + payload.readUInt32BE(1));
/** Answers an open with channel 7 there. */
const takesChannels = (payload: Buffer, peer: RawPeer): boolean => {
  if (payload[0] !== 90) return false;
  const ours = payload.readUInt32BE(5 + payload.readUInt32BE(1));
  peer.send(message(91, uint32(ours), uint32(7), uint32(2 ** 21), uint32(2 ** 15)));
  return true;
};
const target = { kind: 'tcp', host: 'db.example.org', port: 5432 } as const;
const origin = { host: '127.0.0.1', port: 0 };
const limits = { timeoutMs: 5000 };
const strict = ['mlkem768x25519-sha256', 'kex-strict-s-v00@openssh.com'];

describe('a later key exchange', () => {
  test.each([[strict], [strict.slice(0, 1)]])(
    'with %j lets through what is no part of it: generic messages, data, an end',
    async (kex) => {
      const { server, session } = await meet({
        kex,
        heard: takesChannels,
        midway: (peer, done) => {
          if (done === 0) return;
          peer.send(ignore(100));
          peer.send(message(4, Buffer.of(1), string('thinking'), string('')));
          peer.send(message(3, uint32(5)));
          peer.send(message(94, uint32(0), string('sent in between')));
          peer.send(message(80, string('keepalive@openssh.com'), Buffer.of(1)));
          peer.send(message(96, uint32(0)));
        },
      });
      const read = readChannel(await session.openChannel(target, origin, limits));
      const rekeyed = server.reached(2);
      server.rekey();
      await Promise.all([rekeyed, read.ended]);
      expect(read.bytes().toString()).toBe('sent in between');
      expect(await session.ping(5000)).toBeGreaterThan(0);
    },
  );

  test.each([
    ['another key exchange', 20],
    ['a service', 6],
    ['a login', 52],
  ])('does not let through %s', async (_what, type) => {
    const { server, session } = await meet({
      kex: strict,
      midway: (peer, done) => done > 0 && peer.send(message(type)),
    });
    const ended = new Promise((resolve) => session.onEnd(resolve));
    server.rekey();
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
  });

  test('the first one lets through nothing else where it is strict', async () => {
    const options = { kex: strict, midway: (peer: RawPeer) => peer.send(ignore(100)) };
    await expect(meet(options)).rejects.toMatchObject({ code: 'KEX_FAILED' });
  });
});

test('a server that asks and asks, and never makes the new keys that the answers wait for, loses its link', async () => {
  const question = message(80, string('keepalive@openssh.com'), Buffer.of(1));
  const { server, session } = await meet({
    kex: strict,
    midway: (peer, done) => {
      for (let count = 0; done > 0 && count < 1.2 * mostQueued; count += 1) peer.send(question);
    },
  });
  const ended = new Promise((resolve) => session.onEnd(resolve));
  server.rekey();
  const lived = server.reached(2).then(() => 'it made the keys, and is answered everything');
  expect(await Promise.race([ended, lived])).toMatchObject({
    code: 'LINK_LOST',
    message: expect.stringContaining('does not read what it is sent'),
  });
});

describe('a port that the server chose', () => {
  /** A server that says which port it chose, and hands on connections to `named`. */
  const chooses = (port: number): HybridServerOptions => ({
    heard: (payload, peer) => {
      if (payload[0] !== 80 || nameOf(payload) !== 'tcpip-forward') return false;
      peer.send(message(81, uint32(port)));
      return true;
    },
  });
  const handOn = (server: HybridServer, host: string, port: number): void =>
    server
      .peer()
      .send(
        message(
          90,
          string('forwarded-tcpip'),
          uint32(3),
          uint32(2 ** 21),
          uint32(2 ** 15),
          string(host),
          uint32(port),
          string('203.0.113.9'),
          uint32(1234),
        ),
      );
  const listenAt = (session: Session, host: string, port: number): Promise<string> =>
    new Promise((resolve) => {
      const accept = (channel: Channel, from: { host: string }): void => {
        channel.close();
        resolve(`${host} took ${from.host}`);
      };
      void session.listenRemote({ kind: 'tcp', host, port }, accept, limits);
    });

  test.each([
    ['127.0.0.1', 0],
    ['localhost', 45_000],
    ['127.0.0.1', 45_000],
  ])('takes connections that are named %s port %i', async (host, port) => {
    const { server, session } = await meet(chooses(45_000));
    const taken = listenAt(session, '127.0.0.1', 0);
    await session.ping(5000);
    await session.ping(5000);
    handOn(server, host, port);
    expect(await taken).toBe('127.0.0.1 took 203.0.113.9');
  });

  test('takes none that could be for another, and says so, once', async () => {
    const { server, session, logged } = await meet(chooses(45_000));
    void listenAt(session, '127.0.0.1', 0);
    void listenAt(session, '127.0.0.1', 0);
    await session.ping(5000);
    await session.ping(5000);
    handOn(server, 'other.example.org', 46_000);
    handOn(server, 'other.example.org', 46_000);
    await session.ping(5000);
    expect(logged.filter((line) => line.includes('remote-stray'))).toEqual([
      'warn remote-stray the server handed on a connection to other.example.org:46000, which no forward asked for: refused',
    ]);
  });
});

describe('a server that asks', () => {
  test('whose host keys are ours to check checks them once', async () => {
    const asked: string[] = [];
    const { server, session } = await meet({
      heard: (payload) => {
        if (payload[0] === 80) asked.push(nameOf(payload));
        return false;
      },
    });
    const offer = message(80, string('hostkeys-00@openssh.com'), Buffer.of(0), string(hostKeyBlob()));
    for (let count = 0; count < 5; count += 1) server.peer().send(offer);
    await session.ping(5000); // all of that is read here
    await session.ping(5000); // and the answers there
    expect(asked.filter((name) => name.startsWith('hostkeys-prove'))).toHaveLength(1);
  });

  test('whether a channel lives is answered', async () => {
    const answers: number[] = [];
    const { server, session } = await meet({
      heard: (payload, peer) => {
        if (payload[0] === 99 || payload[0] === 100) answers.push(payload.readUInt32BE(1));
        return takesChannels(payload, peer);
      },
    });
    readChannel(await session.openChannel(target, origin, limits));
    server.peer().send(message(98, uint32(0), string('keepalive@openssh.com'), Buffer.of(1)));
    server.peer().send(message(98, uint32(0), string('exit-status'), Buffer.of(0), uint32(0)));
    server.peer().send(message(98, uint32(55), string('keepalive@openssh.com'), Buffer.of(1)));
    await session.ping(5000); // all of that is read here
    await session.ping(5000); // and the answers there
    expect(answers).toEqual([7]);
  });
});

function hostKeyBlob(): Buffer {
  const { publicKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  return Buffer.concat([string('ssh-ed25519'), string(raw)]);
}
