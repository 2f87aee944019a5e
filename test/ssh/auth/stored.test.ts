// Stored answers of a login: each read once, named among the refused ones, and what stands in the way is told as a question.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../../src/errors.ts';
import { Secret } from '../../../src/model/secret.ts';
import type { SecretRequest } from '../../../src/secrets/read.ts';
import { hasStored, refusalOfSecret, StoredAnswers } from '../../../src/ssh/auth/stored.ts';
import { bareHost } from '../../helpers/login.ts';
import { testContext } from '../../helpers/ssh-dialer.ts';

const keychain = { from: 'keychain' } as const;
const environment = { variables: { HOME: '/home/me' }, agentSockets: [] };

/** Entries by name; whatever else is asked for is missing. */
function answersOf(entries: Readonly<Record<string, string>>) {
  const asked: SecretRequest[] = [];
  const answers = new StoredAnswers(bareHost(22), testContext(null, { environment }), {
    async read(request) {
      asked.push(request);
      const entry = entries[request.name];
      if (entry !== undefined) return new Secret(entry);
      throw new TunnelError('SECRET_MISSING', `nothing under ${request.name}`, { hint: 'tunnel secret set' });
    },
  });
  return { answers, asked };
}

describe('a stored answer', () => {
  test('is read once a login, and what was read is known by the name that a refused one has', async () => {
    const { answers, asked } = answersOf({ katie: 'one' });
    const [first, second] = [
      await answers.read(keychain, 'password'),
      await answers.read(keychain, 'password'),
    ];
    expect(second).toBe(first);
    expect(asked).toMatchObject([{ name: 'katie', endpoint: 'root@127.0.0.1:22', kind: 'password' }]);
    expect(answers.refusals).toEqual([refusalOfSecret(new Secret('one'))]);
    expect(answers.refusals[0]).not.toContain('one');
  });

  test('that is missing is an obstacle with its question', async () => {
    const { answers } = answersOf({});
    expect(await answers.read(keychain, 'totp')).toEqual({
      code: 'SECRET_MISSING',
      why: 'nothing under katie',
      hint: 'tunnel secret set',
      question: { kind: 'prompt', text: 'One-time code for root@127.0.0.1:22' },
      decisive: true,
    });
    expect(answers.refusals).toEqual([]);
  });

  test('for a key file stands under its path, or under the name of the host in a keychain', async () => {
    const own = answersOf({ '/home/me/id': 'own', katie: 'shared' });
    expect(((await own.answers.read(keychain, 'passphrase', '/home/me/id')) as Secret).reveal()).toBe('own');
    const shared = answersOf({ katie: 'shared' });
    expect(((await shared.answers.read(keychain, 'passphrase', '/home/me/id')) as Secret).reveal()).toBe(
      'shared',
    );
    expect(shared.answers.refusals).toEqual([]);
    const neither = answersOf({});
    expect(await neither.answers.read(keychain, 'passphrase', '/home/me/id')).toMatchObject({
      why: 'nothing under /home/me/id',
      question: { kind: 'passphrase', text: 'Passphrase for ~/id' },
    });
    const command = answersOf({ katie: 'shared' });
    const ref = { from: 'command', argv: ['pass', 'id'] } as const;
    expect(await command.answers.read(ref, 'passphrase', '/home/me/id')).toMatchObject({
      code: 'SECRET_MISSING',
    });
    expect(command.asked).toHaveLength(1);
  });

  test('counts only where a method asks for it', () => {
    expect(hasStored(bareHost(22, { totp: keychain }))).toBe(true);
    expect(hasStored(bareHost(22, { password: { from: 'prompt' } }))).toBe(false);
    expect(hasStored(bareHost(22, { password: keychain, auth: ['publickey'] }))).toBe(false);
  });
});
