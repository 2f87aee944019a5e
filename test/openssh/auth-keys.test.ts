// Logins with key files against a real sshd: every kind of file, passphrases, and no more attempts than needed.
import { appendFileSync, chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client } from 'ssh2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sshAlgorithms } from '../../src/config/algorithms.ts';
import { privateParts } from '../../src/ssh/ssh2/parts.ts';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { startAuthServer } from '../helpers/auth-server.ts';
import { bareHost, logIn, testParts } from '../helpers/login.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { hintOf } from '../helpers/hint.ts';

const passphrase = 'correct horse';
let sshd: Sshd & AsyncDisposable;
let counter = 0;

/** A key that may log in; returns its path. */
function allowedKey(args: readonly string[], secret = ''): string {
  const path = makeKey(join(sshd.folder, `user${(counter += 1)}`), args, secret);
  appendFileSync(sshd.authorizedKeys, readFileSync(`${path}.pub`));
  return path;
}

/** Requests of type publickey that sshd saw while `act` ran, with and without signature. */
async function attempts(act: () => Promise<unknown>): Promise<number> {
  const before = sshd.log().length;
  await act();
  return sshd.log().slice(before).split('method publickey').length - 1;
}

describe.skipIf(sshdMissing() !== null)('a login with a key file', () => {
  beforeAll(async () => {
    sshd = await startSshd();
  });
  afterAll(async () => {
    await sshd.stop();
  });

  const types: [string, string[]][] = [
    ['ed25519', ['-t', 'ed25519']],
    ['RSA', ['-t', 'rsa', '-b', '2048']],
    ['ECDSA 256', ['-t', 'ecdsa', '-b', '256']],
    ['ECDSA 384', ['-t', 'ecdsa', '-b', '384']],
    ['ECDSA 521', ['-t', 'ecdsa', '-b', '521']],
  ];
  const formats: [string, string[]][] = [
    ['OpenSSH', []],
    ['PEM', ['-m', 'PEM']],
    ['PKCS#8', ['-m', 'PKCS8']],
  ];
  const rows = types.flatMap(([type, args]) =>
    formats.map(([format, more]) => [type, format, [...args, ...more]] as const),
  );

  test('at a server that takes RSA with SHA-1 only is hinted at the line that allows it, which helps', async () => {
    // an sshd of today says that it knows SHA-2, whatever it is configured to take
    await using old = await startAuthServer(['publickey'], (context) => {
      if (context.method === 'publickey' && context.hashAlgo === undefined) context.accept();
      else context.reject(['publickey']);
    });
    const identity = makeKey(join(sshd.folder, 'old-rsa'), ['-t', 'rsa', '-b', '2048']);
    const unsaid = {
      // one as old as that does not say what it knows either (RFC 8308)
      touch: (client: Client) =>
        void (privateParts(client)._protocol._handlers['EXT_INFO'] = () => undefined),
    };
    const { error } = await logIn(bareHost(old.port, { identities: [identity] }), unsaid);
    expect(hintOf(error)).toMatch(/^pubkey_algorithms: \+ssh-rsa {4}# under host katie/);
    const pubkey = sshAlgorithms('pubkey', '+ssh-rsa');
    const allowed = bareHost(old.port, { identities: [identity] });
    const { record } = await logIn({ ...allowed, algorithms: { ...allowed.algorithms, pubkey } }, unsaid);
    expect(record?.accepted).toHaveLength(1);
  });

  test('that is refused is named to ssh-copy-id', async () => {
    const stranger = makeKey(join(sshd.folder, 'a stranger'));
    const variables = { HOME: sshd.folder };
    const { error } = await logIn(bareHost(sshd.port, { identities: [stranger] }), { variables });
    expect(hintOf(error)).toContain(`ssh-copy-id -i '${stranger}' -p ${sshd.port}`);
    const plain = makeKey(join(sshd.folder, 'unheard-of'));
    const second = await logIn(bareHost(sshd.port, { identities: [plain] }), { variables });
    expect(hintOf(second.error)).toContain(`ssh-copy-id -i ~/unheard-of -p ${sshd.port}`);
  });

  test.each(rows)('%s in the %s format succeeds, in one request', async (_type, _format, args) => {
    const identity = allowedKey(args);
    const count = await attempts(async () => {
      const { record, error } = await logIn(bareHost(sshd.port, { identities: [identity] }));
      expect(error).toBeNull();
      expect(record?.accepted).toEqual([expect.stringMatching(/^key (ED25519|RSA|ECDSA) SHA256:/)]);
      expect(record?.attended).toBe(false);
    });
    expect(count).toBe(1);
  });

  test.each(rows)(
    '%s in the %s format succeeds with a passphrase that is asked once',
    async (_type, _format, args) => {
      const identity = allowedKey([...args, '-a', '2'], passphrase);
      const { error, asked } = await logIn(bareHost(sshd.port, { identities: [identity] }), {
        answers: [passphrase],
      });
      expect(error).toBeNull();
      expect(asked).toMatchObject([
        { kind: 'passphrase', text: `Passphrase for ${identity}`, echo: false, fromServer: false, tries: 0 },
      ]);
    },
  );

  test('asks again after a wrong passphrase, and remembers the right one until it is forgotten', async () => {
    const identity = allowedKey(['-t', 'ed25519', '-a', '2'], passphrase);
    const host = bareHost(sshd.port, { identities: [identity] });
    const credentials = createCredentials(testParts());
    const first = await logIn(host, { answers: ['wrong', passphrase] }, credentials);
    expect(first.error).toBeNull();
    expect(first.asked.map(({ tries }) => tries)).toEqual([0, 1]);
    const second = await logIn(host, {}, credentials);
    expect(second.error).toBeNull();
    credentials.forgetAllBut([]);
    const third = await logIn(host, {}, credentials);
    expect(third.error?.code).toBe('KEY_UNREADABLE');
  });

  test('does not ask for the passphrase of a key that the server does not take', async () => {
    const refused = makeKey(join(sshd.folder, 'refused'), ['-t', 'ed25519', '-a', '2'], passphrase);
    const good = allowedKey(['-t', 'ed25519']);
    const { error, asked } = await logIn(bareHost(sshd.port, { identities: [refused, good] }), {
      answers: [],
    });
    expect(error).toBeNull();
    expect(asked).toEqual([]);
  });

  test('knows the public half of an encrypted PEM file from the .pub beside it', async () => {
    const refused = makeKey(join(sshd.folder, 'refused-pem'), ['-t', 'rsa', '-m', 'PEM'], passphrase);
    const { error, asked } = await logIn(bareHost(sshd.port, { identities: [refused] }), { answers: [] });
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(asked).toEqual([]);
    rmSync(`${refused}.pub`);
    const without = await logIn(bareHost(sshd.port, { identities: [refused] }), { answers: [passphrase] });
    expect(without.error?.code).toBe('AUTH_REFUSED');
    expect(without.asked).toHaveLength(1);
  });

  test('fails with KEY_UNREADABLE and the question when nobody can type the passphrase', async () => {
    const identity = allowedKey(['-t', 'ed25519', '-a', '2'], passphrase);
    const { error } = await logIn(bareHost(sshd.port, { identities: [identity] }));
    expect(error).toMatchObject({
      code: 'KEY_UNREADABLE',
      facts: { question: 'passphrase', text: `Passphrase for ${identity}` },
    });
  });

  test('names what was offered and what the server takes when it is refused', async () => {
    const stranger = makeKey(join(sshd.folder, 'stranger'));
    const { error, steps } = await logIn(bareHost(sshd.port, { identities: [stranger] }), {
      variables: { HOME: sshd.folder },
    });
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(error?.message).toMatch(
      /^authentication failed, on katie \(root@127\.0\.0\.1:\d+\): offered key ED25519 SHA256:\S+ \(~\/stranger\); the server takes publickey$/,
    );
    expect(steps).toMatchObject([{ hop: 'katie', layer: 'auth', status: 'failed' }]);
  });

  test('refuses a key of ours that others may read, as OpenSSH does', async () => {
    const identity = allowedKey(['-t', 'ed25519']);
    chmodSync(identity, 0o644);
    const { error } = await logIn(bareHost(sshd.port, { identities: [identity] }));
    expect(error).toMatchObject({ code: 'KEY_UNREADABLE', hint: `chmod 600 ${identity}` });
    expect(error?.message).toContain('others may read it (mode 0644)');
  });

  test('says that an identity does not exist, or is no key', async () => {
    const missing = join(sshd.folder, 'nowhere');
    const nonsense = join(sshd.folder, 'nonsense');
    writeFileSync(nonsense, 'hello\n', { mode: 0o600 });
    const one = await logIn(bareHost(sshd.port, { identities: [missing] }));
    expect(one.error).toMatchObject({ code: 'KEY_UNREADABLE' });
    expect(one.error?.message).toContain(`${missing}: there is no such file`);
    expect(hintOf(one.error)).toMatch(new RegExp(`^ls ${sshd.folder} +# .* under host `)); // not the command that has just failed
    const two = await logIn(bareHost(sshd.port, { identities: [nonsense] }));
    expect(two.error?.message).toContain(`${nonsense}: it is not a private key file`);
  });

  test('ignores default files that do not exist, and asks for encrypted ones last', async () => {
    const locked = allowedKey(['-t', 'ed25519', '-a', '2'], passphrase);
    const plain = allowedKey(['-t', 'ed25519']);
    const { error, asked, record } = await logIn(
      bareHost(sshd.port, {
        identities: [join(sshd.folder, 'id_none'), locked, plain],
        identitiesOnly: false,
      }),
      { answers: [] },
    );
    expect(error).toBeNull();
    expect(asked).toEqual([]);
    expect(record?.accepted[0]).toContain(plain);
  });
});
