// The keychain through its child: a real gnome-keyring unlocked, locked, empty, stuck and absent; and children that fail.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { createBindings, createEntries } from '../../src/secrets/entries.ts';
import { runKeychainChild } from '../../src/secrets/keychain-child.ts';
import { troubleOf } from '../../src/secrets/keychain-problem.ts';
import { createKeychain, type Keychain } from '../../src/secrets/keychain.ts';
import { Secret } from '../../src/model/secret.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { childArgv, keyringMissing, startDesktop } from './keyring.ts';
import { hinting } from '../helpers/hint.ts';

const account = 'katie:password';
const planted = 'pl4nted sécret\nof two lines';
const trouble = (keychain: string): unknown =>
  expect.objectContaining({
    code: 'SECRET_MISSING',
    facts: { keychain, account },
    hint: expect.any(String) as string,
  }) as unknown;

async function everyCallFails(keychain: Keychain, with_: string): Promise<void> {
  await expect(keychain.get(account)).rejects.toEqual(trouble(with_));
  await expect(keychain.set(account, new Secret(planted))).rejects.toEqual(trouble(with_));
  await expect(keychain.delete(account)).rejects.toEqual(trouble(with_));
}

describe.skipIf(keyringMissing() !== null)('a real gnome-keyring', () => {
  test('keeps, gives back, overwrites and deletes; others can read the entry', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    const keychain = desktop.keychain();
    expect(await keychain.get(account)).toBeNull();
    expect(await keychain.delete(account)).toBe(false);
    await keychain.set(account, new Secret('first'));
    await keychain.set(account, new Secret(planted));
    expect((await keychain.get(account))?.reveal()).toBe(planted);
    const looked = execFileSync('secret-tool', ['lookup', 'service', 'tunnel', 'account', account], {
      env: desktop.environment,
      encoding: 'utf8',
    });
    expect(looked).toBe(planted);
    expect(await keychain.delete(account)).toBe(true);
    expect(await keychain.get(account)).toBeNull();
  });

  test('that is locked is told from one without the entry', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await desktop.keychain().set(account, new Secret(planted));
    await desktop.stopKeyring();
    await desktop.startKeyring('locked');
    await everyCallFails(desktop.keychain(), 'locked');
  });

  test('without a default collection says so', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('locked');
    await everyCallFails(desktop.keychain(), 'no-collection');
  });

  test('that hangs costs the time limit, and many at once are answered all', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await desktop.keychain().set(account, new Secret(planted));
    process.kill(desktop.keyringPid(), 'SIGSTOP');
    await everyCallFails(desktop.keychain(700), 'timed-out');
    const aborted = desktop.keychain().get(account, { signal: AbortSignal.timeout(700) });
    await expect(aborted).rejects.toEqual(trouble('timed-out'));
    process.kill(desktop.keyringPid(), 'SIGCONT');
    const keychain = desktop.keychain();
    const answers = await Promise.all(Array.from({ length: 8 }, () => keychain.get(account)));
    expect(answers.map((answer) => answer?.reveal())).toEqual(Array.from({ length: 8 }, () => planted));
  });

  test('is found by the environment of whoever asks', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await desktop.keychain().set(account, new Secret(planted));
    const elsewhere = createKeychain({ spawnArgv: childArgv, timeoutMs: 20_000, environment: {} });
    await expect(elsewhere.get(account)).rejects.toEqual(trouble('no-session-bus'));
    const found = await elsewhere.get(account, { environment: desktop.environment });
    expect(found?.reveal()).toBe(planted);
  });

  test('gives an entry only to the server it was set for', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    const keychain = desktop.keychain();
    const entries = createEntries(keychain, createBindings(join(temporaryFolder('bindings'), 'b')));
    const katie = { name: 'katie', kind: 'password', endpoint: 'me@katie.example:22' } as const;
    const anyConfig = { onlyOurs: false };
    const project = { onlyOurs: true };
    await expect(entries.read(katie, anyConfig)).rejects.toMatchObject({
      code: 'SECRET_MISSING',
      hint: hinting('tunnel secret set katie'),
    });
    await keychain.set(account, new Secret('by another tool'));
    expect((await entries.read(katie, anyConfig)).reveal()).toBe('by another tool');
    await expect(entries.read(katie, project)).rejects.toThrow(/project file/);
    await entries.write(katie, new Secret(planted));
    expect((await entries.read(katie, project)).reveal()).toBe(planted);
    const lure = { ...katie, endpoint: 'me@evil.example:22' };
    await expect(entries.read(lure, anyConfig)).rejects.toThrow(
      'it was set for me@katie.example:22, not for me@evil.example:22',
    );
    const shouted = { ...katie, endpoint: 'me@KATIE.example:22' };
    expect((await entries.read(shouted, project)).reveal()).toBe(planted);
    expect(await entries.remove('katie', 'password')).toBe(true);
    await expect(entries.read(katie, anyConfig)).rejects.toThrow(/no such entry/);
  });
});

describe.skipIf(keyringMissing() !== null)('a machine without a keychain', () => {
  test('with a bus but no provider', async () => {
    await using desktop = await startDesktop();
    await everyCallFails(desktop.keychain(), 'no-provider');
  });

  test('with the address of a dead bus', async () => {
    const environment = { DBUS_SESSION_BUS_ADDRESS: 'unix:path=/nonexistent' };
    await everyCallFails(
      createKeychain({ spawnArgv: childArgv, timeoutMs: 20_000, environment }),
      'dead-bus',
    );
  });

  test('without any session', async () => {
    await everyCallFails(
      createKeychain({ spawnArgv: childArgv, timeoutMs: 20_000, environment: {} }),
      'no-session-bus',
    );
  });
});

describe('the keychain child', () => {
  const keychainOf = (spawnArgv: readonly [string, ...string[]]): Keychain =>
    createKeychain({ spawnArgv, timeoutMs: 20_000, environment: { PATH: process.env['PATH'] } });

  test('without the addon says that it is absent', async () => {
    const folder = temporaryFolder('bare');
    await build({
      entryPoints: [join(import.meta.dirname, 'keychain-main.ts')],
      outfile: join(folder, 'main.mjs'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      external: ['keytar'],
    });
    await everyCallFails(keychainOf([process.execPath, join(folder, 'main.mjs')]), 'addon-missing');
  });

  test('that crashes, is silent, or cannot be started costs one answer', async () => {
    for (const script of ['process.abort()', '0', 'process.stdout.write("{")'])
      await everyCallFails(keychainOf([process.execPath, '-e', script]), 'crashed');
    await everyCallFails(keychainOf(['/nonexistent/program']), 'refused');
  });

  test('gets no variable that could hold a secret, and no secret in its arguments', async () => {
    const show =
      'process.stdin.resume().on("end",()=>process.stdout.write(JSON.stringify({ok:true,value:JSON.stringify([process.env,process.argv])})))';
    const environment = { PATH: process.env['PATH'], DB_PASSWORD: 'planted', NODE_OPTIONS: '--no-warnings' };
    const keychain = createKeychain({
      spawnArgv: [process.execPath, '-e', show],
      timeoutMs: 20_000,
      environment,
    });
    const seen = (await keychain.get(account, { environment }))?.reveal() ?? '';
    expect(seen).toContain('"LC_ALL":"C"');
    for (const absent of ['planted', 'NODE_OPTIONS', account]) expect(seen).not.toContain(absent);
  });

  test('never gets an empty value or one with a NUL', async () => {
    for (const value of ['', 'a\0b'])
      await expect(keychainOf(['/nonexistent']).set(account, new Secret(value))).rejects.toMatchObject({
        code: 'USAGE',
      });
  });

  test('answers over the streams it is given', async () => {
    const stdin = new PassThrough();
    const stdout = new PassThrough();
    stdin.end(JSON.stringify({ op: 'get', service: '', account: 'x' }));
    const [answer] = await Promise.all([text(stdout), runKeychainChild(stdin, stdout)]);
    expect(JSON.parse(answer)).toMatchObject({ ok: false });
  });
});

describe("the keychain's own words", () => {
  test.each([
    [
      'load',
      'libsecret-1.so.0: cannot open shared object file: No such file or directory',
      'libsecret-missing',
    ],
    ['load', "Cannot find package 'keytar' imported from /x.mjs", 'addon-missing'],
    ['call', 'Cannot autolaunch D-Bus without X11 $DISPLAY', 'no-session-bus'],
    ['call', 'Could not connect: No such file or directory', 'dead-bus'],
    ['call', 'The name org.freedesktop.secrets was not provided by any .service files', 'no-provider'],
    ['call', 'Cannot create an item in a locked collection', 'locked'],
    ['call', 'User interaction is not allowed.', 'locked'],
    ['call', 'Object does not exist at path “/org/freedesktop/secrets/collection/login”', 'no-collection'],
    ['call', 'something new', 'refused'],
  ] as const)('at %s, "%s" mean %s', (stage, message, expected) => {
    expect(troubleOf(stage, message)).toBe(expected);
  });
});
