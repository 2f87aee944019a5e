// The hybrid key exchange against an OpenSSH that speaks it (9.9 and later; Debian 12 has none: NEWER_OPENSSH names a tree of Debian 13).
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import type { Host } from '../../src/model/host.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { newerOpenssh, startSshd } from '../helpers/sshd.ts';

const hybrid = 'mlkem768x25519-sha256';
const anew = { via: null, transport: null };
const newer = newerOpenssh === null ? {} : { root: newerOpenssh };
const only = (kex: string, cipher: string | null = null): Partial<Host> => ({
  algorithms: {
    kex: [kex],
    cipher: cipher === null ? null : [cipher],
    mac: null,
    hostKey: null,
    pubkey: null,
  },
});

describe.skipIf(newerOpenssh === null)('the hybrid key exchange with OpenSSH', () => {
  let echo: Server;

  beforeAll(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void echo.close());

  test.each(['ed25519', 'ecdsa', 'rsa'] as const)(
    'is what both agree on by themselves, with a host key of type %s',
    async (type) => {
      await using sshd = await startSshd({ ...newer, hostKeyTypes: [type] });
      const session = await testDialer().dialer.dial(hostOf(sshd), anew, testContext());
      expect(session.algorithms.kex).toBe(hybrid);
      expect(sshd.log()).toContain(`kex: algorithm: ${hybrid}`);
      await session.close();
    },
  );

  test('fifty times over gives keys that agree: no encoding depends on luck (leading zeros of the secret)', async () => {
    await using sshd = await startSshd({ ...newer, config: [`KexAlgorithms ${hybrid}`] });
    const { dialer } = testDialer();
    for (let round = 0; round < 50; round += 1) {
      const session = await dialer.dial(hostOf(sshd), anew, testContext());
      expect(session.algorithms.kex).toBe(hybrid);
      await session.close();
    }
  });

  test.each(['aes128-gcm@openssh.com', 'chacha20-poly1305@openssh.com', 'aes256-ctr'])(
    'carries 20 MB both ways through rekeys with %s',
    async (cipher) => {
      await using sshd = await startSshd({
        ...newer,
        config: [`KexAlgorithms ${hybrid}`, 'RekeyLimit 2M'],
      });
      const session = await testDialer().dialer.dial(hostOf(sshd, only(hybrid, cipher)), anew, testContext());
      const channel = await session.openChannel(
        tcp('127.0.0.1', (echo.address() as AddressInfo).port),
        { host: '127.0.0.1', port: 1 },
        { timeoutMs: 10_000 },
      );
      const read = readChannel(channel, false);
      const chunks = Array.from({ length: 20 * 16 }, () => randomBytes(64 * 1024));
      const sent = createHash('sha256');
      for (const chunk of chunks) sent.update(chunk);
      await writeAll(channel, read, chunks);
      channel.end();
      await read.ended;
      expect(read.sha256()).toBe(sent.digest('hex'));
      expect(sshd.log().split('SSH2_MSG_KEXINIT sent').length).toBeGreaterThan(8);
      await session.close();
    },
  );

  test('is not what a server gets that was told to leave it', async () => {
    await using sshd = await startSshd({ ...newer, config: ['KexAlgorithms curve25519-sha256'] });
    const session = await testDialer().dialer.dial(hostOf(sshd), anew, testContext());
    expect(session.algorithms.kex).toBe('curve25519-sha256');
    await session.close();
    const error = await failureOf(testDialer().dialer.dial(hostOf(sshd, only(hybrid)), anew, testContext()));
    expect(error).toMatchObject({ code: 'KEX_FAILED' });
  });
});

test.skipIf(newerOpenssh === null)(
  'an address that a server keeps out for a while is told as that, and one login costs one attempt',
  async () => {
    await using sshd = await startSshd({ ...newer, config: ['PerSourcePenalties authfail:600 min:1'] });
    writeFileSync(sshd.authorizedKeys, '');
    const { dialer } = testDialer();
    const refused = await failureOf(dialer.dial(hostOf(sshd), anew, testContext()));
    expect(refused).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(sshd.log().split('Failed publickey').length - 1).toBe(1);
    // this penalty counts once the session's process has been waited for; another one is that of whoever only connects
    while (!/srclimit_penalise: .*failed authentication/.test(sshd.log()))
      await new Promise((resolve) => setTimeout(resolve, 10));
    const keptOut = await failureOf(dialer.dial(hostOf(sshd), anew, testContext()));
    expect(keptOut).toMatchObject({ code: 'LINK_LOST' });
    expect(keptOut.message).toContain('it says: Not allowed at this time');
    expect(keptOut.message).toContain('PerSourcePenalties');
  },
);
