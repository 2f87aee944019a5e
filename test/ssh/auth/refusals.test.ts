// What a failed login says: one row a situation, the cause a person can act on first.
import { describe, expect, test } from 'vitest';
import { loginFailure, startNotes, type Notes, type Obstacle } from '../../../src/ssh/auth/refusals.ts';
import { bareHost } from '../../helpers/login.ts';
import { hintOf } from '../../helpers/hint.ts';

const host = bareHost(2222);
const notes = (over: Partial<Notes>): Notes => ({ ...startNotes(), ...over });
const obstacle = (over: Partial<Obstacle>): Obstacle => ({
  code: 'KEY_UNREADABLE',
  why: '~/.ssh/id: others may read it (mode 0644)',
  hint: 'chmod 600 ~/.ssh/id',
  question: null,
  decisive: true,
  ...over,
});
const agentDown = obstacle({ code: 'AGENT_DOWN', why: 'the agent is gone', hint: null, decisive: false });
const code = obstacle({
  code: 'SECRET_MISSING',
  why: 'the server asks "Code:", and nobody is here to answer',
  hint: [{ command: 'up', on: { host: 'katie' } }, ' on a terminal'],
  question: { kind: 'prompt', text: 'Code:' },
});
const key = 'key ED25519 SHA256:abc (~/.ssh/id_ed25519)';

describe('a failed login', () => {
  test.each<[string, Notes, string, string]>([
    [
      'names everything offered and what the server takes',
      notes({ refused: [key, 'password'], methods: ['publickey', 'password'] }),
      'AUTH_REFUSED',
      `authentication failed, on katie (root@127.0.0.1:2222): offered ${key}, password; the server takes publickey,password`,
    ],
    [
      'that offered nothing says so',
      notes({ methods: ['password'] }),
      'AUTH_REFUSED',
      'authentication failed, on katie (root@127.0.0.1:2222): there was nothing to offer; the server takes password',
    ],
    [
      'half way in says what was taken',
      notes({ accepted: [key], methods: ['password'] }),
      'AUTH_REFUSED',
      `authentication failed, on katie (root@127.0.0.1:2222): the server took ${key} and wants more; the server takes password`,
    ],
    [
      'for want of a person is about the question',
      notes({
        refused: [key],
        obstacles: [
          agentDown,
          obstacle({
            code: 'SECRET_MISSING',
            why: 'it takes a password',
            question: { kind: 'password', text: 'Password for x' },
          }),
        ],
      }),
      'SECRET_MISSING',
      `login failed, on katie (root@127.0.0.1:2222): it takes a password; refused: ${key}`,
    ],
    [
      "after a refused key is about that before it is about a server's question",
      notes({ refused: [key], methods: ['publickey', 'keyboard-interactive'], obstacles: [code] }),
      'SECRET_MISSING',
      `login failed, on katie (root@127.0.0.1:2222): refused: ${key}; the server asks "Code:", and nobody is here to answer`,
    ],
    [
      "after a key that was taken is about a server's question alone",
      notes({ accepted: [key], methods: ['publickey', 'keyboard-interactive'], obstacles: [code] }),
      'SECRET_MISSING',
      'login failed, on katie (root@127.0.0.1:2222): the server asks "Code:", and nobody is here to answer',
    ],
    [
      'without any key is about that first',
      notes({
        methods: ['publickey', 'keyboard-interactive'],
        obstacles: [code],
        marks: new Set(['no-key', 'no-agent']),
      }),
      'SECRET_MISSING',
      'login failed, on katie (root@127.0.0.1:2222): no key was found, and no agent answers; the server asks "Code:", and nobody is here to answer',
    ],
    [
      'without any key, at a terminal too, and what was offered again is counted',
      notes({
        refused: Array<string>(4).fill('keyboard-interactive'),
        methods: ['publickey', 'keyboard-interactive'],
        marks: new Set(['no-key', 'no-agent']),
      }),
      'AUTH_REFUSED',
      'authentication failed, on katie (root@127.0.0.1:2222): no key was found, and no agent answers; offered keyboard-interactive (4 times); the server takes publickey,keyboard-interactive',
    ],
    [
      'with a named key that cannot be read is about that',
      notes({ obstacles: [obstacle({})], methods: ['publickey'] }),
      'KEY_UNREADABLE',
      'login failed, on katie (root@127.0.0.1:2222): ~/.ssh/id: others may read it (mode 0644)',
    ],
    [
      'with a default key that cannot be read mentions it beside what was refused',
      notes({ refused: [key], obstacles: [obstacle({ decisive: false })], methods: ['publickey'] }),
      'AUTH_REFUSED',
      `authentication failed, on katie (root@127.0.0.1:2222): offered ${key}; ~/.ssh/id: others may read it (mode 0644); the server takes publickey`,
    ],
    [
      'with its agent down is about the agent when only keys were refused',
      notes({ refused: [key], obstacles: [agentDown] }),
      'AGENT_DOWN',
      `login failed, on katie (root@127.0.0.1:2222): the agent is gone; refused: ${key}`,
    ],
    [
      'by a wrong password is about the password, whatever the agent does',
      notes({
        refused: ['password'],
        marks: new Set(['secret-refused']),
        obstacles: [agentDown, obstacle({})],
        methods: ['password'],
      }),
      'AUTH_REFUSED',
      'authentication failed, on katie (root@127.0.0.1:2222): offered password; the agent is gone, ~/.ssh/id: others may read it (mode 0644); the server takes password',
    ],
  ])('%s', (_what, given, code, message) => {
    const error = loginFailure(given, host);
    expect([error.code, error.message]).toEqual([code, message]);
  });

  test.each<[string, Notes, Parameters<typeof bareHost>[1], RegExp]>([
    [
      'a refused key: how to install it',
      notes({ refused: [key], methods: ['publickey'] }),
      {},
      /^is the key in root's authorized_keys there\? ssh-copy-id -p 2222/,
    ],
    [
      'a refused key of a file: that one',
      notes({ refused: [key], methods: ['publickey'], refusedFiles: ['~/.ssh/id_ed25519'] }),
      {},
      /ssh-copy-id -i ~\/\.ssh\/id_ed25519 -p 2222 root@127\.0\.0\.1$/,
    ],
    [
      'an RSA key that a server takes with SHA-1 only: the line to add',
      notes({ methods: ['publickey'], marks: new Set(['sha1-only']), remarks: ['no signature algorithm'] }),
      {},
      /^pubkey_algorithms: \+ssh-rsa {4}# under host katie; weak/,
    ],
    [
      'an RSA key refused by a server that may be too old: the line, or the key',
      notes({ refused: [key], methods: ['publickey'], marks: new Set(['sha1-likely']) }),
      {},
      /^pubkey_algorithms: \+ssh-rsa {4}# under host katie, if .* else: ssh-copy-id/,
    ],
    [
      'an agent that did not sign: let it, and no other key is asked for',
      notes({ methods: ['publickey'], marks: new Set(['unsigned']), remarks: ['the agent did not sign'] }),
      {},
      /^tunnel up katie {4}# and let the agent sign/,
    ],
    [
      'many keys and a hang-up: name one',
      notes({ refused: [key, key, key], marks: new Set(['hung-up']) }),
      {},
      /^name the right key/,
    ],
    [
      'a wrong password: type it again, or replace the stored one',
      notes({
        refused: [key, 'password'],
        marks: new Set(['secret-refused']),
        methods: ['publickey', 'password'],
      }),
      {},
      /^tunnel up katie on a terminal asks again; tunnel secret set katie password/,
    ],
    [
      'no key: load or name one',
      notes({ methods: ['publickey'] }),
      {},
      /^ssh-add .* name it under host katie/,
    ],
    [
      'no key and no agent: start one first',
      notes({ methods: ['publickey'], marks: new Set(['no-key', 'no-agent']) }),
      {},
      /^eval "\$\(ssh-agent\)" && ssh-add .* name it under host katie/,
    ],
    [
      "a refused key and a server's question: the key, then the question",
      notes({ refused: [key], methods: ['publickey', 'keyboard-interactive'], obstacles: [code] }),
      {},
      /^is the key in root's authorized_keys there\? ssh-copy-id .*\ntunnel up katie on a terminal$/,
    ],
    [
      "a named file that is missing and a server's question: the file, then the question",
      notes({ methods: ['publickey', 'keyboard-interactive'], obstacles: [obstacle({}), code] }),
      {},
      /^chmod 600 ~\/\.ssh\/id\ntunnel up katie on a terminal$/,
    ],
    [
      'a method that is not allowed: allow it',
      notes({ methods: ['password'] }),
      { auth: ['publickey'] },
      /^allow it under host katie: auth: \[password\]/,
    ],
    [
      'only Kerberos: say so',
      notes({ methods: ['gssapi-with-mic'] }),
      {},
      /takes only gssapi-with-mic, which tunnel does not do/,
    ],
  ])('hints: %s', (_what, given, over, expected) => {
    expect(hintOf(loginFailure(given, bareHost(2222, over)))).toMatch(expected);
  });

  test('carries the question in its facts, for status', () => {
    const question = { kind: 'passphrase', text: 'Passphrase for ~/.ssh/id' } as const;
    expect(loginFailure(notes({ obstacles: [obstacle({ question })] }), host).facts).toMatchObject({
      question: 'passphrase',
      text: 'Passphrase for ~/.ssh/id',
      host: 'katie',
      echo: false,
    });
  });
});
