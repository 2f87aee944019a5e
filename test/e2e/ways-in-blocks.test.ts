// What a refused login does, through the built program: nothing, until its cause is gone; counted in the server's log.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { namespaceMissing, passwordPam, privateEtc } from '../helpers/private-etc.ts';
import { startAgent } from '../helpers/ssh-agent.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { connections, eventually, logins, requests } from '../helpers/ways-in.ts';
import { createWorld, type World } from '../helpers/world.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');

function configure(world: World, sshd: Sshd, keys: string): void {
  world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, ${keys} }
tunnels:
  db: { host: box, local: auto, remote: 9 }
  also: { host: box, local: auto, remote: 9 }
`);
}

const newKey = (): string => makeKey(join(temporaryFolder('key'), 'id'));

/** Asks for the tunnel in every way there is, off a terminal; all of them give the kept error. */
async function pester(world: World, code: number, env: Record<string, string> = {}): Promise<void> {
  expect((await world.run(['up'], { env })).code).toBe(code);
  expect((await world.run(['up', 'also'], { env })).code).toBe(code);
  expect((await world.run(['wait', '--timeout', '500ms'])).code).toBe(code);
  await world.run(['status']);
  await world.run(['reload']);
  expect((await world.run(['why', 'db'], { env })).code).toBe(code);
  expect((await world.tunnel('db')).state).toBe('needs-you');
}

describe.skipIf(sshdMissing() !== null)('a refused login', () => {
  test('with a key is one connection, whoever asks', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, `identity: [${newKey()}], agent: false, host_keys: accept-new`);
    expect((await world.run(['up'])).code).toBe(6);
    const [seen, asked] = [connections(sshd), requests(sshd)];
    await pester(world, 6);
    expect([connections(sshd), requests(sshd)]).toEqual([seen, asked]);
    // a person's word is one more
    expect((await world.run(['restart', 'db'])).code).toBe(6);
    expect(connections(sshd)).toBe(seen + 1);
  });

  test.skipIf(namespaceMissing() !== null).each(['env', 'file', 'command'])(
    'with a password from %s is one attempt, until the source says another',
    async (source) => {
      const { launcher } = privateEtc(passwordPam('right'));
      await using sshd = await startSshd({
        launcher,
        config: ['UsePAM yes', 'PasswordAuthentication yes', 'KbdInteractiveAuthentication yes'],
      });
      await using world = createWorld();
      const file = join(world.folder, 'word');
      writeFileSync(file, 'wrong\n', { mode: 0o600 });
      const from = {
        env: '"env:BOX_WORD"',
        file: `"file:${file}"`,
        command: `{ command: [cat, ${file}] }`,
      }[source];
      const keys = `agent: false, identity: [], auth: [password], host_keys: accept-new, password: ${from}`;
      configure(world, sshd, keys);
      const failures = (): number => sshd.log().match(/^Failed \S+ for/gm)?.length ?? 0;
      const env = { BOX_WORD: 'wrong' };
      expect((await world.run(['up'], { env })).code).toBe(6);
      expect(failures()).toBe(1);
      await pester(world, 6, env);
      expect(failures()).toBe(1);
      writeFileSync(file, 'right\n');
      // nobody can tell that a command would say another word: a person says so
      if (source === 'command') expect((await world.run(['restart'])).code).toBe(0);
      if (source === 'env')
        expect((await world.run(['up', 'db'], { env: { BOX_WORD: 'right' } })).code).toBe(0);
      await world.until('db', ({ state }) => state === 'up');
      expect(failures()).toBe(1);
    },
  );
});

describe.skipIf(sshdMissing() !== null)('a lazy tunnel', () => {
  test('with a refused key resets its clients and asks the server once', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const local = await freePort();
    world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${newKey()}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${local}, remote: 9, lazy: true }
`);
    expect((await world.run(['up'])).code).toBe(0);
    expect(requests(sshd)).toBe(0);
    expect(await request(local, 'wake', { halfClose: false })).toMatchObject({ error: 'ECONNRESET' });
    await world.until('db', ({ state }) => state === 'needs-you');
    const [seen, asked] = [connections(sshd), requests(sshd)];
    for (let client = 0; client < 3; client += 1)
      expect(await request(local, 'wake', { halfClose: false })).toMatchObject({ error: 'ECONNRESET' });
    expect((await world.run(['up'])).code).toBe(6);
    expect([connections(sshd), requests(sshd)]).toEqual([seen, asked]);
  });
});

describe.skipIf((sshdMissing() ?? namespaceMissing() ?? tmuxMissing()) !== null)('a person', () => {
  test('may be wrong three times on one connection; the right word is kept until down', async () => {
    const { launcher } = privateEtc(passwordPam('right'));
    await using sshd = await startSshd({
      launcher,
      config: ['UsePAM yes', 'PasswordAuthentication yes', 'KbdInteractiveAuthentication no'],
    });
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    configure(world, sshd, 'agent: false, identity: [], auth: [password], host_keys: accept-new');
    const up = (word: string): void => {
      terminal.type(`clear; ${process.execPath} ${bin} up; echo "${word}=$?"`);
      terminal.key('Enter');
    };
    const before = connections(sshd);
    up('first');
    for (const [tries, answer] of ['one', 'two', 'three'].entries()) {
      await terminal.until(new RegExp(`(Password for[^]*){${tries + 1}}$`));
      terminal.type(answer);
      terminal.key('Enter');
    }
    await terminal.until(/first=6/);
    expect(terminal.screen()).not.toMatch(/\bthree\b/);
    expect(sshd.log().match(/^Failed password/gm)).toHaveLength(3);
    expect(connections(sshd) - before).toBe(1);

    up('second');
    await terminal.until(/Password for[^]*$/);
    terminal.type('right');
    terminal.key('Enter');
    await terminal.until(/second=0/);
    sshd.signalSessions('SIGKILL');
    await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(sshd.log().match(/^Failed password/gm)).toHaveLength(3);
    expect((await world.run(['down'])).code).toBe(0);
    expect((await world.run(['up'])).code).toBe(6);
  });
});

describe.skipIf(sshdMissing() !== null)('needs-you ends by itself', () => {
  test('when the key is added to the agent', async () => {
    await using sshd = await startSshd();
    await using agent = await startAgent();
    agent.add(newKey());
    await using world = createWorld();
    configure(world, sshd, 'host_keys: accept-new');
    const env = { SSH_AUTH_SOCK: agent.socket };
    expect((await world.run(['up'], { env })).code).toBe(6);
    agent.add(sshd.identity);
    await world.until('db', ({ state }) => state === 'up');
    expect(logins(sshd)).toBe(1);
  });

  test('when the agent that was down is there', async () => {
    await using sshd = await startSshd();
    await using agent = await startAgent();
    agent.add(sshd.identity);
    await using world = createWorld();
    const socket = join(world.folder, 'agent.sock');
    configure(world, sshd, `agent: ${socket}, host_keys: accept-new`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect((await world.tunnel('db')).error?.code).toBe('AGENT_DOWN');
    symlinkSync(agent.socket, socket);
    await world.until('db', ({ state }) => state === 'up');
  });

  test('when the key file is replaced, or appears', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const key = join(world.folder, 'id');
    configure(world, sshd, `identity: [${key}], agent: false, host_keys: accept-new`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(connections(sshd)).toBe(2); // startSshd's own, and one for the host key: nothing to offer, no login
    copyFileSync(newKey(), key);
    await eventually(() => /^Failed publickey|Connection (closed|reset) by/m.test(sshd.log()));
    await world.until('db', ({ error }) => error?.code === 'AUTH_REFUSED');
    copyFileSync(sshd.identity, `${key}.new`);
    renameSync(`${key}.new`, key);
    await world.until('db', ({ state }) => state === 'up');
  });

  test('when the user trusts the host with ssh-keyscan', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const folder = join(world.env['HOME'] ?? '', '.ssh');
    mkdirSync(folder, { mode: 0o700 });
    configure(world, sshd, `identity: [${sshd.identity}], agent: false`);
    expect((await world.run(['up'])).code).toBe(7);
    const before = connections(sshd);
    await pester(world, 7);
    expect(requests(sshd)).toBe(0);
    expect(connections(sshd)).toBe(before);
    const scanned = execFileSync('ssh-keyscan', ['-p', String(sshd.port), '127.0.0.1'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    writeFileSync(join(folder, 'known_hosts'), scanned);
    await world.until('db', ({ state }) => state === 'up');
    expect(existsSync(join(world.folder, 'known_hosts'))).toBe(false);
  });

  test('when the missing secret file appears, and when its mode is mended', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const key = makeKey(join(world.folder, 'id'), ['-t', 'ed25519', '-a', '4'], 'two words');
    writeFileSync(sshd.authorizedKeys, readFileSync(`${key}.pub`));
    const file = join(world.folder, 'word');
    const keys = `identity: [${key}], agent: false, host_keys: accept-new, passphrase: "file:${file}"`;
    configure(world, sshd, keys);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toContain(file);
    writeFileSync(file, 'two words\n', { mode: 0o644 });
    await world.until('db', ({ error }) => error?.message.includes('0644') === true);
    execFileSync('chmod', ['600', file]);
    await world.until('db', ({ state }) => state === 'up');
  });
});

describe.skipIf((sshdMissing() ?? tmuxMissing()) !== null)('an attended link', () => {
  test('begins no login after a loss until a person is there', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    using terminal = openTerminal(world.env);
    const keys = `identity: [${sshd.identity}], agent: false, host_keys: accept-new, attended: true`;
    configure(world, sshd, keys);
    const early = await world.run(['up']);
    expect(early, early.stderr).toMatchObject({ code: 6 });
    expect(requests(sshd)).toBe(0);
    const up = (word: string): void => {
      terminal.type(`${process.execPath} ${bin} up; echo "${word}=$?"`);
      terminal.key('Enter');
    };
    up('first');
    await terminal.until(/first=0/);
    expect(logins(sshd)).toBe(1);

    const before = requests(sshd);
    sshd.signalSessions('SIGKILL');
    const waiting = await world.until('db', ({ state }) => state === 'needs-you');
    expect(waiting.error?.message).toMatch(/is back and wants your second factor/);
    expect(waiting.error?.hint).toBe('tunnel up db');
    const again = await world.run(['up', 'db']);
    expect(again, again.stderr).toMatchObject({ code: 6 });
    expect(requests(sshd)).toBe(before);
    up('second');
    await terminal.until(/second=0/);
    expect(logins(sshd)).toBe(2);
  });
});
