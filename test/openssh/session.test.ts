// A session against a real sshd: login, channels both ways, and ends of every kind.
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sshAlgorithms } from '../../src/config/algorithms.ts';
import { needsPerson, retryHelps, TunnelError } from '../../src/errors.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { Session } from '../../src/model/session.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sendSignal, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hintOf } from '../helpers/hint.ts';

const origin = { host: '127.0.0.1', port: 1 };
const anew = { via: null, transport: null };
const limits = { timeoutMs: 10_000 };

/** Why a session ended. */
const endOf = (session: Session): Promise<TunnelError | null> =>
  new Promise((resolve) => session.onEnd(resolve));

describe.skipIf(sshdMissing() !== null)('a session', () => {
  let sshd: Sshd;
  let echo: Server;
  let target: ReturnType<typeof tcp>;

  beforeAll(async () => {
    sshd = await startSshd();
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    target = tcp('127.0.0.1', (echo.address() as AddressInfo).port);
  });
  afterAll(async () => {
    await sshd.stop();
    echo.close();
  });

  test('logs in, carries bytes both ways with half-close, and ends', async () => {
    const { dialer } = testDialer();
    const context = testContext();
    const session = await dialer.dial(hostOf(sshd), anew, context);
    expect(session.algorithms.cipher).toBe('aes128-gcm@openssh.com');
    expect(session.login.accepted).toHaveLength(1);
    expect(context.steps.map(({ layer, status }) => `${layer} ${status}`)).toEqual([
      'tcp ok',
      'kex ok',
      'host-key ok',
      'auth ok',
    ]);

    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel);
    await writeAll(channel, read, [Buffer.from('this is '), Buffer.from('a test')]);
    channel.end();
    await read.ended;
    expect(read.bytes().toString()).toBe('this is a test');
    expect(await read.closed).toBe(true);

    const ended = endOf(session);
    await session.close();
    expect(await ended).toBeNull();
    expect(await endOf(session)).toBeNull();
    expect(await failureOf(session.openChannel(target, origin, limits))).toMatchObject({ code: 'LINK_LOST' });
  });

  test('delivers what came before a reader was there', async () => {
    const greeter = createServer((socket) => socket.end('220 ready\r\n'));
    await new Promise<void>((resolve) => greeter.listen(0, '127.0.0.1', resolve));
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(sshd), anew, testContext());
    const channel = await session.openChannel(
      tcp('127.0.0.1', (greeter.address() as AddressInfo).port),
      origin,
      limits,
    );
    await session.ping(5000); // by now the greeting and its end have arrived
    const read = readChannel(channel);
    await read.ended;
    expect(read.bytes().toString()).toBe('220 ready\r\n');
    channel.close();
    expect(await read.closed).toBe(true);
    await session.close();
    greeter.close();
  });

  test('measures its round trip', async () => {
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(sshd), anew, testContext());
    const ms = await session.ping(5000);
    expect(ms).toBeGreaterThan(0);
    expect(session.latencyMs).toBeGreaterThan(0);
    expect(session.latencyMs).toBeLessThanOrEqual(Math.ceil(ms * 100) / 100);
    await session.close();
  });

  test.each([
    ['aes128-gcm@openssh.com', null],
    ['chacha20-poly1305@openssh.com', null],
    ['aes256-ctr', 'hmac-sha2-256-etm@openssh.com'],
  ])('carries 30 MB both ways through rekeys every 2 MB with %s', async (cipher, mac) => {
    await using rekeying = await startSshd({ config: ['RekeyLimit 2M'] });
    const { dialer } = testDialer();
    const session = await dialer.dial(
      hostOf(rekeying, {
        algorithms: {
          kex: null,
          cipher: [cipher],
          mac: mac === null ? null : [mac],
          hostKey: null,
          pubkey: null,
        },
      }),
      anew,
      testContext(),
    );
    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel, false);
    const sent = createHash('sha256');
    const chunks = Array.from({ length: 30 * 16 }, () => randomBytes(64 * 1024));
    for (const chunk of chunks) sent.update(chunk);
    await writeAll(channel, read, chunks);
    channel.end();
    await read.ended;
    expect(read.sha256()).toBe(sent.digest('hex'));
    expect(rekeying.log().split('SSH2_MSG_KEXINIT sent').length).toBeGreaterThan(10);
    await session.close();
  });

  test('asks for fresh keys itself when the server does not', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer({ keyLimits: { bytes: 1024 * 1024, packets: 1000 } });
    const session = await dialer.dial(hostOf(own), anew, testContext());
    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel, false);
    const chunks = Array.from({ length: 10 * 16 }, () => Buffer.alloc(64 * 1024, 1));
    await writeAll(channel, read, chunks);
    channel.end();
    await read.ended;
    expect(read.received()).toBe(10 * 1024 * 1024);
    expect(own.log().split('rekey').length).toBeGreaterThan(10);
    await session.close();
  });

  test('tells that a ping is late, and of life after that', async () => {
    await using own = await startSshd();
    const clock = manualClock();
    const session = await testDialer({ clock }).dialer.dial(hostOf(own), anew, testContext());
    // one after the other: those that a fresh session sends by itself are answered too
    for (let pings = 0; pings < 6; pings += 1) await session.ping(10_000);
    const told: boolean[] = [];
    session.onLate((late) => told.push(late));
    const pids = own.signalSessions('SIGSTOP');
    const answer = session.ping(5_000);
    clock.advance(1_999);
    expect(told).toEqual([]);
    clock.advance(1);
    expect(told).toEqual([true]);
    sendSignal(pids, 'SIGCONT');
    await answer;
    expect(told).toEqual([true, false]);
    await session.close();
  });

  test('lets a ping fail, and ends, when nothing answers', async () => {
    await using own = await startSshd();
    const session = await testDialer().dialer.dial(hostOf(own), anew, testContext());
    await session.ping(10_000); // only then the server's last process of the session is there
    const pids = own.signalSessions('SIGSTOP');
    const ended = endOf(session);
    expect((await failureOf(session.ping(50))).code).toBe('LINK_LOST');
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
    sendSignal(pids, 'SIGCONT');
  });

  test('ends every channel uncleanly when the session process is killed', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(own), anew, testContext());
    const ended = endOf(session);
    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel);
    own.signalSessions('SIGKILL');
    expect(await read.closed).toBe(false);
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
    await session.close();
  });

  test('notices a frozen server by its silence and says for how long', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer();
    const session = await dialer.dial(
      hostOf(own, { keepalive: { intervalMs: 100, count: 2 } }),
      anew,
      testContext(),
    );
    const ended = endOf(session);
    const pids = own.signalSessions('SIGSTOP');
    const reason = await ended;
    sendSignal(pids, 'SIGCONT');
    expect(reason).toMatchObject({ code: 'LINK_LOST' });
    expect(reason?.message).toContain(`link lost: no byte from test (127.0.0.1:${own.port}) for 0.3s`);
  });

  test('closes within a second even when the server is frozen', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(own), anew, testContext());
    const pids = own.signalSessions('SIGSTOP');
    const started = performance.now();
    await session.close();
    expect(performance.now() - started).toBeLessThan(1000);
    sendSignal(pids, 'SIGCONT');
  });

  test('names the target that refuses, and stays', async () => {
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(sshd), anew, testContext());
    const port = await freePort();
    const refused = await failureOf(session.openChannel(tcp('127.0.0.1', port), origin, limits));
    expect(refused).toMatchObject({ code: 'FORWARD_REFUSED', facts: { reason: 'connect-failed' } });
    expect(refused.message).toContain(`127.0.0.1:${port}`);
    expect(refused.message).toContain('Connection refused');
    const channel = await session.openChannel(target, origin, limits);
    channel.close();
    await session.close();
  });

  test.each([
    ['PermitOpen 127.0.0.1:1', /PermitOpen/],
    ['AllowTcpForwarding no', /AllowTcpForwarding/],
    ['DisableForwarding yes', /DisableForwarding/],
  ])('says which settings can forbid a target: %s', async (line, hint) => {
    await using own = await startSshd({ config: [line] });
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(own), anew, testContext());
    const refused = await failureOf(session.openChannel(target, origin, limits));
    expect(refused).toMatchObject({ code: 'FORWARD_REFUSED', facts: { reason: 'prohibited' } });
    expect(hintOf(refused)).toMatch(hint);
    await session.close();
  });

  test('gives up an opening in time, and closes it when it is answered after all', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(own), anew, testContext());
    const pids = own.signalSessions('SIGSTOP');
    expect(await failureOf(session.openChannel(target, origin, { timeoutMs: 50 }))).toMatchObject({
      code: 'TIMED_OUT',
    });
    const stopped = new AbortController();
    const opening = session.openChannel(target, origin, { timeoutMs: 10_000, signal: stopped.signal });
    stopped.abort();
    expect(await failureOf(opening)).toMatchObject({ code: 'LINK_LOST' });
    sendSignal(pids, 'SIGCONT');
    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel);
    channel.end();
    await read.ended;
    await session.ping(5000);
    expect(await new Promise((resolve) => echo.getConnections((_, count) => resolve(count)))).toBe(0);
    await session.close();
  });

  test('opens two hundred channels at once and mixes none of them up', async () => {
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(sshd), anew, testContext());
    await Promise.all(
      Array.from({ length: 200 }, async (_, index) => {
        const channel = await session.openChannel(target, origin, limits);
        const read = readChannel(channel);
        const message = Buffer.alloc(5000, `${index};`);
        await writeAll(channel, read, [message]);
        channel.end();
        await read.ended;
        expect(read.bytes().equals(message)).toBe(true);
        expect(await read.closed).toBe(true);
      }),
    );
    await session.close();
  });

  test('shows the server banner clean', async () => {
    const file = `${sshd.folder}/banner`;
    writeFileSync(file, 'Authorized \u001b[31muse\u001b[0m only.\n');
    await using own = await startSshd({ config: [`Banner ${file}`] });
    const context = testContext();
    const session = await testDialer().dialer.dial(hostOf(own), anew, context);
    expect(context.banners).toEqual(['Authorized use only.']);
    await session.close();
  });

  test('that cannot agree with the server names both lists', async () => {
    await using own = await startSshd({ config: ['Ciphers aes256-ctr'] });
    const algorithms = { kex: null, cipher: ['aes128-ctr'], mac: null, hostKey: null, pubkey: null };
    const failed = await failureOf(
      testDialer().dialer.dial(hostOf(own, { algorithms }), anew, testContext()),
    );
    expect(failed).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex', tcpLevel: false } });
    expect(failed.message).toContain('no common cipher: the server offers aes256-ctr; we offer aes128-ctr');
    expect(hintOf(failed)).toBe('ciphers: +aes256-ctr    # under host test');
    expect([needsPerson(failed), retryHelps(failed)]).toEqual([true, false]);
  });

  test.each([
    ['kex', 'KexAlgorithms diffie-hellman-group14-sha1', 'kex: +diffie-hellman-group14-sha1', /weak/],
    ['mac', 'MACs hmac-md5\nCiphers aes128-ctr', 'macs: +hmac-md5', /weak/],
    ['hostKey', 'HostKeyAlgorithms ssh-rsa', 'host_key_algorithms: +ssh-rsa', /weak/],
  ] as const)(
    'that meets a server with an old %s names the line that helps',
    async (kind, line, added, note) => {
      await using own = await startSshd({ hostKeyTypes: ['rsa'], config: line.split('\n') });
      const failed = await failureOf(testDialer().dialer.dial(hostOf(own), anew, testContext()));
      expect(failed).toMatchObject({ code: 'KEX_FAILED', facts: { person: true } });
      expect(hintOf(failed)?.split(/ {4}# /)).toEqual([added, expect.stringMatching(note)]);
      const list = sshAlgorithms(kind, added.replace(/^\w+: /, ''));
      const host = hostOf(own);
      const algorithms = { ...host.algorithms, [kind]: list };
      const session = await testDialer().dialer.dial({ ...host, algorithms }, anew, testContext());
      await session.close();
    },
  );

  test('that meets what nobody here knows says so', async () => {
    await using own = await startSshd({ config: ['KexAlgorithms sntrup761x25519-sha512@openssh.com'] });
    const failed = await failureOf(testDialer().dialer.dial(hostOf(own), anew, testContext()));
    expect(failed).toMatchObject({ code: 'KEX_FAILED', facts: { person: true } });
    expect(hintOf(failed)).toMatch(/^this program knows none of them: .* curve25519-sha256/);
  });

  test('a refused key is AUTH_REFUSED', async () => {
    const identity = makeKey(`${sshd.folder}/stranger-${process.pid}`);
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { identities: [identity] }), anew, testContext()),
    );
    expect(refused).toBeInstanceOf(TunnelError);
    expect(refused.code).toBe('AUTH_REFUSED');
  });
});
