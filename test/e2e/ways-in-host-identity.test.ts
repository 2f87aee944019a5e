// Who the server is, through the built program: certificates of hosts, aliases, hashed and revoked lines, rotation.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { eventually, requests, sign } from '../helpers/ways-in.ts';
import { createWorld, type Ran, type World } from '../helpers/world.ts';

const authority = sshdMissing() === null ? makeKey(join(temporaryFolder('ca'), 'ca')) : '';
const publicOf = (path: string): string =>
  readFileSync(`${path}.pub`, 'utf8').split(' ').slice(0, 2).join(' ').trim();

/** An sshd whose host key is certified with these arguments of ssh-keygen. */
async function certified(...args: readonly string[]): Promise<Sshd & AsyncDisposable> {
  const certificate = join(temporaryFolder('cert'), 'host-cert.pub');
  writeFileSync(certificate, '');
  const sshd = await startSshd({ config: [`HostCertificate ${certificate}`] });
  const signed = sign(authority, sshd.hostKey(), '-h', '-I', 'box', ...args);
  writeFileSync(certificate, readFileSync(signed));
  await sshd.stop();
  await sshd.start();
  return sshd;
}

/** Brings a tunnel up with what the user's own known_hosts says. */
async function upWith(world: World, sshd: Sshd, knownHosts: string, more = ''): Promise<Ran> {
  const folder = join(world.env['HOME'] ?? '', '.ssh');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, 'known_hosts'), knownHosts);
  world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false${more} }
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
  return world.run(['up']);
}

const storeOf = (world: World): string => {
  const file = join(world.folder, 'known_hosts');
  return existsSync(file) ? readFileSync(file, 'utf8') : '';
};
const authorityLine = (sshd: Sshd): string =>
  `@cert-authority [127.0.0.1]:${sshd.port} ${publicOf(authority)}\n`;

describe.skipIf(sshdMissing() !== null)('a host certificate', () => {
  test('of a known authority is believed, strictly, and nothing is stored', async () => {
    await using sshd = await certified('-n', '127.0.0.1');
    await using world = createWorld();
    const up = await upWith(world, sshd, authorityLine(sshd), ', host_keys: strict');
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(storeOf(world)).toBe('');
    expect((await world.run(['why', 'db'])).stdout).toMatch(/host-key +ok/);
  });

  test.each([
    ['expired', ['-n', '127.0.0.1', '-V', '20200101:20200102']],
    ['for another principal', ['-n', 'elsewhere.example']],
    ['not yet valid', ['-n', '127.0.0.1', '-V', '20980101:20990101']],
  ])('%s does not count: exit 7, told why, no login', async (_, args) => {
    await using sshd = await certified(...args);
    await using world = createWorld();
    const up = await upWith(world, sshd, authorityLine(sshd), ', host_keys: strict');
    expect(up, up.stderr).toMatchObject({ code: 7 });
    expect(up.stderr).toContain('certificate does not count');
    expect(requests(sshd)).toBe(0);
  });

  test.each([
    ['authority', () => publicOf(authority)],
    ['key', (sshd: Sshd) => publicOf(sshd.hostKey())],
  ])('whose %s is revoked is refused whatever the policy, with no second try', async (_, revoked) => {
    await using sshd = await certified('-n', '127.0.0.1');
    await using world = createWorld();
    const lines = `${authorityLine(sshd)}@revoked * ${revoked(sshd)}\n`;
    const up = await upWith(world, sshd, lines, ', host_keys: accept-new');
    expect(up, up.stderr).toMatchObject({ code: 7 });
    expect((await world.tunnel('db')).error?.code).toBe('HOST_KEY_REVOKED');
    expect(requests(sshd)).toBe(0);
    expect(storeOf(world)).toBe('');
    const trust = await world.run(['trust', '--yes', 'db']);
    expect(trust, trust.stderr).toMatchObject({ code: 7 });
  });
});

describe.skipIf(sshdMissing() !== null)('a host key', () => {
  test('that is revoked is refused although it is also known', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const key = publicOf(sshd.hostKey());
    const up = await upWith(world, sshd, `${sshd.knownHostsLine()}\n@revoked * ${key}\n`);
    expect(up, up.stderr).toMatchObject({ code: 7 });
    expect(up.stderr).toMatch(/revoked/);
    expect(up.stderr).toContain('.ssh/known_hosts:2');
    expect(requests(sshd)).toBe(0);
  });

  test('under a HostKeyAlias is looked up and stored under that name', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const known = `the-box ${publicOf(sshd.hostKey())}\n`;
    const up = await upWith(world, sshd, known, ', host_key_alias: the-box, host_keys: strict');
    expect(up, up.stderr).toMatchObject({ code: 0 });

    await using other = createWorld();
    expect((await upWith(other, sshd, '', ', host_key_alias: the-box')).code).toBe(7);
    const trust = await other.run(['trust', '--yes', 'db']);
    expect(trust, trust.stderr).toMatchObject({ code: 0 });
    expect(storeOf(other)).toMatch(/^the-box ssh-ed25519 /);
  });

  test('in a hashed line of the user’s file is believed, and one that contradicts it is not', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const hashed = execFileSync('ssh-keyscan', ['-H', '-p', String(sshd.port), '127.0.0.1'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    expect(hashed).toMatch(/^\|1\|/m);
    const up = await upWith(world, sshd, hashed, ', host_keys: strict');
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect((await world.run(['down'])).code).toBe(0);
    await sshd.stop();
    sshd.changeHostKey();
    await sshd.start();
    const changed = await upWith(world, sshd, hashed);
    expect(changed, changed.stderr).toMatchObject({ code: 7 });
    expect((await world.tunnel('db')).error?.code).toBe('HOST_KEY_CHANGED');
  });

  test('of a further type is recorded once the server has proved it, and then good alone', async () => {
    await using sshd = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa'] });
    await using world = createWorld();
    const up = await upWith(world, sshd, '', ', host_keys: accept-new');
    expect(up, up.stderr).toMatchObject({ code: 0 });
    await eventually(() => storeOf(world).includes(publicOf(sshd.hostKey('ecdsa'))));
    expect(storeOf(world)).toContain(publicOf(sshd.hostKey('ed25519')));
    expect((await world.run(['logs', 'db'])).stdout).toMatch(/has a further key: ecdsa-sha2-nistp256/);
    expect((await world.run(['down'])).code).toBe(0);
    const only = await upWith(
      world,
      sshd,
      '',
      ', host_keys: strict, host_key_algorithms: ecdsa-sha2-nistp256',
    );
    expect(only, only.stderr).toMatchObject({ code: 0 });
  });

  test('known through an authority alone records no rotation', async () => {
    await using sshd = await certified('-n', '127.0.0.1');
    await using world = createWorld();
    expect((await upWith(world, sshd, authorityLine(sshd))).code).toBe(0);
    expect((await world.run(['down'])).code).toBe(0);
    expect(storeOf(world)).toBe('');
  });
});
