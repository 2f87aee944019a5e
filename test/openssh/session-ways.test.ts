// Ways to a real sshd: knocks, jump hosts, proxies, commands.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import type { Host } from '../../src/model/host.ts';
import type { Session } from '../../src/model/session.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { startProxy } from '../helpers/proxy.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const origin = { host: '127.0.0.1', port: 1 };
const anew = { via: null, transport: null };
const limits = { timeoutMs: 10_000 };

describe.skipIf(sshdMissing() !== null)('a way', () => {
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

  async function carries(session: Session, chunkCount = 1): Promise<void> {
    const channel = await session.openChannel(target, origin, limits);
    const read = readChannel(channel, false);
    const chunks = Array.from({ length: chunkCount }, () => randomBytes(64 * 1024));
    await writeAll(channel, read, chunks);
    channel.end();
    await read.ended;
    const sent = createHash('sha256');
    for (const chunk of chunks) sent.update(chunk);
    expect(read.sha256()).toBe(sent.digest('hex'));
  }

  test('that was knocked at is gone on with, and the first words of the server are not lost', async () => {
    await using own = await startSshd();
    const { dialer } = testDialer();
    const connections = (): number => own.log().split('Local version string').length - 1;
    const transport = await dialer.reach(hostOf(own), new AbortController().signal);
    expect(transport).not.toBeNull();
    // let the identification arrive before anybody reads it: one of ours, one of the start of this sshd
    while (connections() < 2) await new Promise((resolve) => setTimeout(resolve, 10));
    const session = await dialer.dial(hostOf(own), { via: null, transport }, testContext());
    await carries(session);
    expect(connections()).toBe(2);
    await session.close();
  });

  test('whose knock has died is dialled anew', async () => {
    const { dialer } = testDialer();
    const transport = await dialer.reach(hostOf(sshd), new AbortController().signal);
    transport?.destroy();
    const session = await dialer.dial(hostOf(sshd), { via: null, transport }, testContext());
    await session.close();
  });

  test('over three hops carries 20 MB both ways and dies with its first hop', async () => {
    await using second = await startSshd();
    await using third = await startSshd();
    const { dialer } = testDialer();
    const one = await dialer.dial(hostOf(sshd, { name: 'one' }), anew, testContext());
    const two = await dialer.dial(
      hostOf(second, { name: 'two' }),
      { via: one, transport: null },
      testContext(),
    );
    const three = await dialer.dial(
      hostOf(third, { name: 'three' }),
      { via: two, transport: null },
      testContext(),
    );
    await carries(three, 20 * 16);
    const ended = new Promise((resolve) => three.onEnd(resolve));
    await one.close();
    expect(await ended).toMatchObject({ code: 'LINK_LOST' });
    await two.close();
    await three.close();
  });

  test('whose jump host cannot reach the server is unreachable, and says which hop', async () => {
    const { dialer } = testDialer();
    const one = await dialer.dial(hostOf(sshd, { name: 'bastion' }), anew, testContext());
    const nobody = hostOf({ ...sshd, port: await freePort() }, { name: 'inner' });
    const context = testContext();
    const failed = await failureOf(dialer.dial(nobody, { via: one, transport: null }, context));
    expect(failed).toMatchObject({ code: 'UNREACHABLE', facts: { layer: 'tcp', tcpLevel: false } });
    expect(failed.message).toContain('bastion');
    expect(context.steps).toMatchObject([{ layer: 'tcp', status: 'failed' }]);
    await one.close();
  });

  test.each([
    ['nc', 'nc %h %p'],
    ['a shell', 'nc -q1 "%h" %p 2>/dev/null'],
    ['socat', 'socat - TCP:%h:%p'],
  ])('through a command carries bytes and takes the command down: %s', async (_, proxyCommand) => {
    const { dialer } = testDialer();
    expect(await dialer.reach(hostOf(sshd, { proxyCommand }), new AbortController().signal)).toBeNull();
    const session = await dialer.dial(hostOf(sshd, { proxyCommand }), anew, testContext());
    await carries(session, 64);
    await session.close();
  });

  test('through a command that fails says how, with its last words', async () => {
    const { dialer, logged } = testDialer();
    const proxyCommand = 'sh -c "echo no way through >&2; exit 7"';
    const failed = await failureOf(dialer.dial(hostOf(sshd, { proxyCommand }), anew, testContext()));
    expect(failed.code).toBe('UNREACHABLE');
    expect(failed.message).toContain('ended with code 7: no way through');
    expect(logged.join()).toContain('no way through');
    const missing = hostOf(sshd, { proxyCommand: '/does/not/exist %h' });
    expect((await failureOf(dialer.dial(missing, anew, testContext()))).message).toContain('/does/not/exist');
  });

  test('through a command keeps secrets out of its environment', async () => {
    const { dialer } = testDialer({ secretVariables: () => ['DB_PASSWORD'] });
    const proxyCommand = 'sh -c "echo [$DB_PASSWORD] [$PLAIN] >&2; exit 1"';
    const environment = {
      variables: { PATH: process.env['PATH'] ?? '', DB_PASSWORD: 'hunter2', PLAIN: 'plain' },
      agentSockets: [],
    };
    const failed = await failureOf(
      dialer.dial(hostOf(sshd, { proxyCommand }), anew, testContext(null, { environment })),
    );
    expect(failed.message).toContain('[] [plain]');
  });

  test.each(['socks5', 'http'] as const)(
    'through a %s proxy carries bytes, with a login and without',
    async (scheme) => {
      for (const user of [null, 'me']) {
        await using proxy = await startProxy(scheme, user === null ? null : { user, password: 's3cret' });
        const { dialer } = testDialer({ proxyPassword: async () => 's3cret' });
        const through: Partial<Host> = {
          proxy: {
            scheme,
            host: '127.0.0.1',
            port: proxy.port,
            user,
            password: user === null ? null : { from: 'prompt' },
          },
        };
        const session = await dialer.dial(hostOf(sshd, through), anew, testContext());
        await carries(session);
        expect(proxy.asked).toEqual([`127.0.0.1:${sshd.port}`]);
        await session.close();
        const knocked = await dialer.reach(hostOf(sshd, through), new AbortController().signal);
        const again = await dialer.dial(
          hostOf(sshd, through),
          { via: null, transport: knocked },
          testContext(),
        );
        await again.close();
      }
    },
  );

  test.each(['socks5', 'http'] as const)('through a %s proxy says what the proxy says', async (scheme) => {
    await using proxy = await startProxy(scheme, { user: 'me', password: 'right' });
    const { dialer } = testDialer({ proxyPassword: async () => 'wrong' });
    const at = { scheme, host: '127.0.0.1', port: proxy.port, password: null };
    const wrong = hostOf(sshd, { proxy: { ...at, user: 'me', password: { from: 'prompt' } } });
    expect(await failureOf(dialer.dial(wrong, anew, testContext()))).toMatchObject({ code: 'AUTH_REFUSED' });

    await using open = await startProxy(scheme, null);
    const nobody = hostOf(
      { ...sshd, port: await freePort() },
      { proxy: { ...at, port: open.port, user: null } },
    );
    const failed = await failureOf(dialer.dial(nobody, anew, testContext()));
    expect(failed).toMatchObject({ code: 'UNREACHABLE', facts: { tcpLevel: false } });
    expect(failed.message).toMatch(/answers: (connection refused|502)/);

    const gone = hostOf(sshd, { proxy: { ...at, port: await freePort(), user: null } });
    expect(await failureOf(dialer.dial(gone, anew, testContext()))).toMatchObject({
      code: 'UNREACHABLE',
      facts: { tcpLevel: true },
    });
  });
});
