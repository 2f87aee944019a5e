// Host certificates of a real sshd: believed by @cert-authority, through rekeys too; else judged by the key in them.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tcp } from '../../src/model/endpoint.ts';
import { readChannel, writeAll } from '../helpers/channel-reader.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const anew = { via: null, transport: null };
type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

describe.skipIf(sshdMissing() !== null)('a host certificate', () => {
  let authority: string;
  let authorityKey: string;
  let echo: Server;

  beforeAll(async () => {
    authority = makeKey(join(temporaryFolder('ca'), 'ca'));
    authorityKey = readFileSync(`${authority}.pub`, 'utf8').split(' ').slice(0, 2).join(' ');
    echo = createServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  });
  afterAll(() => void echo.close());

  /** An sshd whose host key is certified with `args`. */
  async function certified(
    type: KeyType,
    args: readonly string[],
    config: readonly string[] = [],
  ): Promise<Sshd & AsyncDisposable> {
    const folder = temporaryFolder('cert');
    const certificate = join(folder, 'host-cert.pub');
    writeFileSync(certificate, '');
    const sshd = await startSshd({
      hostKeyTypes: [type],
      config: [`HostCertificate ${certificate}`, ...config],
    });
    execFileSync('ssh-keygen', [
      '-q',
      '-s',
      authority,
      '-I',
      'test',
      '-h',
      ...args,
      `${sshd.hostKey(type)}.pub`,
    ]);
    writeFileSync(certificate, readFileSync(`${sshd.hostKey(type)}-cert.pub`));
    await sshd.stop();
    await sshd.start();
    return sshd;
  }

  function knownHosts(text: string): string {
    const file = join(temporaryFolder('known'), 'known_hosts');
    writeFileSync(file, `${text}\n`);
    return file;
  }

  test.each(['ed25519', 'ecdsa', 'rsa'] as const)(
    'of a known authority needs no question and lives through rekeys: %s',
    async (type) => {
      await using sshd = await certified(type, ['-n', '127.0.0.1'], ['RekeyLimit 1M']);
      const file = knownHosts(`@cert-authority [127.0.0.1]:${sshd.port} ${authorityKey}`);
      const { dialer, trust } = testDialer();
      const session = await dialer.dial(
        hostOf(sshd, { hostKeys: 'strict', knownHosts: [file] }),
        anew,
        testContext(),
      );
      expect(session.algorithms.hostKey).toMatch(/-cert-v01@openssh\.com$/);
      const target = tcp('127.0.0.1', (echo.address() as AddressInfo).port);
      const channel = await session.openChannel(target, { host: '127.0.0.1', port: 1 }, { timeoutMs: 5000 });
      const read = readChannel(channel, false);
      await writeAll(
        channel,
        read,
        Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024, 1)),
      );
      channel.end();
      await read.ended;
      expect(read.received()).toBe(4 * 1024 * 1024);
      expect(existsSync(trust.file)).toBe(false);
      await session.close();
    },
  );

  test.each([
    ['for another name', ['-n', 'elsewhere.example']],
    ['without principals', []],
    ['that is expired', ['-n', '127.0.0.1', '-V', '20200101:20200102']],
  ])('%s does not count', async (_, args) => {
    await using sshd = await certified('ed25519', args);
    const file = knownHosts(`@cert-authority [127.0.0.1]:${sshd.port} ${authorityKey}`);
    const context = testContext('yes');
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { hostKeys: 'strict', knownHosts: [file] }), anew, context),
    );
    expect(refused.code).toBe('HOST_KEY_UNKNOWN');
    expect(refused.message).toContain('its certificate does not count');

    const { dialer, trust } = testDialer();
    const asked = await dialer.dial(hostOf(sshd, { hostKeys: 'ask', knownHosts: [file] }), anew, context);
    expect(context.questions[0]?.fingerprint).toBe(sshd.fingerprint());
    expect(readFileSync(trust.file, 'utf8')).toContain(sshd.knownHostsLine());
    await asked.close();
  });

  test('that is revoked itself is refused, also when its key is known', async () => {
    await using sshd = await certified('ed25519', ['-n', '127.0.0.1']);
    const [type, blob] = readFileSync(`${sshd.hostKey('ed25519')}-cert.pub`, 'utf8').split(' ');
    const file = knownHosts(
      `@cert-authority * ${authorityKey}\n${sshd.knownHostsLine()}\n@revoked * ${type} ${blob}`,
    );
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { knownHosts: [file] }), anew, testContext('yes')),
    );
    expect(refused.code).toBe('HOST_KEY_REVOKED');
  });

  test('of a revoked authority is refused', async () => {
    await using sshd = await certified('ed25519', ['-n', '127.0.0.1']);
    const file = knownHosts(`@cert-authority * ${authorityKey}\n@revoked * ${authorityKey}`);
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { knownHosts: [file] }), anew, testContext('yes')),
    );
    expect(refused.code).toBe('HOST_KEY_REVOKED');
  });
});
