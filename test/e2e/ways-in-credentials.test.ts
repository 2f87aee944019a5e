// Credentials through the built program: several methods, certificates, agents, encrypted keys, and how often each is offered.
import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { namespaceMissing, passwordPam, privateEtc } from '../helpers/private-etc.ts';
import { startAgent } from '../helpers/ssh-agent.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { connections, logins, sign } from '../helpers/ways-in.ts';
import { createWorld, type World } from '../helpers/world.ts';

function configure(world: World, sshd: Sshd, keys: string): void {
  world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, host_keys: accept-new, ${keys} }
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
}

const admit = (sshd: Sshd, key: string): void =>
  appendFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
const fresh = (args?: readonly string[], passphrase = ''): string =>
  makeKey(join(temporaryFolder('key'), 'id'), args, passphrase);

/** Connections that the command made. */
async function upWith(world: World, sshd: Sshd, env: Record<string, string> = {}): Promise<number> {
  const before = connections(sshd);
  const up = await world.run(['up'], { env });
  expect(up, up.stderr).toMatchObject({ code: 0 });
  return connections(sshd) - before;
}

describe.skipIf(sshdMissing() !== null)(
  'a key that leads nowhere, at a server that would ask questions',
  () => {
    const asking = { config: ['KbdInteractiveAuthentication yes'] };
    test.each<[string, (folder: string) => string, RegExp, RegExp]>([
      [
        'a refused one is told first',
        () => `agent: false, identity: [${fresh()}]`,
        /: refused: key ED25519 \S+ \(\S+\); the server asks/,
        /^hint: is the key in \S+ authorized_keys there\? ssh-copy-id .*\nhint: tunnel up db on a terminal/m,
      ],
      [
        'a file that is not there is named first',
        (folder) => `agent: false, identity: [${folder}/nowhere]`,
        /: \S+\/nowhere: there is no such file; the server asks/,
        /^hint: ls .*\nhint: tunnel up db on a terminal/m,
      ],
      [
        'that there is none, nor an agent, is told first',
        () => 'agent: true',
        /: no key was found, and no agent answers; the server asks/,
        /^hint: eval "\$\(ssh-agent\)" && ssh-add .*\nhint: tunnel up db on a terminal/m,
      ],
    ])('%s', async (_, keys, message, hint) => {
      await using sshd = await startSshd(asking);
      await using world = createWorld();
      configure(world, sshd, keys(world.folder));
      const up = await world.run(['up'], { env: { SSH_AUTH_SOCK: '' } });
      expect(up.code, up.stderr).toBe(6);
      expect(up.stderr).toMatch(message);
      expect(up.stderr).toMatch(hint);
      expect((await world.tunnel('db')).error?.code).toBe('SECRET_MISSING');
    });
  },
);

describe.skipIf(sshdMissing() !== null)('several methods', () => {
  test('publickey,publickey takes both keys on one connection', async () => {
    await using sshd = await startSshd({
      config: ['AuthenticationMethods publickey,publickey', 'MaxAuthTries 3'],
    });
    await using world = createWorld();
    const second = fresh(['-t', 'ecdsa']);
    admit(sshd, second);
    configure(world, sshd, `agent: false, identity: [${sshd.identity}, ${second}]`);
    expect(await upWith(world, sshd)).toBe(1);
    expect(logins(sshd)).toBe(1);

    await using half = createWorld();
    configure(half, sshd, `agent: false, identity: [${sshd.identity}]`);
    const up = await half.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toMatch(/the server took key ED25519 .* and wants more/);
  });

  test.skipIf(namespaceMissing() !== null).each([
    ['publickey,password', 'file'],
    ['publickey,keyboard-interactive', 'env'],
    ['publickey,password', 'command'],
    ['password,publickey', 'file'],
  ])('%s, the password from %s, needs nobody and comes back by itself', async (methods, source) => {
    const { launcher } = privateEtc(passwordPam('open sesame'));
    const allowed = ['PasswordAuthentication yes', 'KbdInteractiveAuthentication yes', 'UsePAM yes'];
    await using sshd = await startSshd({
      launcher,
      config: [`AuthenticationMethods ${methods}`, ...allowed],
    });
    await using world = createWorld();
    const file = join(world.folder, 'word');
    writeFileSync(file, 'open sesame\n', { mode: 0o600 });
    const from = {
      file: `"file:${file}"`,
      env: '"env:BOX_WORD"',
      command: `{ command: [cat, ${file}] }`,
    }[source];
    configure(world, sshd, `agent: false, identity: [${sshd.identity}], password: ${from}`);
    expect(await upWith(world, sshd, { BOX_WORD: 'open sesame' })).toBe(1);
    sshd.signalSessions('SIGKILL');
    await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
  });
});

describe.skipIf(sshdMissing() !== null)('a user certificate', () => {
  test.each([
    ['beside the key', false],
    ['named as certificate', true],
  ])('%s logs in where only the authority is known', async (_, apart) => {
    const authority = fresh();
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${authority}.pub`] });
    writeFileSync(sshd.authorizedKeys, '');
    await using world = createWorld();
    const key = fresh();
    let certificate = sign(authority, key, '-I', 'me', '-n', sshd.user);
    if (apart) {
      renameSync(certificate, join(world.folder, 'elsewhere.pub'));
      certificate = join(world.folder, 'elsewhere.pub');
    }
    const more = apart ? `, certificate: ${certificate}` : '';
    configure(world, sshd, `agent: false, identity: [${key}]${more}`);
    expect(await upWith(world, sshd)).toBe(1);
    expect((await world.run(['why', 'db'])).stdout).toContain('certificate ED25519-CERT');
  });

  test('that has expired is 6, and the failure says so', async () => {
    const authority = fresh();
    await using sshd = await startSshd({ config: [`TrustedUserCAKeys ${authority}.pub`] });
    writeFileSync(sshd.authorizedKeys, '');
    await using world = createWorld();
    const key = fresh();
    sign(authority, key, '-I', 'me', '-n', sshd.user, '-V', '20200101:20200102');
    configure(world, sshd, `agent: false, identity: [${key}]`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toMatch(/expired 2020-01/);
  });
});

describe.skipIf(sshdMissing() !== null)('an agent', () => {
  test('with ten keys and MaxAuthTries 3 logs in with the one that a .pub or the config names', async () => {
    await using sshd = await startSshd({ config: ['MaxAuthTries 3'] });
    await using agent = await startAgent();
    const keys = Array.from({ length: 10 }, () => fresh());
    for (const key of keys) agent.add(key);
    const right = keys[8] ?? '';
    writeFileSync(sshd.authorizedKeys, readFileSync(`${right}.pub`));
    const env = { SSH_AUTH_SOCK: agent.socket };
    for (const identity of [`${right}.pub`, right]) {
      await using world = createWorld();
      configure(world, sshd, `identity: [${identity}]`);
      expect(await upWith(world, sshd, env)).toBe(1);
      expect((await world.run(['why', 'db'])).stdout).toMatch(/agent key ED25519/);
    }
    await using world = createWorld();
    configure(world, sshd, 'agent: true');
    const before = connections(sshd);
    const up = await world.run(['up'], { env });
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toContain('identity:');
    expect(connections(sshd) - before).toBe(1);
  });

  test('of the command that asks is used, though another started the supervisor', async () => {
    await using sshd = await startSshd();
    await using other = await startSshd();
    await using empty = await startAgent();
    await using agent = await startAgent();
    const key = fresh();
    admit(sshd, key);
    agent.add(key);
    await using world = createWorld();
    const place = (server: Sshd): string =>
      `hostname: 127.0.0.1, port: ${server.port}, user: ${server.user}, host_keys: accept-new`;
    world.config(`hosts:
  box: { ${place(sshd)} }
  away: { ${place(other)}, identity: [${other.identity}], agent: false }
tunnels:
  first: { host: away, local: auto, remote: 9 }
  db: { host: box, local: auto, remote: 9 }
`);
    // without any agent, then with an empty one, then with the right one
    expect((await world.run(['up', 'first'])).code).toBe(0);
    const refused = await world.run(['up', 'db'], { env: { SSH_AUTH_SOCK: empty.socket } });
    expect(refused, refused.stderr).toMatchObject({ code: 6 });
    const up = await world.run(['up', 'db'], { env: { SSH_AUTH_SOCK: agent.socket } });
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(logins(sshd)).toBe(1);
  });
});

describe.skipIf(sshdMissing() !== null)('an encrypted key', () => {
  test.each(['env', 'file', 'command'])('opens with a passphrase from %s', async (source) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const key = fresh(['-t', 'ed25519', '-a', '4'], 'two words');
    admit(sshd, key);
    const file = join(world.folder, 'word');
    writeFileSync(file, 'two words\n', { mode: 0o600 });
    const from = {
      env: '"env:KEY_WORD"',
      file: `"file:${file}"`,
      command: `{ command: [cat, ${file}] }`,
    }[source];
    configure(world, sshd, `agent: false, identity: [${key}], passphrase: ${from}`);
    expect(await upWith(world, sshd, { KEY_WORD: 'two words' })).toBe(1);
  });

  test('with the wrong passphrase is 6 without a connection’s worth of guesses', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const key = fresh(['-t', 'ed25519', '-a', '4'], 'two words');
    admit(sshd, key);
    configure(world, sshd, `agent: false, identity: [${key}], passphrase: "env:KEY_WORD"`);
    const up = await world.run(['up'], { env: { KEY_WORD: 'three words' } });
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toContain(key);
    expect(connections(sshd)).toBeLessThanOrEqual(2);
    const again = await world.run(['up'], { env: { KEY_WORD: 'two words' } });
    expect(again, again.stderr).toMatchObject({ code: 0 });
  });
});
