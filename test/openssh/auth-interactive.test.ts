// keyboard-interactive against a real sshd with a real PAM stack: passwords, one-time codes and both, changed passwords.
// OpenSSH asks one question a round, whatever the module does (sshpam_thread_conv), and puts a module's words in front of it.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SecretRef } from '../../src/model/secret.ts';
import { systemClock, type Clock } from '../../src/model/clock.ts';
import { createCredentials, type Credentials } from '../../src/ssh/auth/credentials.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { bareHost, logIn, testParts, type Outcome } from '../helpers/login.ts';
import { authenticator, oath, type Authenticator } from '../helpers/one-time-codes.ts';
import { pamServerMissing, startPamServer, unix, watch, type PamServer } from '../helpers/pam-server.ts';
import { hinting, hintOf } from '../helpers/hint.ts';

const password = 'open sesame';
const missing = pamServerMissing();

function stored(value: string): SecretRef {
  const path = join(temporaryFolder('source'), 'value');
  writeFileSync(path, `${value}\n`, { mode: 0o600 });
  return { from: 'file', path };
}

const open = (auth: readonly string[], config: readonly string[] = []): Promise<PamServer> =>
  startPamServer(password, auth, config);
const texts = ({ asked }: Outcome): string[] => asked.map(({ text }) => text);
const shifted = (byMs: number): Clock => ({ ...systemClock, now: () => Date.now() + byMs });

describe.skipIf(missing !== null)('a password, then a code', () => {
  let door: PamServer;
  let codes: Authenticator;
  const kbd = 'keyboard-interactive';
  beforeAll(async () => {
    codes = authenticator(3);
    door = await open([unix, codes.pam()]);
  });
  beforeEach(() => codes.reset());
  afterAll(() => door[Symbol.asyncDispose]());

  /** Right for a server that takes no code twice: answers as a person who looks at an app. */
  const person = ({ text }: { text: string }): string => (text === 'Password:' ? password : codes.code());

  test('typed by a person are one attempt in two rounds, and the link is attended', async () => {
    const seen = watch(door.sshd);
    const outcome = await logIn(bareHost(door.sshd.port), { answers: person });
    expect(outcome.error).toBeNull();
    expect(outcome.asked).toMatchObject([
      { kind: 'password', text: 'Password:', echo: false, fromServer: true, tries: 0 },
      { kind: 'prompt', text: 'Verification code:', echo: false, fromServer: true, tries: 0 },
    ]);
    expect(outcome.record).toEqual({ accepted: [kbd], attended: true });
    expect(seen()).toEqual({ attempts: [kbd], refused: 0, asked: 3, connections: 1 }); // the third has no question in it
  });

  test('from their sources need nobody, and no code is sent twice, one after the other or at once', async () => {
    const host = bareHost(door.sshd.port, { password: stored(password), totp: stored(codes.uri) });
    const credentials = createCredentials(testParts());
    const seen = watch(door.sshd);
    const first = await logIn(host, {}, credentials);
    const more = await Promise.all([logIn(host, {}, credentials), logIn(host, {}, credentials)]);
    for (const { error, record } of [first, ...more]) {
      expect(error).toBeNull();
      expect(record).toEqual({ accepted: [kbd], attended: false });
    }
    expect(seen()).toMatchObject({ attempts: [kbd, kbd, kbd], refused: 0 });
  });

  test('a wrong password ends it before a code is spent', async () => {
    const host = bareHost(door.sshd.port, { password: stored('wrong'), totp: stored(codes.uri) });
    const [seen, tries] = [watch(door.sshd), codes.tries()];
    const { error } = await logIn(host);
    expect(error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(error?.message).toContain('offered keyboard-interactive; the stored password was refused');
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 1 });
    expect(codes.tries()).toBe(tries);
  });

  test('a refused code is refused once, and the message is about the clock', async () => {
    const host = bareHost(door.sshd.port, { password: stored(password), totp: stored(codes.uri) });
    const [seen, tries] = [watch(door.sshd), codes.tries()];
    const late = createCredentials(testParts({ clock: shifted(3_600_000) }));
    const { error } = await logIn(host, {}, late);
    expect(error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(error?.message).toMatch(
      /offered keyboard-interactive; the password or the one-time code made at [\d-]{10}T[\d:]{8}Z was refused/,
    );
    expect(hintOf(error)).toMatch(/^date -u .*clock.*totp/);
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 1 });
    expect(codes.tries() - tries).toBe(1);
  });

  test('a person may be wrong about the code three times', async () => {
    const [seen, tries] = [watch(door.sshd), codes.tries()];
    const outcome = await logIn(bareHost(door.sshd.port), {
      answers: ({ text }) => (text === 'Password:' ? password : '000000'),
    });
    expect(outcome.error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(texts(outcome)).toEqual(Array(3).fill(['Password:', 'Verification code:']).flat());
    expect(outcome.asked.map((asked) => asked.tries)).toEqual([0, 0, 1, 1, 2, 2]);
    expect(seen()).toMatchObject({ attempts: [kbd, kbd, kbd], refused: 3 });
    expect(codes.tries() - tries).toBe(3);
  });

  test('with no source for the code and nobody there, the password is sent once and no code is guessed', async () => {
    const [seen, tries] = [watch(door.sshd), codes.tries()];
    const { error } = await logIn(bareHost(door.sshd.port, { password: stored(password) }));
    expect(error).toMatchObject({
      code: 'SECRET_MISSING',
      facts: { question: 'prompt', text: 'Verification code:' },
    });
    expect(hintOf(error)).toContain('totp: keychain');
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 0, asked: 2 });
    expect(codes.tries()).toBe(tries);
  });
});

describe.skipIf(missing !== null)('a password that the server took', () => {
  test('is not sent again by the password method because a code is missing', async () => {
    const codes = authenticator();
    await using door = await open([unix, codes.pam()], ['PasswordAuthentication yes']);
    const seen = watch(door.sshd);
    const { error } = await logIn(bareHost(door.sshd.port, { password: stored(password) }));
    expect(error).toMatchObject({ code: 'SECRET_MISSING', facts: { text: 'Verification code:' } });
    expect(seen()).toMatchObject({ attempts: ['keyboard-interactive'], refused: 0 });
    expect(codes.tries()).toBe(0); // sshd would give the password to every question of the stack
  });

  test('is not the answer to another hidden question', async () => {
    const codes = authenticator();
    await using door = await open([unix, codes.pam('required', '[authtok_prompt=And then? ]')]);
    const host = bareHost(door.sshd.port, { password: stored(password) });
    const seen = watch(door.sshd);
    const nobody = await logIn(host);
    expect(nobody.error).toMatchObject({ code: 'SECRET_MISSING', facts: { text: 'And then?' } });
    expect(codes.tries()).toBe(0);
    const person = await logIn(host, { answers: [codes.code()] });
    expect(person.error).toBeNull();
    expect(texts(person)).toEqual(['And then?']);
    expect(seen()).toMatchObject({ refused: 0 });
  });
});

describe.skipIf(missing !== null)('a key, then a code', () => {
  let door: PamServer;
  let codes: Authenticator;
  const methods = ['publickey', 'keyboard-interactive'];
  beforeAll(async () => {
    codes = authenticator(3);
    door = await open([codes.pam()], ['AuthenticationMethods publickey,keyboard-interactive']);
  });
  beforeEach(() => codes.reset());
  afterAll(() => door[Symbol.asyncDispose]());

  test.each([
    ['from a source, with nobody there', false],
    ['typed by a person', true],
  ])('%s', async (_, typed) => {
    const seen = watch(door.sshd);
    const { error, record, asked } = await logIn(
      bareHost(door.sshd.port, {
        identities: [door.sshd.identity],
        totp: typed ? null : stored(codes.uri),
      }),
      typed ? { answers: () => codes.code() } : {},
    );
    expect(error).toBeNull();
    expect(record).toEqual({
      accepted: [expect.stringMatching(/^key ED25519/), 'keyboard-interactive'],
      attended: typed,
    });
    expect(asked).toHaveLength(typed ? 1 : 0);
    expect(seen()).toMatchObject({ attempts: methods, refused: 0 });
  });

  test('a refused code is no question that nobody answered', async () => {
    const seen = watch(door.sshd);
    const host = bareHost(door.sshd.port, {
      identities: [door.sshd.identity],
      totp: stored(codes.uri.replace('PL4', 'OTH')),
    });
    const { error } = await logIn(host);
    expect(error).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(error?.message).toMatch(
      /the server took key ED25519 .*; the one-time code made at \S+ was refused/,
    );
    expect(seen()).toMatchObject({ attempts: methods, refused: 1 });
  });
});

describe.skipIf(missing !== null)('other ways to ask for a code', () => {
  test('behind the password in one answer', async () => {
    const codes = authenticator(3);
    const forwards = codes.pam('requisite', 'forward_pass');
    await using door = await open([forwards, 'auth required pam_unix.so use_first_pass nodelay']);
    const seen = watch(door.sshd);
    const sources = { password: stored(password), totp: stored(codes.uri) };
    const { error, record } = await logIn(bareHost(door.sshd.port, sources));
    expect(error).toBeNull();
    expect(record?.attended).toBe(false);
    const typed = await logIn(bareHost(door.sshd.port, { password: sources.password }), {
      answers: () => password + codes.code(new Date(Date.now() + 3_000)),
    });
    expect(typed.error).toBeNull();
    expect(texts(typed)).toEqual(['Password & verification code:']);
    expect(seen()).toMatchObject({ refused: 0 });
  });

  test('as a one-time password, by another module', async () => {
    const codes = oath(30);
    await using door = await open([unix, codes.pam]);
    const seen = watch(door.sshd);
    const host = bareHost(door.sshd.port, { password: stored(password), totp: stored(codes.uri) });
    const { error } = await logIn(host);
    expect(error).toBeNull();
    expect(seen()).toMatchObject({ attempts: ['keyboard-interactive'], refused: 0 });
  });
});

describe.skipIf(missing !== null)('what a PAM module tells', () => {
  test('is shown, clean, and changes no answer, whatever it speaks of', async () => {
    const words = join(temporaryFolder('echo'), 'words');
    writeFileSync(
      words,
      'New: a verification code with your password\n\u001b[31mRetype\u001b[0m nothing\nPIN and token: later\n',
    );
    await using door = await open([`auth optional pam_echo.so file=${words}`, unix]);
    const seen = watch(door.sshd);
    const { error, banners, record } = await logIn(
      bareHost(door.sshd.port, { password: stored(password), totp: stored('JBSWY3DPEHPK3PXP') }),
    );
    expect(error).toBeNull();
    expect(record).toEqual({ accepted: ['keyboard-interactive'], attended: false });
    expect(banners).toEqual([
      'New: a verification code with your password\nRetype nothing\nPIN and token: later',
    ]);
    const person = await logIn(bareHost(door.sshd.port), { answers: [password] });
    expect(person.asked).toMatchObject([{ kind: 'password', text: 'Password:' }]);
    expect(seen()).toMatchObject({ refused: 0 });
  });
});

describe.skipIf(missing !== null)('an expired password', () => {
  const fresh = 'a new and longer one';
  async function expired(): Promise<PamServer & { credentials: Credentials; logged: string[] }> {
    const door = await open([unix]);
    door.accounts.expire();
    const logged: string[] = [];
    const log = (...[level, event, message]: [string, string, string]): void =>
      void logged.push(`${level} ${event} ${message}`);
    return { ...door, logged, credentials: createCredentials(testParts({ log })) };
  }

  test('is changed by a person, with the server’s own words, and the new one is kept', async () => {
    await using door = await expired();
    const before = door.accounts.shadow();
    const host = bareHost(door.sshd.port, { password: stored(password) });
    const answers = [password, 'tiny', 'tiny', fresh, fresh];
    const seen = watch(door.sshd);
    const outcome = await logIn(host, { answers }, door.credentials);
    expect(outcome.error, outcome.error?.message).toBeNull();
    expect(texts(outcome)).toEqual([
      'Current password:',
      'New password:',
      'Retype new password:',
      'New password:',
      'Retype new password:',
    ]);
    expect(new Set(outcome.asked.map(({ kind }) => kind))).toEqual(new Set(['password']));
    expect(outcome.banners.join('\n')).toMatch(/required to change your password[^]*longer/);
    expect(outcome.record?.attended).toBe(false);
    expect(seen()).toMatchObject({ attempts: ['keyboard-interactive'], refused: 0 });
    expect(door.accounts.shadow()).not.toBe(before);
    expect(door.logged.join('\n')).toMatch(/warn password-changed .* and file:\S+ has the old one/);
    expect((await logIn(host, {}, door.credentials)).error).toBeNull();
    expect(JSON.stringify(door.logged)).not.toMatch(/sesame|longer one/);
  });

  test('is said to be so when nobody is there, and the old one is sent once', async () => {
    await using door = await expired();
    const before = door.accounts.shadow();
    const seen = watch(door.sshd);
    const host = bareHost(door.sshd.port, { password: stored(password) });
    const { error, banners } = await logIn(host, {}, door.credentials);
    expect(error).toMatchObject({ code: 'SECRET_MISSING', hint: hinting('tunnel up katie on a terminal') });
    expect(error?.message).toContain('the server wants the password changed, and nobody is here to type it');
    expect(banners.join('\n')).toContain('required to change your password');
    expect(seen()).toMatchObject({ attempts: ['keyboard-interactive'], refused: 0, asked: 2 });
    expect(door.accounts.shadow()).toBe(before);
  });

  test('stays as it is when the person declines', async () => {
    await using door = await expired();
    const before = door.accounts.shadow();
    const { error, asked } = await logIn(
      bareHost(door.sshd.port),
      { answers: [password, password, null] },
      door.credentials,
    );
    expect(error?.code).toBe('AUTH_REFUSED');
    expect(asked).toHaveLength(3);
    expect(door.accounts.shadow()).toBe(before);
  });
});
