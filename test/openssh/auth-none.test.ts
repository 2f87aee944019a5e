// A real sshd that needs no credential: an account without a password, and PermitEmptyPasswords.
import { describe, expect, test } from 'vitest';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { provenInMemory } from '../../src/ssh/auth/kept.ts';
import { bareHost, logIn, testParts } from '../helpers/login.ts';
import { namespaceMissing, privateAccounts } from '../helpers/private-etc.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';

describe.skipIf((sshdMissing() ?? namespaceMissing()) !== null)('an account without a password', () => {
  test('is let in by `none`, and no key of the client comes to be believed in', async () => {
    const { launcher } = privateAccounts('', []);
    await using sshd = await startSshd({
      launcher,
      config: ['UsePAM no', 'PermitEmptyPasswords yes', 'PermitRootLogin yes', 'PasswordAuthentication yes'],
    });
    const proven: string[] = [];
    const memory = provenInMemory();
    const credentials = createCredentials(
      testParts({
        proven: {
          ...memory,
          add(login, credential) {
            proven.push(credential);
            return memory.add(login, credential);
          },
        },
      }),
    );
    const host = bareHost(sshd.port, { identities: [sshd.identity], auth: ['publickey', 'password'] });
    for (const _ of [1, 2]) {
      const { error, record } = await logIn(host, {}, credentials);
      expect(error).toBeNull();
      expect(record?.accepted).toEqual([]);
    }
    expect(proven).toEqual([]);
    expect(sshd.log().split('Accepted none for root')).toHaveLength(3);
  });
});
