// Servers that do what few do: a raw one says it, the session holds, or ends with a reason and within bounds.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { generateKey } from '../../src/demo/ssh-server.ts';
import type { Session } from '../../src/model/session.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  startHybridServer,
  string,
  type HybridServer,
  type HybridServerOptions,
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
