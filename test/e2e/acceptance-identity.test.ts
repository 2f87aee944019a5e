// Who is the server, who are we: unknown and changed keys, refused logins, and every exit code, against a real sshd.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

function configure(
  world: World,
  sshd: Pick<Sshd, 'port' | 'user' | 'identity'>,
  local: number | string,
  target: number,
  host = '',
): void {
  world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false${host} }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}" }
`);
}

const storeOf = (world: World): string => join(world.folder, 'known_hosts');
const attempts = (log: string): number => log.match(/userauth-request for user/g)?.length ?? 0;

describe.skipIf(sshdMissing() !== null)('host keys', () => {
  test('an unknown key off a terminal is exit 7 with its fingerprint; nothing is stored and no login begun', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9);
    const up = await world.run(['up']);
    expect(up.code).toBe(7);
    expect(up.stderr).toContain(sshd.fingerprint());
    expect(up.stderr).toContain('hint: tunnel trust');
    expect(existsSync(storeOf(world)) ? readFileSync(storeOf(world), 'utf8') : '').toBe('');
    expect(attempts(sshd.log())).toBe(0);
    const tunnel = await world.tunnel('db');
    expect(tunnel).toMatchObject({
      state: 'needs-you',
      error: { code: 'HOST_KEY_UNKNOWN' },
      question: { kind: 'host-key', fingerprint: sshd.fingerprint() },
    });
  });

  test('trust --yes stores the key, and what waited for it comes up by itself', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    configure(world, sshd, local, target.port);
    expect((await world.run(['up'])).code).toBe(7);
    const trust = await world.run(['trust', '--yes', 'db']);
    expect(trust, trust.stderr).toMatchObject({ code: 0 });
    await world.until('db', (tunnel) => tunnel.state === 'up');
    expect(await request(local, 'x')).toEqual({ text: 'X', error: null });
  });

  test('a fingerprint that does not match stores nothing and is exit 7', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9);
    const wrong = await world.run(['trust', 'box', '--fingerprint', `SHA256:${'A'.repeat(43)}`]);
    expect(wrong.code).toBe(7);
    expect(existsSync(storeOf(world)) ? readFileSync(storeOf(world), 'utf8') : '').toBe('');
    expect((await world.run(['trust', 'box', '--fingerprint', sshd.fingerprint()])).code).toBe(0);
    expect(readFileSync(storeOf(world), 'utf8')).toContain(sshd.knownHostsLine());
  });

  test('a changed key is exit 7 with both fingerprints and the line to mend, whatever the policy', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9, ', host_keys: accept-new');
    expect((await world.run(['up'])).code).toBe(0);
    const before = sshd.fingerprint();
    expect((await world.run(['down'])).code).toBe(0);
    await sshd.stop();
    sshd.changeHostKey();
    await sshd.start();
    const logins = attempts(sshd.log());
    const up = await world.run(['up', '--accept-new']);
    expect(up.code).toBe(7);
    for (const part of [before, sshd.fingerprint(), `${storeOf(world)}:1`, 'tunnel trust', '--replace']) {
      expect(up.stderr.replaceAll('~', world.env['HOME'] ?? '')).toContain(part);
    }
    expect(attempts(sshd.log())).toBe(logins);
    expect((await world.tunnel('db')).error?.code).toBe('HOST_KEY_CHANGED');

    const replace = await world.run(['trust', '--yes', '--replace', 'db']);
    expect(replace, replace.stderr).toMatchObject({ code: 0 });
    await world.until('db', (tunnel) => tunnel.state === 'up');
    expect(readFileSync(storeOf(world), 'utf8')).toMatch(/^@revoked /m);
  });

  test('the store is read by ssh, and what ssh-keyscan -H wrote is believed by us', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9);
    expect((await world.run(['trust', '--yes', 'box'])).code).toBe(0);
    const options = [
      '-F',
      'none',
      '-o',
      `UserKnownHostsFile=${storeOf(world)}`,
      '-o',
      'StrictHostKeyChecking=yes',
    ];
    const login = [
      '-o',
      'BatchMode=yes',
      '-i',
      sshd.identity,
      '-p',
      String(sshd.port),
      `${sshd.user}@127.0.0.1`,
    ];
    execFileSync('ssh', [...options, ...login, 'true']);

    await using other = createWorld();
    const scanned = join(other.folder, 'scanned');
    writeFileSync(
      scanned,
      execFileSync('ssh-keyscan', ['-H', '-p', String(sshd.port), '127.0.0.1'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
    configure(other, sshd, 'auto', 9, `, known_hosts: [${scanned}], host_keys: strict`);
    const up = await other.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
  });

  test('hosts list names what is trusted, with file and line', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9);
    expect((await world.run(['trust', '--yes', 'box'])).code).toBe(0);
    const listed = JSON.parse((await world.run(['hosts', 'list', '--json'])).stdout) as unknown;
    expect(listed).toMatchObject([
      {
        host: `[127.0.0.1]:${sshd.port}`,
        type: 'ssh-ed25519',
        fingerprint: sshd.fingerprint(),
        file: storeOf(world),
        line: 1,
        marker: null,
      },
    ]);
    expect((await world.run(['hosts', 'forget', `[127.0.0.1]:${sshd.port}`])).code).toBe(0);
    expect(JSON.parse((await world.run(['hosts', 'list', '--json'])).stdout)).toEqual([]);
  });
});

describe.skipIf(sshdMissing() !== null)('logins', () => {
  test('a refused key is exit 6, needs-you, and is not tried again by a second up', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const stranger = makeKey(join(world.folder, 'stranger'));
    configure(
      world,
      { ...sshd, port: sshd.port, user: sshd.user, identity: stranger },
      'auto',
      9,
      ', host_keys: accept-new',
    );
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toMatch(/authentication failed, on/);
    const tunnel = await world.tunnel('db');
    expect(tunnel).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
    const before = attempts(sshd.log());
    const again = await world.run(['up']);
    expect(again.code).toBe(6);
    expect(attempts(sshd.log())).toBe(before);
  });

  test('what a server says and a key that was accepted are told off a terminal too, not with --quiet', async () => {
    await using world = createWorld();
    const banner = join(world.folder, 'banner');
    writeFileSync(banner, 'Authorized use only.\nSmile.\n');
    await using sshd = await startSshd({ config: [`Banner ${banner}`] });
    configure(world, sshd, 'auto', 9);
    const up = await world.run(['up', '--accept-new']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(up.stderr).toContain('(box says) Authorized use only.\n(box says) Smile.\n');
    expect(up.stderr).toContain(
      `box (127.0.0.1:${sshd.port}) was new here: its ed25519 key, ${sshd.fingerprint()}, is trusted from now on`,
    );
    expect(up.stderr.match(/was new here/g)).toHaveLength(1);
    expect(up.stdout).not.toContain('Authorized');
    const again = await world.run(['restart']);
    expect(again.stderr).toContain('(box says) Smile.');
    expect(again.stderr).not.toContain('was new here');
    const quiet = await world.run(['--quiet', 'restart']);
    expect(quiet).toMatchObject({ code: 0, stderr: '' });
    const why = await world.run(['why', 'db']);
    expect(why.code, why.stderr).toBe(8); // nothing listens at the target
  });

  test('a key file that is missing keeps nobody from settling the host key, and is all that was missing', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const later = join(world.folder, 'later');
    configure(world, { port: sshd.port, user: sshd.user, identity: later }, 'auto', 9);
    const unknown = await world.run(['up']);
    expect(unknown, unknown.stderr).toMatchObject({ code: 7 });
    const up = await world.run(['up', '--accept-new']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect(up.stderr).toContain('later');
    expect(readFileSync(storeOf(world), 'utf8')).toContain(sshd.knownHostsLine());
    expect(await world.tunnel('db')).toMatchObject({ state: 'needs-you', error: { code: 'KEY_UNREADABLE' } });
    copyFileSync(sshd.identity, later);
    await world.until('db', ({ state }) => state === 'up');
  });

  test('an encrypted key with nobody to ask is exit 6 and says so', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const locked = makeKey(join(world.folder, 'locked'), ['-t', 'ed25519'], 'correct horse');
    writeFileSync(sshd.authorizedKeys, readFileSync(`${locked}.pub`));
    configure(
      world,
      { port: sshd.port, user: sshd.user, identity: locked },
      'auto',
      9,
      ', host_keys: accept-new',
    );
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 6 });
    expect((await world.tunnel('db')).question).toMatchObject({ kind: 'passphrase', echo: false });
    // the passphrase from the environment of the command that brings it up
    configure(
      world,
      { port: sshd.port, user: sshd.user, identity: locked },
      'auto',
      9,
      ', host_keys: accept-new, passphrase: "env:SESAME"',
    );
    const open = await world.run(['up'], { env: { SESAME: 'correct horse' } });
    expect(open, open.stderr).toMatchObject({ code: 0 });
  });
});

describe.skipIf(sshdMissing() !== null)('exit codes', () => {
  test('a busy port is 8 and names the holder', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const holder = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => holder.once('listening', resolve));
    const address = holder.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    configure(world, sshd, port, 9, ', host_keys: accept-new');
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain(String(process.pid));
    expect(await world.tunnel('db')).toMatchObject({ state: 'retrying', error: { code: 'LISTEN_FAILED' } });
    await new Promise((resolve) => holder.close(resolve));
    await world.until('db', (tunnel) => tunnel.state === 'up');
  });

  test('a server that is down is 5 after the time-out, and the supervisor goes on trying', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9, ', host_keys: accept-new');
    await sshd.stop();
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    expect((await world.run(['status', '--check'])).code).toBe(9);
    expect((await world.run(['wait', '--timeout', '300ms'])).code).toBe(9);
    await sshd.start();
    expect((await world.run(['wait'])).code).toBe(0);
    expect((await world.run(['status', '--check'])).code).toBe(0);
  });

  test('a tunnel that is not in the file is 2, a broken file 3 with every line', async () => {
    await using world = createWorld();
    expect((await world.run(['up'])).code).toBe(3);
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    expect((await world.run(['up', 'nope'])).code).toBe(2);
    expect((await world.run(['frobnicate'])).code).toBe(2);
    world.config(
      'tunnels:\n  db:\n    host: box\n    local: 99999\n    remot: 1\n  bad name!: { host: x, local: 1, remote: 2 }\n',
    );
    const up = await world.run(['up']);
    expect(up.code).toBe(3);
    expect(up.stderr).toMatch(/tunnels\.yaml:4:12 tunnels\.db\.local: must be 1-65535/);
    expect(up.stderr).toMatch(/tunnels\.yaml:5:5 tunnels\.db\.remot: .*did you mean.*remote/);
    expect(up.stderr).toMatch(/tunnels\.yaml:6:3 /);
    const check = await world.run(['check', '--json']);
    expect(check.code).toBe(3);
    expect(JSON.parse(check.stdout)).toMatchObject({
      ok: false,
      issues: [{ line: 4, column: 12 }, { line: 5, column: 5 }, { line: 6 }],
    });
    expect((await world.run(['reload'])).code).toBe(4);
  });
});
