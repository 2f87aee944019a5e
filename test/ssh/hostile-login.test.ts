// Servers that talk instead of letting us in: however they do it, the login ends, within bounds, with what they did.
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { generateKey } from '../../src/demo/ssh-server.ts';
import type { TunnelError } from '../../src/errors.ts';
import type { Clock } from '../../src/model/clock.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  startHybridServer,
  string,
  uint32,
  type HybridServerOptions,
  type RawPeer,
} from '../helpers/hybrid-server.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { hostOf, testContext, testDialer, type TestContext } from '../helpers/ssh-dialer.ts';

const anew = { via: null, transport: null };
const identity = join(temporaryFolder('hostile-login'), 'key');
writeFileSync(identity, generateKey().private, { mode: 0o600 });

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one[Symbol.asyncDispose]();
});

const message = (type: number, ...parts: Buffer[]): Buffer => Buffer.concat([Buffer.from([type]), ...parts]);
const banner = (text: string): Buffer => message(53, string(text), string(''));
const ignore = (length: number): Buffer => message(2, string(Buffer.alloc(length)));

/** A server that does this in place of an answer to the first request to log in. */
const insteadOfAnAnswer = (does: (peer: RawPeer) => void): HybridServerOptions => ({
  heard: (payload, peer) => {
    if (payload[0] !== 50) return false;
    does(peer);
    return true;
  },
});

/** Goes on with `piece` until the client hangs up. */
const endlessly =
  (piece: Buffer) =>
  (peer: RawPeer): void => {
    const more = (): void => {
      for (let count = 0; count < 64 && !peer.socket.destroyed; count += 1) peer.send(piece);
      if (!peer.socket.destroyed) setImmediate(more);
    };
    more();
  };

interface Ended {
  readonly error: TunnelError;
  readonly context: TestContext;
}

async function logInto(options: HybridServerOptions, clock?: Clock): Promise<Ended> {
  const server = await startHybridServer(options);
  opened.push(server);
  const { dialer } = testDialer(clock === undefined ? {} : { clock });
  const context = testContext();
  const host = hostOf({ port: server.port, user: 'me', identity });
  return { error: await failureOf(dialer.dial(host, anew, context)), context };
}

describe('a login at a server that never lets us in, but', () => {
  test('sends banner after banner ends at the hundredth', async () => {
    const { error, context } = await logInto(insteadOfAnAnswer(endlessly(banner('Welcome'))));
    expect(error).toMatchObject({ code: 'LINK_LOST', facts: { layer: 'auth' } });
    expect(error.message).toContain('has sent more than 100 banners, and not let us in');
    expect(context.banners).toHaveLength(100);
    expect(context.steps.at(-1)).toMatchObject({ layer: 'auth', status: 'failed' });
  });

  test.each([
    ['what is to be ignored', ignore(32 * 1024)],
    ['debug words', message(4, Buffer.of(1), string('x'.repeat(32 * 1024)), string(''))],
    ['extensions', message(7, uint32(1), string('x'), string('y'.repeat(32 * 1024)))],
  ])('sends %s without end, ends at 4 MiB', async (_what, piece) => {
    const { error } = await logInto(insteadOfAnAnswer(endlessly(piece)));
    expect(error).toMatchObject({ code: 'LINK_LOST', facts: { layer: 'auth' } });
    expect(error.message).toContain('has sent 4 MiB, and not let us in');
  });

  test('says something every minute and a half ends after ten minutes', async () => {
    const clock = manualClock();
    let armed = 0;
    const counting: Clock = {
      ...clock,
      schedule: (delayMs, task) => {
        if (delayMs === 120_000) armed += 1; // a sign of life was seen
        return clock.schedule(delayMs, task);
      },
    };
    let peer: RawPeer | null = null;
    const ended = logInto(
      insteadOfAnAnswer((one) => {
        peer = one;
      }),
      counting,
    );
    await expect.poll(() => peer).not.toBeNull();
    const speaks = async (): Promise<void> => {
      const before = armed;
      (peer as RawPeer | null)?.send(ignore(10));
      await expect.poll(() => armed).toBeGreaterThan(before);
    };
    for (let minutes = 0; minutes < 9; minutes += 1.5) {
      await speaks();
      clock.advance(90_000);
    }
    await speaks();
    clock.advance(60_000);
    const { error } = await ended;
    expect(error).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'auth' } });
    expect(error.message).toContain('has not let us in for 10 minutes');
    expect(clock.armed()).toBe(0);
  });

  test('says nothing to it at all ends after two minutes', async () => {
    const clock = manualClock();
    let ask = (): void => undefined;
    const asked = new Promise<void>((resolve) => (ask = resolve));
    const ended = logInto(insteadOfAnAnswer(ask), clock);
    let over = false;
    void ended.then(() => (over = true));
    await asked;
    clock.advance(119_999);
    await new Promise(setImmediate);
    expect(over).toBe(false);
    clock.advance(1);
    const { error, context } = await ended;
    expect(error).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'auth' } });
    expect(context.steps.at(-1)).toMatchObject({ layer: 'auth', status: 'failed' });
    expect(clock.armed()).toBe(0);
  });

  test('answers with messages of a session that is not there ends, and opens nothing', async () => {
    for (const type of [90, 91, 94, 80]) {
      const { error } = await logInto(
        insteadOfAnAnswer((peer) => {
          peer.send(message(type, string('x'), uint32(0)));
          peer.socket.end();
        }),
      );
      expect(error.facts).toMatchObject({ layer: 'auth' });
    }
  });
});

test('a banner after the login is nobody’s: a session shows none', async () => {
  const server = await startHybridServer();
  opened.push(server);
  const context = testContext();
  const host = hostOf({ port: server.port, user: 'me', identity });
  const session = await testDialer().dialer.dial(host, anew, context);
  for (let count = 0; count < 200; count += 1) server.peer().send(banner('Your password:'));
  expect(await session.ping(5000)).toBeGreaterThan(0);
  expect(context.banners).toEqual([]);
  await session.close();
});

describe('a server that begins, and never comes to its identification', () => {
  /** Writes until the client hangs up; resolves with what it took. */
  async function greets(piece: string): Promise<{ error: TunnelError; bytes: number }> {
    const sockets = new Set<Socket>();
    let bytes = 0;
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => (bytes = socket.bytesWritten));
      const more = (): void => {
        if (!socket.destroyed) socket.write(piece, () => setImmediate(more));
      };
      more();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    });
    const { port } = server.address() as AddressInfo;
    const host = hostOf({ port, user: 'me', identity }, { connectTimeoutMs: 60_000 });
    const error = await failureOf(testDialer().dialer.dial(host, anew, testContext()));
    await expect.poll(() => bytes).toBeGreaterThan(0);
    return { error, bytes };
  }

  test.each([
    ['lines', 'Please wait\r\n'.repeat(64)],
    ['one line', 'Please wait. '.repeat(64)],
    ['nothing but line ends', '\n'.repeat(1000)],
    ['escape sequences', '\u001b[2J\u001b]0;x\u0007\n'.repeat(64)],
  ])('with %s without end is let go of', async (_what, piece) => {
    const { error, bytes } = await greets(piece);
    expect(error).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex' } });
    expect(error.message).toContain('does not speak SSH');
    expect(error.message).not.toContain('\u001b');
    expect(bytes).toBeLessThan(16 * 1024 * 1024);
  });
});

describe('a packet before the keys', () => {
  const ident = Buffer.from('SSH-2.0-Test\r\n');
  test.each([0, 1, 4, 5, 11, 13, 256 * 1024 + 4, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1])(
    'of a length of %i ends the attempt',
    async (length) => {
      const { error } = await logInto({
        greet: (socket) => void socket.write(Buffer.concat([ident, uint32(length), Buffer.alloc(64, 20)])),
      });
      expect(error).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex' } });
    },
  );

  test('that comes before the algorithms of a strict server ends the attempt (Terrapin)', async () => {
    const kex = ['mlkem768x25519-sha256', 'kex-strict-s-v00@openssh.com'];
    const packet = Buffer.concat([uint32(12), Buffer.of(6), ignore(0), Buffer.alloc(6)]);
    const greet: HybridServerOptions['greet'] = (socket, words) =>
      void socket.write(Buffer.concat([Buffer.from(`${words}\r\n`), packet]));
    const { error } = await logInto({ kex, greet });
    expect(error).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex' } });
  });
});
