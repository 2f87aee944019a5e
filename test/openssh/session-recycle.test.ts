// Bulk through readers that let go: memory is used again, and no byte is ever wrong, however slow the reader is.
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import type { Channel, Session } from '../../src/model/session.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';

const origin = { host: '127.0.0.1', port: 1 };
const block = randomBytes(1024 * 1024);
const blocks = 24;
const expected = createHash('sha256');
for (let count = 0; count < blocks; count += 1) expected.update(block);
const wanted = expected.digest('hex');

/** Looks at each chunk only after `delay`, when later ones have long arrived, and wipes it once it let go. */
function slowReader(channel: Channel, delay: (act: () => void) => void): Promise<string> {
  const hash = createHash('sha256');
  let left = 0;
  let over = false;
  return new Promise((resolve) => {
    const settle = (): void => {
      if (over && left === 0) resolve(hash.digest('hex'));
    };
    channel.attach({
      letsGo: true,
      data(chunk) {
        left += 1;
        delay(() => {
          hash.update(chunk);
          chunk.fill(0xee);
          channel.consumed(chunk.length);
          left -= 1;
          settle();
        });
      },
      end() {
        over = true;
        settle();
      },
      closed: () => undefined,
      drain: () => undefined,
    });
  });
}

describe.skipIf(sshdMissing() !== null)('recycled reads', () => {
  let source: Server;
  beforeAll(async () => {
    source = createServer((socket) => {
      socket.on('error', () => undefined);
      let sent = 0;
      const more = (): void => {
        while (sent < blocks) {
          sent += 1;
          if (!socket.write(block)) return;
        }
        socket.end();
      };
      socket.on('drain', more);
      more();
    });
    await new Promise<void>((resolve) => source.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void source.close());

  const fetch = async (session: Session, delay: (act: () => void) => void): Promise<string> =>
    slowReader(
      await session.openChannel(tcp('127.0.0.1', (source.address() as AddressInfo).port), origin, {
        timeoutMs: 10_000,
      }),
      delay,
    );

  test.each(['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes128-ctr'])(
    'of several channels at different speeds, through rekeys, are right: %s',
    async (cipher) => {
      await using sshd = await startSshd({ config: ['RekeyLimit 5M'] });
      const algorithms = { kex: null, cipher: [cipher], mac: null, hostKey: null, pubkey: null };
      const session = await testDialer().dialer.dial(
        hostOf(sshd, { algorithms }),
        { via: null, transport: null },
        testContext(),
      );
      const later = (turns: number, act: () => void): void =>
        void setImmediate(() => (turns === 0 ? act() : later(turns - 1, act)));
      const digests = await Promise.all([
        fetch(session, (act) => act()),
        fetch(session, (act) => later(0, act)),
        fetch(session, (act) => later(7, act)),
        fetch(session, (act) => void setTimeout(act, 3)),
      ]);
      expect(digests).toEqual([wanted, wanted, wanted, wanted]);
      await session.close();
    },
  );
});
