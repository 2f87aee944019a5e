// `tunnel secret` and what comes of it at `up`: a real gnome-keyring, unlocked and locked, and a machine with none.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { entriesBelow } from '../helpers/folder.ts';
import { namespaceMissing, passwordPam, privateEtc } from '../helpers/private-etc.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { createWorld, type World } from '../helpers/world.ts';
import { keyringMissing, startDesktop, type Desktop } from '../secrets/keyring.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');
const missing = sshdMissing() ?? keyringMissing();
const planted = 'pl4nted correct horse';

/** A world on that desktop, whose server takes an encrypted key only. */
async function encryptedWorld(
  desktop: Desktop | null,
  sshd: Sshd,
): Promise<World & { readonly key: string }> {
  const world = createWorld();
  if (desktop !== null)
    world.env['DBUS_SESSION_BUS_ADDRESS'] = desktop.environment['DBUS_SESSION_BUS_ADDRESS'] ?? '';
  const key = makeKey(join(world.folder, 'locked'), ['-t', 'ed25519'], planted);
  writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
  world.config(`
hosts:
  box:
    hostname: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identity: [${key}]
    agent: false
    host_keys: accept-new
    passphrase: keychain
    password: keychain
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
  return Object.assign(world, { key });
}

/** Everything that was written below a folder. */
function written(folder: string): string {
  return entriesBelow(folder)
    .map(({ text }) => text)
    .join('\n');
}

describe.skipIf(missing !== null)('a keychain that is unlocked', () => {
  test('keeps a passphrase from stdin under the path of the key, and `up` uses it', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    const set = await world.run(['secret', 'set', world.key], { input: `${planted}\n` });
    expect(set, set.stderr).toMatchObject({ code: 0, stdout: '' });
    expect((await desktop.keychain().get(`${world.key}:passphrase`))?.reveal()).toBe(planted);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(set.stdout + set.stderr + up.stdout + up.stderr + written(world.folder)).not.toContain(planted);
    const list = await world.run(['secret', 'list', '--json']);
    expect(JSON.parse(list.stdout)).toEqual([{ name: world.key, kind: 'passphrase', endpoint: null }]);
    const gone = await world.run(['secret', 'delete', world.key]);
    expect(gone, gone.stderr).toMatchObject({ code: 0 });
    expect(await desktop.keychain().get(`${world.key}:passphrase`)).toBeNull();
    expect(await world.run(['secret', 'delete', world.key])).toMatchObject({ code: 2 });
  });

  test('a tunnel that waits for the entry comes up by itself once it is set', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect(up.stderr).toContain('the keychain has no such entry');
    expect(up.stderr).toContain('hint: tunnel secret set');
    expect((await world.tunnel('db')).state).toBe('needs-you');
    expect(await world.run(['secret', 'set', 'box', 'passphrase'], { input: planted })).toMatchObject({
      code: 0,
    });
    await world.until('db', ({ state }) => state === 'up');
  });

  test('an entry is for the server it was set for, and says so when the config leads elsewhere', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd({ config: ['PasswordAuthentication yes', 'PubkeyAuthentication no'] });
    await using world = await encryptedWorld(desktop, sshd);
    expect(await world.run(['secret', 'set', 'box'], { input: planted })).toMatchObject({ code: 0 });
    const bound = `${sshd.user}@127.0.0.1:${sshd.port}`;
    expect(JSON.parse((await world.run(['secret', 'list', '--json'])).stdout)).toEqual([
      { name: 'box', kind: 'password', endpoint: bound },
    ]);
    const text = readFileSync(join(world.folder, 'tunnels.yaml'), 'utf8');
    world.config(text.replace('hostname: 127.0.0.1', 'hostname: localhost'));
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect(up.stderr).toContain(`it was set for ${bound}, not for ${sshd.user}@localhost:${sshd.port}`);
    expect(sshd.log()).not.toContain('Failed password');
  });

  test.skipIf(namespaceMissing() !== null)('keeps a password, and `up` logs in with it', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    const { launcher } = privateEtc(passwordPam(planted));
    const config = ['UsePAM yes', 'PasswordAuthentication yes', 'PubkeyAuthentication no'];
    await using sshd = await startSshd({ launcher, config });
    await using world = await encryptedWorld(desktop, sshd);
    expect(await world.run(['secret', 'set', 'box'], { input: `${planted}\n` })).toMatchObject({ code: 0 });
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(sshd.log()).toContain('Accepted password');
    const why = await world.run(['why', 'db', '--json']);
    expect(why.stdout).toContain('password: accepted');
    expect(why.stdout + why.stderr + written(world.folder)).not.toContain(planted);
  });

  test('a password is sent once, refused once, and never loops', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd({ config: ['PasswordAuthentication yes', 'PubkeyAuthentication no'] });
    await using world = await encryptedWorld(desktop, sshd);
    expect(await world.run(['secret', 'set', 'box'], { input: 'not the password' })).toMatchObject({
      code: 0,
    });
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect((await world.tunnel('db')).error?.code).toBe('AUTH_REFUSED');
    expect(await world.run(['up'])).toMatchObject({ code: 6 });
    expect(sshd.log().match(/Failed password/g)).toHaveLength(1);
    expect(up.stderr + written(world.folder)).not.toContain('not the password');
  });

  test('a one-time code secret is looked at before it is stored', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    const bad = await world.run(['secret', 'set', 'box', 'totp'], { input: 'not base 32!' });
    expect(bad.code).toBe(6);
    expect(bad.stderr).not.toContain('base 32!');
    expect((await world.run(['secret', 'list', '--json'])).stdout.trim()).toBe('[]');
    const good = await world.run(['secret', 'set', 'box', 'totp'], { input: 'JBSWY3DPEHPK3PXP\n' });
    expect(good, good.stderr).toMatchObject({ code: 0 });
    expect(good.stderr).toContain('hint: totp: keychain');
  });

  test.skipIf(tmuxMissing() !== null)('on a terminal it is asked for unseen', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    using terminal = openTerminal(world.env);
    terminal.type(`${process.execPath} ${bin} secret set box; echo "exit=$?"`);
    terminal.key('Enter');
    await terminal.until(/Password of box \(.*127\.0\.0\.1:\d+\):/);
    terminal.type(planted);
    terminal.key('Enter');
    expect(await terminal.until(/exit=0/)).not.toContain(planted);
    expect((await desktop.keychain().get('box:password'))?.reveal()).toBe(planted);
  });
});

describe.skipIf(missing !== null || tmuxMissing() !== null)('what was typed at `up`', () => {
  const up = `${process.execPath} ${bin} up; echo "exit=$?"`;

  test('is offered to the keychain once it let us in, and used from then on', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    using terminal = openTerminal(world.env);
    terminal.type(up);
    terminal.key('Enter');
    await terminal.until(/Passphrase for .*locked/);
    terminal.type('a wrong one');
    terminal.key('Enter');
    await terminal.until(/Wrong[^]*Passphrase|Passphrase[^]*Passphrase/);
    terminal.type(planted);
    terminal.key('Enter');
    await terminal.until(/Save the passphrase for .*127\.0\.0\.1:\d+ in the keychain\? \[no\]:/);
    expect(await desktop.keychain().get('box:passphrase')).toBeNull();
    terminal.type('yes');
    terminal.key('Enter');
    expect(await terminal.until(/exit=0/)).not.toContain(planted);
    expect((await desktop.keychain().get('box:passphrase'))?.reveal()).toBe(planted);
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
  });

  test('stays with the supervisor after a no, and nothing is offered without a keychain', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    using terminal = openTerminal(world.env);
    terminal.type(up);
    terminal.key('Enter');
    await terminal.until(/Passphrase for .*locked/);
    terminal.type(planted);
    terminal.key('Enter');
    await terminal.until(/in the keychain\? \[no\]:/);
    terminal.key('Enter');
    await terminal.until(/exit=0/);
    expect(await desktop.keychain().get('box:passphrase')).toBeNull();
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    await desktop.stopKeyring();
    terminal.type(up.replace('exit=', 'again='));
    terminal.key('Enter');
    await terminal.until(/Passphrase[^]*exit=0[^]*Passphrase/);
    terminal.type(planted);
    terminal.key('Enter');
    expect((await terminal.until(/again=0/)).match(/in the keychain\?/g)).toHaveLength(1);
  });
});

describe.skipIf(missing !== null)('without an open keychain', () => {
  test('one that is locked is exit 6 and says so, at `secret set` and at `up`, and the supervisor lives on', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    expect(await world.run(['secret', 'set', world.key], { input: planted })).toMatchObject({ code: 0 });
    await desktop.stopKeyring();
    await desktop.startKeyring('locked');
    const set = await world.run(['secret', 'set', 'box'], { input: planted });
    expect(set.code).toBe(6);
    expect(set.stderr).toMatch(/the keychain is locked[^]*hint: unlock it/);
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect(up.stderr).toMatch(/the keychain is locked[^]*hint: unlock it/);
    expect(await world.tunnel('db')).toMatchObject({ state: 'needs-you', error: { code: 'SECRET_MISSING' } });
    expect(JSON.parse((await world.run(['secret', 'list', '--json'])).stdout)).toHaveLength(1);
  });

  test('one that hangs does not hang the supervisor', async () => {
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using sshd = await startSshd();
    await using world = await encryptedWorld(desktop, sshd);
    expect(await world.run(['secret', 'set', world.key], { input: planted })).toMatchObject({ code: 0 });
    process.kill(desktop.keyringPid(), 'SIGSTOP');
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up.code).toBe(5);
    expect((await world.tunnel('db')).state).toBe('connecting');
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
  });

  test('a machine with none is exit 6 and says what is missing', async () => {
    await using sshd = await startSshd();
    await using world = await encryptedWorld(null, sshd);
    const set = await world.run(['secret', 'set', 'box'], { input: planted });
    expect(set.code).toBe(6);
    expect(set.stderr).toMatch(/there is no desktop session here[^]*hint: .*env:NAME, file:PATH, command:/);
    const up = await world.run(['up']);
    expect(up.code).toBe(6);
    expect(up.stderr).toContain('there is no desktop session here');
    expect(JSON.parse((await world.run(['secret', 'list', '--json'])).stdout)).toEqual([]);
    expect((await world.run(['status'])).code).toBe(0);
  });
});

describe('the command line of secret', () => {
  test.each([
    [['secret', 'set'], /set NAME \[KIND\]/],
    [['secret', 'put', 'box'], /set NAME \[KIND\]/],
    [['secret', 'set', 'box', 'pin'], /password, passphrase or totp/],
    [['secret', 'set', 'nobody'], /no host in the config is named nobody/],
    [
      ['secret', 'set', 'db'],
      /db is a tunnel, and secrets belong to hosts: its host is box[^]*hint: tunnel secret set box/,
    ],
    [['secret', 'set', './no-such-key'], /there is no key file \S*\/no-such-key/],
  ])('%j is exit 2 with a word on what is right', async (args, words) => {
    await using world = createWorld();
    world.config(
      'hosts: { box: { hostname: 127.0.0.1 } }\ntunnels: { db: { host: box, local: auto, remote: 9 } }\n',
    );
    const ran = await world.run(args, { input: planted });
    expect(ran.code).toBe(2);
    expect(ran.stderr).toMatch(words);
    expect(ran.stderr).not.toContain(planted);
  });
});
