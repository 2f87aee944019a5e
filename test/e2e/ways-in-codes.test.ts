// One-time codes through the built program, at a real PAM stack that takes each code once: by night, by person, and refused.
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { entriesBelow } from '../helpers/folder.ts';
import { authenticator } from '../helpers/one-time-codes.ts';
import { pamServerMissing, startPamServer, unix, watch } from '../helpers/pam-server.ts';
import { startSshd, type Sshd } from '../helpers/sshd.ts';
import { openTerminal, tmuxMissing, type Terminal } from '../helpers/tmux.ts';
import { createWorld, type World } from '../helpers/world.ts';
import { keyringMissing, startDesktop } from '../secrets/keyring.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');
const missing = pamServerMissing();
const password = 'pl4nted sesame';
const kbd = 'keyboard-interactive';

/** Keys of a host entry. */
const hostKeys = (sshd: Sshd, keys: string): string =>
  `{ hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, agent: false, host_keys: accept-new, ${keys} }`;

function configure(world: World, sshd: Sshd, keys: string): void {
  world.config(`hosts:
  box: ${hostKeys(sshd, `identity: [], ${keys}`)}
tunnels:
  db: { host: box, local: auto, remote: 9, reconnect: { initial: 100ms, max: 300ms } }
`);
}

function keep(world: World, name: string, text: string): string {
  const file = join(world.folder, 'home', name);
  writeFileSync(file, `${text}\n`, { mode: 0o600 });
  return `"file:${file}"`;
}

/** Everything the program wrote; not what the test did, which is in `home`. */
function written(world: World): string {
  return entriesBelow(world.folder)
    .filter(({ name }) => !name.startsWith('home/'))
    .map(({ name, text }) => `${name}: ${text}`)
    .join('\n');
}

/** As if other processes with this state folder took the codes of the next minutes. */
function takeCodesToCome(world: World): string[] {
  const folder = join(world.folder, 'codes');
  const [mark, step] = readdirSync(folder).sort().at(-1)?.split('-') ?? [];
  const files = Array.from({ length: 200 }, (_, ahead) =>
    join(folder, `${mark}-${Number(step) + 1 + ahead}`),
  );
  for (const file of files) writeFileSync(file, '');
  return files;
}

/** Ends the session on the server, and waits until the tunnel is back. */
async function lose(world: World, sshd: Sshd): Promise<void> {
  const { reconnects } = await world.tunnel('db');
  sshd.signalSessions('SIGKILL');
  await world.until('db', (tunnel) => tunnel.state === 'up' && tunnel.reconnects === reconnects + 1);
}

describe.skipIf(missing !== null)('a password and a code with nobody there', () => {
  test.each(['file', 'env', 'command'])('from %s are up, and come back after every loss', async (source) => {
    const codes = authenticator(2);
    await using server = await startPamServer(password, [unix, codes.pam()]);
    const { sshd } = server;
    await using world = createWorld();
    const [word, seed] = [keep(world, 'word', password), keep(world, 'seed', codes.uri)];
    const from = (file: string, name: string): string =>
      ({ file, env: `"env:${name}"`, command: `{ command: [cat, ${file.slice(6, -1)}] }` })[source] ?? '';
    configure(world, sshd, `password: ${from(word, 'BOX_WORD')}, totp: ${from(seed, 'BOX_SEED')}`);
    const env = { BOX_WORD: password, BOX_SEED: codes.uri };
    const seen = watch(sshd);
    const up = await world.run(['up'], { env });
    expect(up, up.stderr).toMatchObject({ code: 0 });
    await lose(world, sshd);
    // the next supervisor knows as well which codes are spent, and so does a login that `why` makes by itself
    expect((await world.run(['down'])).code).toBe(0);
    const why = await world.run(['why', 'db'], { env });
    expect(why.stdout, why.stderr).toMatch(/^auth\s+ok/m);
    const again = await world.run(['up'], { env });
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(seen()).toMatchObject({ attempts: [kbd, kbd, kbd, kbd], refused: 0, connections: 4 });
    expect(new Set(codes.used()).size).toBe(codes.used().length);
    expect(codes.tries()).toBe(4);
    const said = up.stdout + up.stderr + why.stdout + why.stderr + again.stdout + again.stderr;
    const logs = (await world.run(['logs', '--json'])).stdout;
    expect(said + logs + written(world)).not.toMatch(new RegExp(`pl4nted|${codes.seed}`, 'i'));
  });

  test.skipIf(keyringMissing() !== null)('from the keychain are up', async () => {
    const codes = authenticator();
    await using desktop = await startDesktop();
    await desktop.startKeyring('unlock');
    await using server = await startPamServer(password, [unix, codes.pam()]);
    await using world = createWorld();
    world.env['DBUS_SESSION_BUS_ADDRESS'] = desktop.environment['DBUS_SESSION_BUS_ADDRESS'] ?? '';
    configure(world, server.sshd, 'password: keychain, totp: keychain');
    expect((await world.run(['secret', 'set', 'box'], { input: password })).code).toBe(0);
    expect((await world.run(['secret', 'set', 'box', 'totp'], { input: codes.seed })).code).toBe(0);
    const seen = watch(server.sshd);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 0 });
    expect(written(world)).not.toMatch(new RegExp(`pl4nted|${codes.seed}`, 'i'));
  });

  test('come back at a server that has less patience than a code lasts', async () => {
    const codes = authenticator(6);
    await using server = await startPamServer(password, [unix, codes.pam()], ['LoginGraceTime 2']);
    await using world = createWorld();
    const [word, seed] = [keep(world, 'word', password), keep(world, 'seed', codes.uri)];
    configure(world, server.sshd, `password: ${word}, totp: ${seed}`);
    const seen = watch(server.sshd);
    expect((await world.run(['up'])).code).toBe(0);
    await lose(world, server.sshd);
    expect(seen().refused).toBe(0); // though it may have hung up on some that waited
    expect([codes.tries(), codes.used().length]).toEqual([2, 2]);
  });

  test('wait for the next code where it can be seen, and nothing else waits', async () => {
    const codes = authenticator(2);
    await using server = await startPamServer(password, [unix, codes.pam()]);
    await using other = await startSshd();
    await using world = createWorld();
    const [word, seed] = [keep(world, 'word', password), keep(world, 'seed', codes.uri)];
    world.config(`hosts:
  box: ${hostKeys(server.sshd, `identity: [], password: ${word}, totp: ${seed}`)}
  other: ${hostKeys(other, `identity: [${other.identity}]`)}
tunnels:
  db: { host: box, local: auto, remote: 9 }
  web: { host: other, local: auto, remote: 9, autostart: false }
`);
    const seen = watch(server.sshd);
    expect((await world.run(['up'])).code).toBe(0);
    const spent = takeCodesToCome(world);
    server.sshd.signalSessions('SIGKILL');
    const waits = /^login waits, on \S+ \(root@127\.0\.0\.1:\d+\): this one-time code was used, .* in \d+s$/;
    const waiting = await world.until('db', ({ error }) => waits.test(error?.message ?? ''));
    expect(waiting).toMatchObject({ state: 'connecting', error: { code: 'TIMED_OUT' } });
    expect(waiting.lastError?.code).toBe('LINK_LOST');
    expect((await world.run(['status'])).stdout).toContain('login waits');
    expect((await world.run(['logs'])).stdout).toMatch(/login waits, on .* one-time code was used/);
    expect((await world.run(['up', 'web'])).code).toBe(0);
    const late = await world.run(['up', 'db', '--timeout', '200ms']);
    expect(late.code).toBe(5);
    expect(late.stderr).toMatch(/login waits, on [^]*goes on trying in the background/);
    expect(codes.used()).toHaveLength(1);
    for (const file of spent) rmSync(file, { force: true });
    await world.until('db', ({ state }) => state === 'up');
    takeCodesToCome(world);
    server.sshd.signalSessions('SIGKILL');
    await world.until('db', ({ error }) => waits.test(error?.message ?? ''));
    expect((await world.run(['down', 'db'])).code).toBe(0);
    expect(seen()).toMatchObject({ attempts: [kbd, kbd, kbd], refused: 0 });
    expect(codes.used()).toHaveLength(2);
  });

  test('on two servers with one seed take different codes', async () => {
    const codes = authenticator(2);
    const same = authenticator(2);
    await using one = await startPamServer(password, [unix, codes.pam()]);
    await using two = await startPamServer(password, [unix, same.pam()]);
    await using world = createWorld();
    const [word, seed] = [keep(world, 'word', password), keep(world, 'seed', codes.uri)];
    const keys = `identity: [], password: ${word}, totp: ${seed}`;
    world.config(`hosts:
  one: ${hostKeys(one.sshd, keys)}
  two: ${hostKeys(two.sshd, keys)}
tunnels:
  a: { host: one, local: auto, remote: 9 }
  b: { host: two, local: auto, remote: 9 }
  c: { host: one, local: auto, remote: 9, share: false }
`);
    const [first, second] = [watch(one.sshd), watch(two.sshd)];
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(first()).toMatchObject({ attempts: [kbd, kbd], refused: 0 });
    expect(second()).toMatchObject({ attempts: [kbd], refused: 0 });
    const steps = [...codes.used(), ...same.used()];
    expect(new Set(steps).size).toBe(3);
  });
});

describe.skipIf(missing !== null)('a wrong answer with nobody there', () => {
  test.each(['password', 'code'])('a %s is sent once, exit 6, whoever asks', async (wrong) => {
    const codes = authenticator();
    await using server = await startPamServer(password, [unix, codes.pam()]);
    await using world = createWorld();
    const word = keep(world, 'word', wrong === 'password' ? 'pl4nted wrong' : password);
    const seed = keep(world, 'seed', wrong === 'code' ? codes.seed.replace('PL4', 'OTH') : codes.seed);
    configure(world, server.sshd, `password: ${word}, totp: ${seed}`);
    const seen = watch(server.sshd);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    if (wrong === 'password') expect(up.stderr).toContain('the stored password was refused');
    else expect(up.stderr).toMatch(/the one-time code made at \S+ was refused[^]*hint: date -u .*clock/);
    for (const args of [['up'], ['wait', '--timeout', '300ms'], ['why', 'db'], ['reload'], ['up', 'db']])
      expect((await world.run(args)).code, args.join(' ')).toBe(args[0] === 'reload' ? 0 : 6);
    expect(await world.tunnel('db')).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 1, connections: 1 });
    expect(codes.tries()).toBe(wrong === 'code' ? 1 : 0);
    expect(up.stderr + written(world)).not.toMatch(/pl4nted|SEEDJBSWY3D/i);
    // the source says another: that is tried, by itself
    keep(world, 'word', password);
    keep(world, 'seed', `${codes.seed} `);
    await world.until('db', ({ state }) => state === 'up');
    expect(seen()).toMatchObject({ attempts: [kbd, kbd], refused: 1 });
  });
});

test.skipIf(missing !== null)(
  'an expired password behind a key is named where forwarding fails for it',
  async () => {
    await using server = await startPamServer(password, [unix]);
    server.accounts.expire();
    await using world = createWorld();
    world.config(`hosts:
  box: ${hostKeys(server.sshd, `identity: [${server.sshd.identity}]`)}
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
    expect((await world.run(['up'])).code).toBe(0);
    const why = await world.run(['why', 'db']);
    expect(why.code).toBe(8);
    expect(why.stderr).toMatch(/^hint: .*password has expired/m);
    expect((await world.run(['logs'])).stdout).toContain('box#1: You are required to change your password');
  },
);

describe.skipIf((missing ?? tmuxMissing()) !== null)('a person at a terminal', () => {
  const up = (terminal: Terminal, word: string): void => {
    terminal.type(`clear; ${process.execPath} ${bin} up; echo "${word}=$?"`);
    terminal.key('Enter');
  };
  const answer = async (terminal: Terminal, question: RegExp, text: string): Promise<void> => {
    await terminal.until(question);
    terminal.type(text);
    terminal.key('Enter');
  };

  test('types password and code once; at night no login is begun; then only the code', async () => {
    const codes = authenticator(2);
    await using server = await startPamServer(password, [unix, codes.pam()]);
    const { sshd } = server;
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, '');
    const seen = watch(sshd);
    const early = await world.run(['up']);
    expect(early, early.stderr).toMatchObject({ code: 6 });
    expect(seen().attempts).toEqual([]);
    const who = `\\(root@127\\.0\\.0\\.1:${sshd.port} asks\\)`;
    up(terminal, 'first');
    await answer(terminal, new RegExp(`${who} Password:$`), password);
    await answer(terminal, new RegExp(`${who} Verification code:$`), codes.code());
    await terminal.until(/first=0/);
    expect(terminal.screen()).not.toContain('pl4nted');
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 0 });

    sshd.signalSessions('SIGKILL');
    const waiting = await world.until('db', ({ state }) => state === 'needs-you');
    expect(waiting.error?.message).toMatch(/box is back and wants your second factor/);
    const again = await world.run(['up', 'db']);
    expect(again, again.stderr).toMatchObject({ code: 6 });
    expect(seen()).toMatchObject({ attempts: [kbd] });

    up(terminal, 'second');
    // the password is in memory; the step of the first code is over by now, or the next one is typed
    await answer(
      terminal,
      new RegExp(`${who} Verification code:$`),
      codes.code(new Date(Date.now() + 2_000)),
    );
    await terminal.until(/second=0/);
    expect(terminal.screen().match(/Password:/g)).toHaveLength(1);
    expect(seen()).toMatchObject({ attempts: [kbd, kbd], refused: 0 });
    expect(written(world)).not.toContain('pl4nted');
  });

  test('changes an expired password when the server wants it, which nobody else can', async () => {
    await using server = await startPamServer(password, [unix]);
    server.accounts.expire();
    const { sshd } = server;
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, `password: ${keep(world, 'word', password)}`);
    const seen = watch(sshd);
    const nobody = await world.run(['up']);
    expect(nobody, nobody.stderr).toMatchObject({ code: 6 });
    expect(nobody.stderr).toContain('the server wants the password changed');
    expect(nobody.stderr).toContain('hint: tunnel up db on a terminal');
    expect((await world.tunnel('db')).question).toMatchObject({
      kind: 'password',
      text: 'Current password:',
    });
    expect((await world.run(['up'])).code).toBe(6);
    expect(seen()).toMatchObject({ attempts: [kbd], refused: 0 });

    const fresh = 'pl4nted anew';
    up(terminal, 'change');
    await answer(terminal, /asks\) Current password:$/, password);
    await answer(terminal, /asks\) New password:$/, fresh);
    await answer(terminal, /asks\) Retype new password:$/, fresh);
    const screen = await terminal.until(/change=0/);
    expect(screen).toContain('(box says) You are required to change your password immediately');
    expect(screen).not.toContain('pl4nted');
    await lose(world, sshd);
    expect(seen()).toMatchObject({ attempts: [kbd, kbd, kbd], refused: 0 });
    const logs = (await world.run(['logs'])).stdout;
    expect(logs).toMatch(/the password of root@\S+ was changed .* file:\S+ has the old one/);
    expect(logs + written(world)).not.toContain('pl4nted');
  });
});
