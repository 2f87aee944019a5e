// What each command prints, where, and with which exit code: the contract scripts rely on (SPEC 4).
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/model/status.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

function configure(world: World, sshd: Sshd, local: number | string, target = 9, more = ''): void {
  world.config(configText(sshd, local, target, more));
}

const configText = (sshd: Sshd, local: number | string, target = 9, more = ''): string => `
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target}", tags: [demo] }
${more}`;

/** A world whose config is found as ./tunnels.yaml or by XDG, not by TUNNEL_HOME. */
function withoutHome(world: World): { env: Record<string, string>; cwd: string } {
  const cwd = join(world.folder, 'work');
  mkdirSync(cwd, { mode: 0o700 });
  const runtime = join(world.folder, 'rt');
  mkdirSync(runtime, { mode: 0o700 });
  return { cwd, env: { TUNNEL_HOME: '', XDG_RUNTIME_DIR: runtime } };
}

describe('without a server', () => {
  test('init takes a key by a path that holds from wherever, and refuses one that is not there', async () => {
    await using world = createWorld();
    const place = withoutHome(world);
    const file = join(world.folder, 'keyed.yaml');
    const init = (...identity: string[]): ReturnType<World['run']> =>
      world.run(['init', '-c', file, '--host', 'me@a.org', '--remote', 'b:1', ...identity], place);
    const missing = await init('--identity', '~/none');
    expect(missing).toMatchObject({ code: 2, stdout: '' });
    expect(missing.stderr).toMatch(
      /^tunnel: --identity .*: it is no file here\nhint: tunnel .*init --help\n$/,
    );
    expect(existsSync(file)).toBe(false);
    expect((await init()).stderr).toContain('no private key was found: ');
    rmSync(file);
    writeFileSync(join(place.cwd, 'own.pem'), '');
    const given = await init('--identity', 'own.pem');
    expect(given.code).toBe(0);
    expect(given.stderr).not.toContain('no private key was found: ');
    expect(readFileSync(file, 'utf8')).toContain(`identity: ${join(place.cwd, 'own.pem')}\n`);
  });

  test('the first five minutes: no config, init, check, status', async () => {
    await using world = createWorld();
    const place = withoutHome(world);
    const nothing = await world.run(['up'], place);
    expect(nothing).toMatchObject({
      code: 3,
      stdout: '',
      stderr:
        'tunnel: no config, looked at ./tunnels.yaml and ~/.config/tunnel/tunnels.yaml\nhint: tunnel init\n',
    });
    const init = await world.run(
      ['init', '--host', 'me@katie.example.org', '--remote', 'katie.example.org:12000', '--local', '2345'],
      place,
    );
    expect(init).toMatchObject({
      code: 0,
      stdout: 'wrote ~/.config/tunnel/tunnels.yaml with one tunnel, katie\nnext: tunnel up\n',
    });
    const second = await world.run(['init', '--host', 'me@x.org', '--remote', 'y:1'], place);
    expect(second).toMatchObject({ code: 2, stdout: '' });
    expect(second.stderr).toContain('hint: tunnel add x -L 1:y:1 me@x.org    # one more tunnel in it\n');
    await using target = await startTarget(uppercase);
    const file = join(world.folder, 'other.yaml');
    const taken = await world.run(
      ['init', '-c', file, '--host', 'me@bastion.org', '--remote', `db:${target.port}`, '--name', 'db'],
      place,
    );
    expect(taken).toMatchObject({ code: 0 });
    const free = new RegExp(`^port ${target.port} is taken here; (\\d+) is free$`, 'm').exec(
      taken.stderr,
    )?.[1];
    const text = readFileSync(file, 'utf8');
    expect(text).toContain(`  db:\n    host: bastion\n    local: ${free}\n`);
    expect(await world.run(['check'], place)).toMatchObject({
      code: 0,
      stdout: '~/.config/tunnel/tunnels.yaml: ok, 1 tunnel\n',
    });
    const status = await world.run(['status'], place);
    expect(status).toMatchObject({ code: 0, stderr: 'no supervisor is running\n' });
    expect(status.stdout).toMatch(
      /^NAME\s+STATE\s+LISTEN\s+TARGET\nkatie\s+down\s+127\.0\.0\.1:2345\s+katie/,
    );
    expect((await world.run(['status', '--check'], place)).code).toBe(9);
    expect((await world.run(['wait', '--timeout', '200ms'], place)).code).toBe(9);
    expect((await world.run(['down'], place)).code).toBe(0);
    expect((await world.run(['reload'], place)).code).toBe(4);
    const document = JSON.parse((await world.run(['status', '--json'], place)).stdout) as StatusDocument;
    expect(document.supervisor).toMatchObject({ running: false, pid: null, version: null, since: null });
    expect(document.tunnels[0]).toMatchObject({
      name: 'katie',
      state: 'down',
      endpoint: 'me@katie.example.org:22',
    });
  });

  test('usage errors are 2 with a hint, and names nobody has are told before a supervisor is started', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    for (const args of [
      ['frobnicate'],
      ['up', '--frob'],
      ['up', 'nope'],
      ['status', 'nope'],
      ['logs', 'nope'],
      ['up', '--timeout', '5'],
    ]) {
      const ran = await world.run(args);
      expect(ran, args.join(' ')).toMatchObject({ code: 2, stdout: '' });
      expect(ran.stderr).toMatch(/^tunnel: .*\nhint: /);
    }
    expect((await world.run(['stauts'])).stderr).toContain('hint: tunnel status    # did you mean that?');
    expect((await world.run(['status', 'dv'])).stderr).toContain(
      'hint: tunnel status db    # did you mean that?',
    );
    expect((await world.status()).supervisor.running).toBe(false);
  });

  test('help and version go to stdout, and every command has its help', async () => {
    await using world = createWorld();
    const help = await world.run(['--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toContain('Examples:');
    expect((await world.run([])).stdout).toBe(help.stdout);
    expect((await world.run(['up', '--help'])).stdout).toContain('tunnel up db tag:demo');
    const version = await world.run(['--version']);
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await world.run(['-q', '--version'])).stdout).toBe(version.stdout);
  });

  test('show tells every hop and no secret', async () => {
    await using world = createWorld();
    world.config(`
hosts:
  bastion: { hostname: bastion.test, user: b, agent: false }
  box: { hostname: box.test, port: 2222, user: me, jump: [bastion], agent: /run/agent.sock, password: "env:SESAME", host_key_alias: boxed }
tunnels:
  db: { host: box, local: 5432, remote: "db:5432", tags: [a] }
`);
    const shown = await world.run(['show', '--json'], { env: { SESAME: 'open' } });
    expect(shown.code).toBe(0);
    expect(JSON.parse(shown.stdout)).toMatchObject([
      {
        name: 'db',
        hops: [
          { name: 'bastion', hostname: 'bastion.test', port: 22, user: 'b', agent: null, proxyCommand: null },
          {
            name: 'box',
            port: 2222,
            agent: '/run/agent.sock',
            hostKeyAlias: 'boxed',
            hostKeys: 'ask',
            certificates: [],
          },
        ],
        forwards: [{ type: 'local', listen: '127.0.0.1:5432', target: 'db:5432' }],
        tags: ['a'],
      },
    ]);
    expect(shown.stdout).not.toContain('open');
    const text = await world.run(['show', 'db']);
    expect(text.stdout).toMatch(/hop\s+bastion\s+b@bastion\.test:22/);
    expect(text.stdout).toMatch(/password\s+env:SESAME/);
  });

  test('schema is JSON, and a config that others may write is refused', async () => {
    await using world = createWorld();
    expect(JSON.parse((await world.run(['schema'])).stdout)).toHaveProperty('properties.tunnels');
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    chmodSync(join(world.folder, 'tunnels.yaml'), 0o666);
    const up = await world.run(['up']);
    expect(up.code).toBe(3);
    expect(up.stderr).toContain('can be written by everybody');
  });

  test('a reader that has read enough is no fault', async () => {
    await using world = createWorld();
    const { execFileSync } = await import('node:child_process');
    const out = execFileSync('sh', ['-c', `"${process.execPath}" bin/tunnel.js schema | head -1`], {
      env: world.env,
      encoding: 'utf8',
    });
    expect(out).toBe('{\n');
  });
});

describe.skipIf(sshdMissing() !== null)('with a server', () => {
  test('up --json is the document alone, and a failure before it prints nothing on stdout', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto');
    const up = await world.run(['up', '--json']);
    expect(up.code).toBe(0);
    expect((JSON.parse(up.stdout) as StatusDocument).tunnels).toMatchObject([{ name: 'db', state: 'up' }]);
    world.config('tunnels: [');
    const broken = await world.run(['up', '--json']);
    expect(broken).toMatchObject({ code: 3, stdout: '' });
    const check = await world.run(['check', '--json']);
    expect(check.code).toBe(3);
    expect(JSON.parse(check.stdout)).toMatchObject({ ok: false });
    // status and down work on: the file is broken, the tunnels are not
    expect((await world.run(['status', '--check'])).code).toBe(0);
    expect((await world.run(['status'])).stderr).toContain('the last good config is in use: ');
    const down = await world.run(['down', 'db']);
    expect(down.code).toBe(0);
    expect(down.stdout).toMatch(/^db {2}down {2}127\.0\.0\.1:\d+ closed\n$/);
    expect(down.stderr).toContain('nothing is wanted any more: supervisor ended');
  });

  test('several failures are said once a cause, go on past each other, and end with the first code of 3 7 6 8 5 9', async () => {
    await using sshd = await startSshd();
    await using holder = await startTarget(uppercase);
    await using world = createWorld();
    configure(
      world,
      sshd,
      'auto',
      9,
      `  busy: { host: box, local: ${holder.port}, remote: "9" }
  a: { host: "me@127.0.0.1:1", local: auto, remote: "9" }
  b: { host: "me@127.0.0.1:1", local: auto, remote: "9" }
`,
    );
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up).toMatchObject({ code: 8 });
    expect(up.stdout).toMatch(/^db {2}up /m);
    expect(up.stdout).toMatch(/^a {2}(retrying|connecting) /m);
    expect(up.stderr).toMatch(/tunnel: 2 tunnels \(a and b\): connect/);
    expect(up.stderr).toMatch(/tunnel: busy: /);
    expect(up.stderr).toContain('goes on trying in the background');
    const status = await world.run(['status']);
    expect(status.stdout.indexOf('busy')).toBeLessThan(status.stdout.indexOf('db'));
    expect(status.stdout).toMatch(/2 tunnels: connect failed/);
    expect((await world.run(['status', '--check', 'db'])).code).toBe(0);
    expect((await world.run(['status', '--check', 'tag:demo'])).code).toBe(0);
    expect((await world.run(['status', '--check'])).code).toBe(9);
  });

  test('status --problems is what does not serve although it is wanted, and says so when there is none', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const [gone, idle] = [await freePort(), await freePort()];
    const more = `  gone: { host: me@127.0.0.1:${gone}, local: auto, remote: 9 }
  idle: { host: me@127.0.0.1:${idle}, local: auto, remote: 9, autostart: false }
`;
    configure(world, sshd, 'auto', 9, more);
    expect((await world.run(['up', 'db'])).code).toBe(0);
    const none = await world.run(['status', '--problems']);
    expect(none).toMatchObject({ code: 0, stdout: '' });
    expect(none.stderr).toMatch(/^no problem: 1 up/m);

    expect((await world.run(['up', 'gone', '--timeout', '200ms'])).code).toBe(5);
    const some = await world.run(['status', '--problems', '--json']);
    const names = (JSON.parse(some.stdout) as StatusDocument).tunnels.map(({ name }) => name);
    expect(names).toEqual(['gone']);
    expect((await world.run(['status', '--problems'])).stdout).not.toMatch(/^(db|idle)/m);
    expect((await world.run(['status', '--problems', '--check', 'db'])).code).toBe(0);
  });

  test('restart dials afresh and keeps the port; without a supervisor it is up', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    configure(world, sshd, local, target.port);
    expect((await world.run(['restart'])).code).toBe(0);
    expect(await request(local, 'x')).toEqual({ text: 'X', error: null });
    const restart = await world.run(['restart', 'db']);
    expect(restart).toMatchObject({ code: 0 });
    expect(restart.stdout).toMatch(/^db {2}up /);
    expect(await request(local, 'y')).toEqual({ text: 'Y', error: null });
    expect(sshd.log().match(/Accepted publickey/g)).toHaveLength(2);
  });

  test('an exposed listener is said at up', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, `"0.0.0.0:${await freePort()}"`);
    const up = await world.run(['up']);
    expect(up).toMatchObject({ code: 0 });
    expect(up.stderr).toContain('is exposed, other machines can reach it');
    expect((await world.tunnel('db')).forwards[0]).toMatchObject({ exposed: true });
  });

  test('logs reads without a supervisor, chooses by tunnel, count and age, and follows', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, 'auto', 9, '  other: { host: box, local: auto, remote: "9", autostart: false }\n');
    expect((await world.run(['up'])).code).toBe(0);
    const following = world.start(['logs', '-f', '--json', '-n', '1']);
    // it follows from the line it showed on
    await new Promise((resolve) => following.stdout?.once('data', resolve));
    const followed = new Promise<Record<string, unknown>>((resolve) => {
      let text = '';
      following.stdout?.on('data', (chunk) => {
        text += String(chunk);
        const line = text
          .split('\n')
          .slice(0, -1)
          .find((each) => each.includes('"other"'));
        if (line !== undefined) resolve(JSON.parse(line) as Record<string, unknown>);
      });
    });
    expect((await world.run(['up', 'other'])).code).toBe(0);
    expect(await followed).toMatchObject({ tunnel: 'other' });
    following.kill('SIGTERM');
    expect(await new Promise((resolve) => following.once('exit', resolve))).toBe(143);
    expect((await world.run(['down'])).code).toBe(0);
    const db = await world.run(['logs', 'db', '--json']);
    expect(db.code).toBe(0);
    const lines = db.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) {
      expect(line['time']).toMatch(/Z$/);
      expect(line).toHaveProperty('message');
      expect(line['tunnel'] ?? 'db').toBe('db');
    }
    expect((await world.run(['logs', '-n', '1'])).stdout.trim().split('\n')).toHaveLength(1);
    expect((await world.run(['logs', '--since', '1ms'])).stdout).toBe('');
  });

  test('a project file needs consent before it is used, and again when its servers change, not when its ports do', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const place = withoutHome(world);
    const file = join(place.cwd, 'tunnels.yaml');
    const write = (text: string): void => writeFileSync(file, text, { mode: 0o600 });
    write(configText(sshd, await freePort()));
    const refused = await world.run(['up'], place);
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('hint: tunnel allow');
    expect((await world.run(['status'], place)).code).toBe(0);
    expect((await world.run(['check'], place)).code).toBe(0);
    expect((await world.run(['show'], place)).code).toBe(3);
    const allowed = await world.run(['allow'], place);
    expect(allowed.code).toBe(0);
    expect(allowed.stderr).toContain(`127.0.0.1:${sshd.port}`);
    expect((await world.run(['up'], place)).code).toBe(0);
    write(configText(sshd, await freePort(), 10));
    expect((await world.run(['up'], place)).code).toBe(0);
    write(
      configText(sshd, await freePort(), 10).replace(
        'agent: false',
        'agent: false, proxy_command: "nc %h %p"',
      ),
    );
    expect((await world.run(['up'], place)).code).toBe(3);
    expect((await world.run(['status', '--check'], place)).code).toBe(0);
    expect((await world.run(['-c', file, 'up'], place)).code, 'naming it allows it').not.toBe(3);
    expect((await world.run(['down'], place)).code).toBe(0);
  });

  test("a project's own known_hosts is believed as it was allowed, also by a supervisor that runs", async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const place = withoutHome(world);
    const keys = join(place.cwd, 'kh');
    const config = configText(sshd, await freePort()).replace('accept-new', 'strict, known_hosts: [./kh]');
    writeFileSync(join(place.cwd, 'tunnels.yaml'), config, { mode: 0o600 });
    writeFileSync(keys, `${sshd.knownHostsLine()}\n`);
    const up = async (): Promise<number | null> => (await world.run(['up'], place)).code;
    expect((await world.run(['allow'], place)).code).toBe(0);
    expect(await up()).toBe(0);
    appendFileSync(keys, `evil.example.org ${sshd.knownHostsLine().split(' ').slice(1).join(' ')}\n`);
    expect(await up()).toBe(3);
    await sshd.stop();
    await sshd.start();
    const waits = async (): Promise<unknown> => {
      const { stdout } = await world.run(['status', '--json'], place);
      return (JSON.parse(stdout) as StatusDocument).tunnels[0];
    };
    await expect.poll(waits, { timeout: 60_000 }).toMatchObject({
      state: 'needs-you',
      error: {
        code: 'HOST_KEY_UNKNOWN',
        message: expect.stringMatching(/\/kh came with the project, and it has changed/),
        hint: 'tunnel allow && tunnel up',
      },
    });
    expect((await world.run(['allow'], place)).code).toBe(0);
    expect(await up()).toBe(0);
    expect((await world.run(['down'], place)).code).toBe(0);
  });

  test('trust, hosts and a changed key: replace revokes the old one, forget forgets', async () => {
    await using sshd = await startSshd({ hostKeyTypes: ['ed25519', 'rsa'] });
    await using world = createWorld();
    world.config(configText(sshd, 'auto').replace(', host_keys: accept-new', ''));
    const asked = await world.run(['trust']);
    expect(asked).toMatchObject({ code: 7, stdout: '' });
    expect(asked.stderr).toContain(sshd.fingerprint());
    const other = await world.run(['trust', '--fingerprint', sshd.fingerprint('rsa'), 'db']);
    expect(other, other.stderr).toMatchObject({ code: 0 });
    expect(other.stdout).toContain(`ssh-rsa ${sshd.fingerprint('rsa')}`);
    const store = (): string => readFileSync(join(world.folder, 'known_hosts'), 'utf8');
    expect(store()).toBe(`${sshd.knownHostsLine('rsa')}\n`);
    expect((await world.run(['up'])).code).toBe(0);
    expect((await world.run(['down'])).code).toBe(0);
    const old = sshd.fingerprint('rsa');
    await sshd.stop();
    sshd.changeHostKey('rsa');
    sshd.changeHostKey('ed25519'); // learnt by rotation at the login above
    await sshd.start();
    expect((await world.run(['up'])).code).toBe(7);
    expect((await world.run(['trust', '--yes', 'db'])).code).toBe(7);
    const replaced = await world.run(['trust', '--yes', '--replace', 'db']);
    expect(replaced, replaced.stderr).toMatchObject({ code: 0 });
    expect(replaced.stdout).toContain(`${old}  revoked`);
    expect(store()).toContain('@revoked');
    await world.until('db', ({ state }) => state === 'up');
    const taken = await world.run(['hosts', 'forget', '--revoked', `127.0.0.1:${sshd.port}`]);
    expect(taken, taken.stderr).toMatchObject({ code: 0 });
    expect(taken.stdout).toContain(`no longer revoked for 127.0.0.1:${sshd.port}: ssh-rsa ${old}`);
    expect(store()).not.toContain('@revoked');
    expect(store()).toContain(sshd.knownHostsLine('rsa'));
    expect((await world.run(['hosts', 'forget', '--revoked', `127.0.0.1:${sshd.port}`])).code).toBe(2);
    const exported = await world.run(['hosts', 'export']);
    expect(exported.stdout).toBe(store());
    const forgotten = await world.run(['hosts', 'forget', `127.0.0.1:${sshd.port}`]);
    expect(forgotten.code).toBe(0);
    expect((await world.run(['hosts', 'forget', 'nobody.test'])).code).toBe(2);
  });

  test('colors follow the switches and never reach a pipe by themselves', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    const escape = '\u001b[';
    expect((await world.run(['status'])).stdout).not.toContain(escape);
    expect((await world.run(['status', '--color'])).stdout).toContain(escape);
    expect((await world.run(['status'], { env: { FORCE_COLOR: '1' } })).stdout).toContain(escape);
    expect((await world.run(['status', '--no-color'], { env: { FORCE_COLOR: '1' } })).stdout).not.toContain(
      escape,
    );
    expect((await world.run(['status', '--color', '--json'])).stdout).not.toContain(escape);
  });
});
