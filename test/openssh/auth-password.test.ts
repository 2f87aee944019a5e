// Logins with a password, keyboard-interactive, several methods and by host against a real sshd with PAM, in a mount namespace.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCredentials } from '../../src/ssh/auth/credentials.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost, logIn, testParts } from '../helpers/login.ts';
import { namespaceMissing, passwordPam, privateEtc } from '../helpers/private-etc.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const password = 'open sesame';
const missing = sshdMissing() ?? namespaceMissing();
const fromFile = (): { from: 'file'; path: string } => {
  const path = join(temporaryFolder('pw'), 'password');
  writeFileSync(path, `${password}\n`, { mode: 0o600 });
  return { from: 'file', path };
};

async function sshdWith(config: readonly string[]): Promise<Sshd & AsyncDisposable> {
  const { launcher } = privateEtc(passwordPam(password));
  return startSshd({ launcher, config: ['UsePAM yes', ...config] });
}

const failures = (sshd: Sshd): number => sshd.log().split(/Failed (?:password|keyboard)/).length - 1;

describe.skipIf(missing !== null)('a login with a password', () => {
  let sshd: Sshd & AsyncDisposable;
  beforeAll(async () => {
    sshd = await sshdWith(['PasswordAuthentication yes', 'KbdInteractiveAuthentication no']);
  });
  afterAll(() => sshd.stop());

  test('takes it from its source, with nobody there', async () => {
    const { error, record } = await logIn(bareHost(sshd.port, { password: fromFile() }));
    expect(error).toBeNull();
    expect(record).toEqual({ accepted: ['password'], attended: false });
  });

  test('asks for it, three times at most, and keeps the right one', async () => {
    const host = bareHost(sshd.port);
    const credentials = createCredentials(testParts());
    const first = await logIn(host, { answers: ['wrong', password] }, credentials);
    expect(first.error).toBeNull();
    expect(first.asked).toMatchObject([
      { kind: 'password', text: `Password for root@127.0.0.1:${sshd.port}`, tries: 0, fromServer: false },
      { kind: 'password', tries: 1 },
    ]);
    expect((await logIn(host, {}, credentials)).error).toBeNull();
    const wrong = await logIn(bareHost(sshd.port), { answers: ['a', 'b', 'c', 'd'] });
    expect(wrong.asked).toHaveLength(3);
    expect(wrong.error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(wrong.error?.message).toContain(
      ': offered password (3 times); the server takes publickey,password',
    );
  });

  test('sends a stored one that is wrong once only', async () => {
    const source = fromFile();
    writeFileSync(source.path, 'wrong\n');
    const before = failures(sshd);
    const { error } = await logIn(bareHost(sshd.port, { password: source }));
    expect(error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(failures(sshd) - before).toBe(1);
  });

  test('with nobody there is not begun, and fails with the question', async () => {
    const before = failures(sshd);
    const { error } = await logIn(bareHost(sshd.port));
    expect(error).toMatchObject({ code: 'SECRET_MISSING', facts: { question: 'password' } });
    expect(failures(sshd)).toBe(before);
  });

  test('stops when the person declines', async () => {
    const { error, asked } = await logIn(bareHost(sshd.port), { answers: [null] });
    expect(asked).toHaveLength(1);
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(error?.message).toContain('no password was given');
  });

  test('names the variable when an env source is not set', async () => {
    const { error } = await logIn(bareHost(sshd.port, { password: { from: 'env', name: 'DB_PW' } }));
    expect(error).toMatchObject({ code: 'SECRET_MISSING' });
    expect(error?.message).toContain('DB_PW');
  });
});

describe.skipIf(missing !== null)('a login with keyboard-interactive', () => {
  let sshd: Sshd & AsyncDisposable;
  beforeAll(async () => {
    sshd = await sshdWith(['KbdInteractiveAuthentication yes']);
  });
  afterAll(() => sshd.stop());

  test('answers its password prompt from the source', async () => {
    const { error, record } = await logIn(bareHost(sshd.port, { password: fromFile() }));
    expect(error).toBeNull();
    expect(record).toEqual({ accepted: ['keyboard-interactive'], attended: false });
  });

  test('shows the prompt as the server’s own', async () => {
    const { asked, error } = await logIn(bareHost(sshd.port), { answers: [password] });
    expect(error).toBeNull();
    expect(asked).toMatchObject([{ kind: 'password', text: 'Password:', echo: false, fromServer: true }]);
  });
});

describe.skipIf(missing !== null)('a login that needs several methods', () => {
  const both = (method: string): readonly string[] => [
    `AuthenticationMethods publickey,${method}`,
    'PasswordAuthentication yes',
    'KbdInteractiveAuthentication yes',
  ];

  test.each(['password', 'keyboard-interactive'])('gets through publickey,%s', async (method) => {
    await using sshd = await sshdWith(both(method));
    const host = bareHost(sshd.port, { identities: [sshd.identity], password: fromFile() });
    const { error, record, steps } = await logIn(host);
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([expect.stringMatching(/^key ED25519/), method]);
    expect(steps.map(({ status }) => status)).toEqual(['ok', 'ok']);
  });

  test('gets through password,publickey, where the key is refused before the password', async () => {
    await using sshd = await sshdWith([
      'AuthenticationMethods password,publickey',
      'PasswordAuthentication yes',
    ]);
    const host = bareHost(sshd.port, { identities: [sshd.identity], password: fromFile() });
    const { error, record } = await logIn(host);
    expect(error).toBeNull();
    expect(record?.accepted).toEqual(['password', expect.stringMatching(/^key ED25519/)]);
  });

  test('says what was taken when the second one is missing', async () => {
    await using sshd = await sshdWith(both('password'));
    const { error } = await logIn(bareHost(sshd.port, { identities: [sshd.identity] }));
    expect(error).toMatchObject({ code: 'SECRET_MISSING', facts: { question: 'password' } });
    const declined = await logIn(bareHost(sshd.port, { identities: [sshd.identity] }), { answers: [null] });
    expect(declined.error?.message).toMatch(/the server took key ED25519 .* and wants more/);
  });
});

describe.skipIf(missing !== null)('a login by host', () => {
  test('succeeds with a host key of this machine that the server knows', async () => {
    const { launcher, home } = privateEtc(passwordPam(password));
    await using sshd = await startSshd({
      launcher,
      config: [
        'HostbasedAuthentication yes',
        'HostbasedUsesNameFromPacketOnly yes',
        'IgnoreRhosts no',
        'IgnoreUserKnownHosts no',
      ],
    });
    const key = makeKey(join(sshd.folder, 'client_host_key'));
    const [type, blob] = readFileSync(`${key}.pub`, 'utf8').split(' ');
    mkdirSync(join(home, '.ssh'), { mode: 0o700 });
    writeFileSync(join(home, '.ssh', 'known_hosts'), `workstation.example ${type} ${blob}\n`);
    writeFileSync(join(home, '.shosts'), 'workstation.example root\n', { mode: 0o600 });
    const credentials = createCredentials(testParts({ hostname: 'workstation.example', localUser: 'root' }));
    const host = bareHost(sshd.port, { auth: ['hostbased'], identities: [key] });
    const { error, record } = await logIn(host, {}, credentials);
    expect(error).toBeNull();
    expect(record?.accepted).toEqual([expect.stringMatching(/^host key ED25519 .* of workstation\.example/)]);
    const stranger = createCredentials(testParts({ hostname: 'elsewhere.example', localUser: 'root' }));
    expect((await logIn(host, {}, stranger)).error?.code).toBe('AUTH_REFUSED');
  });
});

test.skipIf(missing !== null)('the machine’s own files are untouched', () => {
  expect(execFileSync('mount', { encoding: 'utf8' })).not.toContain('/etc/pam.d');
});
