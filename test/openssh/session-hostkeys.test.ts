// Host keys against a real sshd: asked, stored, refused; and no credential before the answer.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Secret } from '../../src/model/secret.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hostOf, testContext, testDialer } from '../helpers/ssh-dialer.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hintOf } from '../helpers/hint.ts';

const anew = { via: null, transport: null };
const ask = { hostKeys: 'ask' } as const;

/** True when anybody has tried to log in. */
const triedLogin = (sshd: Sshd): boolean => /userauth-request|Accepted|Failed/.test(sshd.log());

describe.skipIf(sshdMissing() !== null)('a host key', () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] });
  });
  afterAll(() => sshd.stop());

  test('that is unknown is refused where nobody is, with all a person needs to decide', async () => {
    await using own = await startSshd();
    const { dialer, trust } = testDialer();
    const refused = await failureOf(dialer.dial(hostOf(own, ask), anew, testContext()));
    expect(refused.code).toBe('HOST_KEY_UNKNOWN');
    expect(refused.message).toContain(own.fingerprint());
    expect(hintOf(refused)).toBe('tunnel trust test');
    expect(refused.facts).toMatchObject({
      kind: 'host-key',
      fingerprint: own.fingerprint(),
      keyType: 'ssh-ed25519',
      host: 'test',
    });
    expect(existsSync(trust.file)).toBe(false);
    expect(triedLogin(own)).toBe(false);
  });

  test.each([
    ['yes', (key: string) => `y${key.slice(0, 0)}es`],
    ['the pasted fingerprint', (key: string) => key],
    ['the fingerprint with its prefix in small letters', (key: string) => key.replace('SHA256', 'sha256')],
    ['the fingerprint without its prefix', (key: string) => key.replace('SHA256:', '')],
  ])('is stored and believed after %s', async (_, answerOf) => {
    const { dialer, trust } = testDialer();
    const context = testContext(answerOf(sshd.fingerprint('ed25519')));
    const session = await dialer.dial(hostOf(sshd, ask), anew, context);
    expect(context.questions).toHaveLength(1);
    expect(context.questions[0]).toMatchObject({
      kind: 'host-key',
      fingerprint: sshd.fingerprint('ed25519'),
    });
    expect(context.questions[0]?.randomart).toHaveLength(11);
    expect(readFileSync(trust.file, 'utf8')).toContain(sshd.knownHostsLine('ed25519'));
    await session.close();
    const again = await dialer.dial(hostOf(sshd, ask), anew, testContext());
    await again.close();
  });

  test.each([
    ['no', 'no'],
    ['nothing', ''],
    ['another fingerprint', `SHA256:${'A'.repeat(43)}`],
  ])('is neither stored nor used after %s', async (_, answer) => {
    await using own = await startSshd();
    const { dialer, trust } = testDialer();
    const refused = await failureOf(dialer.dial(hostOf(own, ask), anew, testContext(answer)));
    expect(refused.code).toBe('HOST_KEY_UNKNOWN');
    expect(existsSync(trust.file)).toBe(false);
    expect(triedLogin(own)).toBe(false);
  });

  test('is taken and stored by accept-new, also when it is given for one attempt', async () => {
    for (const more of [{}, { acceptNew: true }]) {
      const { dialer, trust } = testDialer();
      const host = hostOf(sshd, more.acceptNew === true ? ask : {});
      const session = await dialer.dial(host, anew, testContext(null, more));
      expect(readFileSync(trust.file, 'utf8')).toContain(sshd.knownHostsLine('ed25519'));
      await session.close();
    }
  });

  test('that is unknown is never asked about with strict', async () => {
    const context = testContext('yes', { acceptNew: true });
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { hostKeys: 'strict' }), anew, context),
    );
    expect(refused.code).toBe('HOST_KEY_UNKNOWN');
    expect(context.questions).toEqual([]);
  });

  test('that has changed is refused with both fingerprints and the line, whatever the policy', async () => {
    await using own = await startSshd();
    const { dialer, trust } = testDialer();
    await (await dialer.dial(hostOf(own), anew, testContext())).close();
    const before = own.fingerprint();
    await own.stop();
    own.changeHostKey();
    await own.start();
    const logged = own.log().length;
    const refused = await failureOf(dialer.dial(hostOf(own), anew, testContext('yes', { acceptNew: true })));
    expect(refused.code).toBe('HOST_KEY_CHANGED');
    expect(refused.message).toContain(before);
    expect(refused.message).toContain(own.fingerprint());
    expect(refused.message).toContain(`${trust.file}:1`);
    expect(hintOf(refused)).toContain('tunnel trust test --replace');
    expect(own.log().slice(logged)).not.toMatch(/userauth-request|Accepted/);
  });

  test('that is revoked is refused, even where another file trusts it', async () => {
    const file = join(temporaryFolder('known'), 'known_hosts');
    writeFileSync(
      file,
      `${sshd.knownHostsLine('ed25519')}\n@revoked * ${sshd.knownHostsLine('ed25519').split(' ').slice(1).join(' ')}\n`,
    );
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(sshd, { knownHosts: [file] }), anew, testContext('yes')),
    );
    expect(refused.code).toBe('HOST_KEY_REVOKED');
    expect(refused.message).toContain(`${file}:2`);
  });

  test.each(['ecdsa', 'rsa'] as const)('of a known type is asked for first: %s', async (type) => {
    const file = join(temporaryFolder('known'), 'known_hosts');
    writeFileSync(file, `${sshd.knownHostsLine(type)}\n`);
    const session = await testDialer().dialer.dial(
      hostOf(sshd, { hostKeys: 'strict', knownHosts: [file] }),
      anew,
      testContext(),
    );
    expect(session.algorithms.hostKey).toContain(type);
    await session.close();
  });

  test('of another type than the known one is changed, as in OpenSSH', async () => {
    await using own = await startSshd({ hostKeyTypes: ['ecdsa'] });
    const file = join(temporaryFolder('known'), 'known_hosts');
    writeFileSync(
      file,
      `[127.0.0.1]:${own.port} ${sshd.knownHostsLine('ed25519').split(' ').slice(1).join(' ')}\n`,
    );
    const refused = await failureOf(
      testDialer().dialer.dial(hostOf(own, { knownHosts: [file] }), anew, testContext('yes')),
    );
    expect(refused.code).toBe('HOST_KEY_CHANGED');
  });

  test.each(['seen', 'not seen yet'])(
    'that a person confirms after the server lost patience is used on a second connection, unasked; its end was %s',
    async (end) => {
      await using own = await startSshd();
      const { dialer, trust } = testDialer();
      let asked = 0;
      const context = testContext('yes', {
        ask: async () => {
          asked += 1;
          own.signalSessions('SIGKILL'); // what LoginGraceTime does, at a moment of ours
          while (end === 'seen' && own.sessionPids().length > 0)
            await new Promise((resolve) => setTimeout(resolve, 50));
          return new Secret('yes');
        },
      });
      const session = await dialer.dial(hostOf(own, ask), anew, context);
      expect(asked).toBe(1);
      expect(readFileSync(trust.file, 'utf8')).toContain(own.knownHostsLine());
      await session.close();
    },
  );

  test('that the server proves beside the known one is recorded', async () => {
    const { dialer, trust } = testDialer();
    const context = testContext('yes');
    const session = await dialer.dial(hostOf(sshd, ask), anew, context);
    const wanted = sshd.knownHostsLine('rsa');
    while (!readFileSync(trust.file, 'utf8').includes(wanted))
      await new Promise((resolve) => setTimeout(resolve, 10));
    await session.close();
  });
});
