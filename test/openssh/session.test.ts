// A session against a real sshd: login, channels both ways, ends of every kind.
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const origin = { host: '127.0.0.1', port: 1 };
const anew = { via: null, transport: null };
const limits = { timeoutMs: 10_000 };

describe.skipIf(sshdMissing() !== null)('a session', () => {
  let sshd: Sshd;
  let echo: Server;
  let target: ReturnType<typeof tcp>;

  beforeAll(async () => {
    sshd = await startSshd();
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
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

    const ended = new Promise((resolve) => session.onEnd(resolve));
    await session.close();
    expect(await ended).toBeNull();
  });
});
