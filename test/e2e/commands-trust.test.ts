// `tunnel trust` and `tunnel hosts forget` for hosts that no tunnel goes to: every spelling of a host, and what is none (SPEC 4, 5).
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createHmac, randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startProxy } from '../helpers/proxy.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { connections, requests } from '../helpers/ways-in.ts';
import { createWorld, type World } from '../helpers/world.ts';

const entry = (sshd: Sshd, more = ''): string =>
  `{ hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false${more} }`;

/** One tunnel that goes nowhere, and these hosts beside it. */
const unused = (hosts: string): string => `
hosts:
  far: { hostname: far.invalid, user: me, agent: false }
${hosts}
tunnels:
  uppercase: { host: far, local: auto, remote: 9 }
  db.prod: { host: far, local: auto, remote: 9 }
`;

const storeOf = (world: World): string => {
  const file = join(world.folder, 'known_hosts');
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
};

function sshFile(world: World, name: string, text: string): void {
  mkdirSync(join(world.folder, 'home', '.ssh'), { recursive: true, mode: 0o700 });
  writeFileSync(join(world.folder, 'home', '.ssh', name), text, { mode: 0o600 });
}

const hasV6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));

describe.skipIf(sshdMissing() !== null)('trust of a host that no tunnel goes to', () => {
  test.each([
    ['an entry of hosts:', () => 'box'],
    ['an ssh_config alias', () => 'alias'],
    ['an alias with a user', ({ user }: Sshd) => `${user}@alias`],
    ['host:port', ({ port }: Sshd) => `127.0.0.1:${port}`],
    ['[host]:port', ({ port }: Sshd) => `[127.0.0.1]:${port}`],
    ['user@host:port', ({ port }: Sshd) => `somebody@127.0.0.1:${port}`],
    ['ssh://', ({ port }: Sshd) => `ssh://127.0.0.1:${port}`],
  ])('by %s stores its key and leaves nothing else behind', async (_, word) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    sshFile(world, 'config', `Host alias\n  HostName 127.0.0.1\n  Port ${sshd.port}\n`);
    world.config(unused(`  box: ${entry(sshd)}`));
    const trust = await world.run(['trust', '--yes', word(sshd)]);
    expect(trust, trust.stderr).toMatchObject({ code: 0, stderr: '' });
    expect(storeOf(world)).toBe(sshd.knownHostsLine());
    expect(requests(sshd)).toBe(0);
    expect((await world.status()).supervisor.running).toBe(false);
  });

  test.skipIf(!hasV6)('by [v6]:port', async () => {
    await using sshd = await startSshd({ config: ['ListenAddress ::1'] });
    await using world = createWorld();
    world.config(unused(''));
    const trust = await world.run(['trust', '--yes', `[::1]:${sshd.port}`]);
    expect(trust, trust.stderr).toMatchObject({ code: 0 });
    expect(storeOf(world)).toBe(sshd.knownHostsLine().replace('127.0.0.1', '::1'));
    expect((await world.run(['hosts', 'forget', `[::1]:${sshd.port}`])).code).toBe(0);
    expect(storeOf(world)).toBe('');
  });

  test('goes over its jump host, and over its proxy', async () => {
    await using bastion = await startSshd();
    await using box = await startSshd();
    await using proxy = await startProxy('socks5', null);
    await using world = createWorld();
    world.config(
      unused(`  bastion: ${entry(bastion)}
  inner: ${entry(box, ', jump: [bastion], host_key_alias: inner-box')}
  proxied: ${entry(box, `, proxy: "socks5://127.0.0.1:${proxy.port}"`)}`),
    );
    const jumped = await world.run(['trust', '--yes', 'inner']);
    expect(jumped, jumped.stderr).toMatchObject({ code: 0 });
    expect(storeOf(world).split('\n')).toEqual([
      bastion.knownHostsLine(),
      box.knownHostsLine().replace(/^\S+/, 'inner-box'),
    ]);
    expect(bastion.log()).toContain('Accepted publickey');
    expect(requests(box)).toBe(0);
    const proxied = await world.run(['trust', '--yes', 'proxied']);
    expect(proxied, proxied.stderr).toMatchObject({ code: 0 });
    expect(proxy.asked).toEqual([`127.0.0.1:${box.port}`]);
    expect(storeOf(world).split('\n')).toContain(box.knownHostsLine());
  });

  test('wakes a tunnel that waits for that key under another name', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(`hosts:\n  box: ${entry(sshd)}\ntunnels:\n  db: { host: box, local: auto, remote: 9 }\n`);
    expect((await world.run(['up'])).code).toBe(7);
    expect((await world.run(['trust', '--yes', `127.0.0.1:${sshd.port}`])).code).toBe(0);
    await world.until('db', ({ state }) => state === 'up');
  });

  test('off a terminal is exit 7 with the fingerprint, and the hint does it', async () => {
    await using bastion = await startSshd();
    await using box = await startSshd();
    await using world = createWorld();
    world.config(unused(`  bastion: ${entry(bastion)}\n  inner: ${entry(box, ', jump: [bastion]')}`));
    const hintOf = (stderr: string): string[] => {
      const line = /^hint: tunnel (trust .*?) {4}#/m.exec(stderr)?.[1];
      expect(line, stderr).toBeDefined();
      return (line ?? '').split(' ');
    };
    for (const word of ['inner', `127.0.0.1:${box.port}`]) {
      writeFileSync(join(world.folder, 'known_hosts'), '', { mode: 0o600 });
      for (;;) {
        const refused = await world.run(['trust', word]);
        if (refused.code === 0) break;
        expect(refused).toMatchObject({ code: 7, stdout: '' });
        const pasted = await world.run(hintOf(refused.stderr));
        expect(pasted, pasted.stderr).toMatchObject({ code: 0 });
      }
      expect(storeOf(world)).toContain(box.knownHostsLine());
    }
  });

  test('by a fingerprint stores the key that has it, on no other terms', async () => {
    await using bastion = await startSshd();
    await using box = await startSshd();
    await using world = createWorld();
    world.config(unused(`  bastion: ${entry(bastion)}\n  inner: ${entry(box, ', jump: [bastion]')}`));
    const by = (fingerprint: string, word: string): ReturnType<World['run']> =>
      world.run(['trust', '--fingerprint', fingerprint, word]);
    expect(await by(`SHA256:${'A'.repeat(43)}`, 'bastion')).toMatchObject({ code: 7, stdout: '' });
    // of the server behind the bastion, which is itself unknown
    const early = await by(box.fingerprint(), 'inner');
    expect(early).toMatchObject({ code: 7, stdout: '' });
    expect(early.stderr).toContain(`tunnel trust --fingerprint ${bastion.fingerprint()} bastion`);
    expect((await by(bastion.fingerprint(), 'inner')).code).toBe(7);
    expect(storeOf(world)).toBe('');
    const md5 = await by(`MD5:${Array(16).fill('0f').join(':')}`, 'bastion');
    expect(md5).toMatchObject({ code: 2, stdout: '' });
    expect(md5.stderr).toMatch(/MD5 .* only SHA256 is accepted/);
    expect(await by('SHA256:abc', 'bastion')).toMatchObject({ code: 2, stdout: '' });
    const before = connections(bastion);
    expect((await by(bastion.fingerprint().replace('SHA256:', ''), 'bastion')).code).toBe(0);
    expect(connections(bastion)).toBe(before + 1);
    expect((await by(bastion.fingerprint().replace('SHA256', 'sha256'), 'bastion')).code).toBe(0);
  });
});

describe('a word for trust that is no host', () => {
  test.each([
    ['uppercsae', 'tunnel trust uppercase    # did you mean that?'],
    ['fra', 'tunnel trust far    # did you mean that?'],
    ['nothing-like-it', 'tunnel trust nothing-like-it:22'],
    ['lowercas*', 'tunnel status'],
    ['tag:demo', 'tunnel status'],
    ['far.invalid:0', 'tunnel show'],
    ['a/b', 'tunnel trust a/b:22'],
  ])('%s is exit 2, and nothing is looked up', async (word, hint) => {
    await using world = createWorld();
    world.config(unused(''));
    // every name is an alias of the star, so that is none
    sshFile(world, 'config', 'Host *\n  HostName %h.invalid\n  ServerAliveInterval 7\n');
    const trust = await world.run(['trust', word, '--yes']);
    expect(trust).toMatchObject({ code: 2, stdout: '' });
    expect(trust.stderr).toContain(`hint: ${hint}`);
  });

  test('with a dot is taken for a server, and said to be where a tunnel is meant', async () => {
    await using world = createWorld();
    world.config(unused(''));
    sshFile(world, 'config', `Host *\n  Port ${await freePort()}\n  HostName 127.0.0.1\n`);
    const trust = await world.run(['trust', 'db.prdo', '--yes']);
    expect(trust).toMatchObject({ code: 5, stdout: '' });
    expect(trust.stderr).toMatch(
      /^no tunnel is named db\.prdo, so it is taken for a server; did you mean db\.prod\?/,
    );
    expect(trust.stderr).toContain('hint: tunnel trust db.prdo');
  });
});

describe.skipIf(sshdMissing() !== null)('hosts forget', () => {
  test.each([
    ['host:port', ({ port }: Sshd) => `127.0.0.1:${port}`],
    ['[host]:port', ({ port }: Sshd) => `[127.0.0.1]:${port}`],
    ['user@host:port', ({ port }: Sshd) => `me@127.0.0.1:${port}`],
    ['an entry of hosts:', () => 'box'],
    ['an ssh_config alias', () => 'alias'],
    ['the bare address', () => '127.0.0.1'],
  ])('knows a host by %s', async (spelling, word) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    sshFile(world, 'config', `Host alias\n  HostName 127.0.0.1\n  Port ${sshd.port}\n`);
    const tunnel = spelling === 'the bare address' ? '  t: { host: box, local: auto, remote: 9 }\n' : '';
    world.config(unused(`  box: ${entry(sshd)}`) + tunnel);
    expect((await world.run(['trust', '--yes', 'box'])).code).toBe(0);
    const forgotten = await world.run(['hosts', 'forget', word(sshd)]);
    expect(forgotten, forgotten.stderr).toMatchObject({
      code: 0,
      stdout: `forgot ${word(sshd)} ssh-ed25519 ${sshd.fingerprint()}\n`,
    });
    expect(storeOf(world)).toBe('');
  });

  test('takes every name of a host: its alias, its address, and lines that are hashed', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const [, type, blob] = sshd.knownHostsLine().split(' ');
    const salt = randomBytes(20);
    const digest = createHmac('sha1', salt).update(`[127.0.0.1]:${sshd.port}`).digest('base64');
    const hashed = `|1|${salt.toString('base64')}|${digest} ${type} ${blob}`;
    world.config(unused(`  box: ${entry(sshd, ', host_key_alias: the-box')}`));
    for (const word of ['box', 'the-box']) {
      writeFileSync(join(world.folder, 'known_hosts'), `the-box ${type} ${blob}\n`, { mode: 0o600 });
      expect((await world.run(['hosts', 'forget', word])).code, word).toBe(0);
      expect(storeOf(world)).toBe('');
    }
    for (const word of [`127.0.0.1:${sshd.port}`, hashed.split(' ')[0] ?? '']) {
      writeFileSync(join(world.folder, 'known_hosts'), `${hashed}\n`, { mode: 0o600 });
      expect((await world.run(['hosts', 'forget', word])).code, word).toBe(0);
      expect(storeOf(world)).toBe('');
    }
  });

  test('names the foreign lines that still trust a host, and forgets our own key beside them', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const [, type, blob] = sshd.knownHostsLine().split(' ');
    sshFile(world, 'known_hosts', `box ${type} ${blob}\n*.example ${type} ${blob}\n`);
    world.config(unused(`  box: ${entry(sshd)}`));
    const theirs = join(world.folder, 'home', '.ssh', 'known_hosts');
    const foreign = await world.run(['hosts', 'forget', 'www.example']);
    expect(foreign).toMatchObject({ code: 2, stdout: '' });
    expect(foreign.stderr).toContain(`www.example is still trusted by ${theirs}:2`);
    expect(foreign.stderr).toContain('our own store has no key for www.example');
    expect((await world.run(['hosts', 'forget', 'nobody.example.test'])).stderr).toContain('no key is known');
    // under the bare name there is a foreign line, under the address our own
    writeFileSync(join(world.folder, 'known_hosts'), `${sshd.knownHostsLine()}\n`, { mode: 0o600 });
    const both = await world.run(['hosts', 'forget', 'box']);
    expect(both).toMatchObject({ code: 0, stdout: `forgot box ssh-ed25519 ${sshd.fingerprint()}\n` });
    expect(both.stderr).toContain(`box is still trusted by ${theirs}:1`);
    expect(both.stderr).toContain(`hint: ssh-keygen -R box -f ${theirs}`);
    expect(storeOf(world)).toBe('');
  });
});
