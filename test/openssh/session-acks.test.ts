// A real sshd holds back the second small part of an answer until the first is acknowledged: a packet of nothing does that at once.
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import type { Channel } from '../../src/model/session.ts';
import { readChannel } from '../helpers/channel-reader.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const ignored = (sshd: Sshd): number => sshd.log().split('Received SSH2_MSG_IGNORE').length - 1;

describe.skipIf(sshdMissing() !== null)('a small part of an answer', () => {
  let target: Server;
  const clients: Socket[] = [];
  beforeAll(async () => {
    target = createServer((socket) => void clients.push(socket));
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void target.close());

  async function open(sshd: Sshd): Promise<{ channel: Channel; far: Socket; close: () => Promise<void> }> {
    const { dialer } = testDialer();
    const session = await dialer.dial(hostOf(sshd), { via: null, transport: null }, testContext());
    const to = tcp('127.0.0.1', (target.address() as AddressInfo).port);
    const channel = await session.openChannel(to, { host: '127.0.0.1', port: 1 }, { timeoutMs: 5000 });
    const far = await vi.waitFor(() => {
      const socket = clients.pop();
      if (socket === undefined) throw new Error('the target has no connection yet');
      return socket;
    });
    return { channel, far, close: () => session.close() };
  }

  test('is followed by SSH_MSG_IGNORE, which sshd takes', async () => {
    await using sshd = await startSshd({ config: ['LogLevel DEBUG3'] });
    const { channel, far, close } = await open(sshd);
    const read = readChannel(channel);
    const before = ignored(sshd);
    far.write('first');
    await vi.waitFor(() => expect(ignored(sshd)).toBeGreaterThan(before));
    far.end('second');
    await read.ended;
    expect(read.bytes().toString()).toBe('firstsecond');
    await close();
  });

  test('is no trouble while keys are made: nothing but the exchange is sent then', async () => {
    await using sshd = await startSshd({ config: ['LogLevel DEBUG3', 'RekeyLimit 16K'] });
    const { channel, far, close } = await open(sshd);
    const read = readChannel(channel, false);
    for (let part = 1; part <= 400; part++) {
      far.write(Buffer.alloc(1000, part));
      await vi.waitFor(() => expect(read.received()).toBe(part * 1000), { interval: 1 });
    }
    far.end();
    await read.ended;
    expect(sshd.log()).toContain('rekey');
    expect(ignored(sshd)).toBeGreaterThan(0);
    await close();
  });
});
