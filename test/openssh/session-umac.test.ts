// A real sshd that takes one UMAC and no cipher that does without a MAC: bytes both ways, through rekeys.
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import { umacNames } from '../../src/ssh/ssh2/mac.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';

describe.skipIf(sshdMissing() !== null)('a server that takes nothing but', () => {
  let echo: Server;
  beforeAll(async () => {
    echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void echo.close());

  test.each(umacNames)('%s is reached by the default offer, and serves through rekeys', async (mac) => {
    await using sshd = await startSshd({
      config: [`MACs ${mac}`, 'Ciphers aes128-ctr,aes256-ctr', 'RekeyLimit 1M'],
    });
    const session = await testDialer().dialer.dial(
      hostOf(sshd),
      { via: null, transport: null },
      testContext(),
    );
    expect(session.algorithms.mac).toBe(mac);
    const target = tcp('127.0.0.1', (echo.address() as AddressInfo).port);
    const channel = await session.openChannel(target, { host: '127.0.0.1', port: 1 }, { timeoutMs: 5000 });
    const read = readChannel(channel, false);
    const chunks = Array.from({ length: 64 }, (_, index) => Buffer.alloc(64 * 1024 - 7, index));
    await writeAll(channel, read, chunks);
    channel.end();
    await read.ended;
    expect(read.received()).toBe(64 * (64 * 1024 - 7));
    await session.close();
  });
});
