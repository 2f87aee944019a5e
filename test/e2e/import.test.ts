// add, remove and import on the built program: what they write passes check, comes up, and leaves the rest of the file alone.
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { anyServerMissing, leadsToAnyServer } from '../helpers/any-server.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { built, createWorld, type World } from '../helpers/world.ts';

const mine = '# mine\ntunnels:\n  # the first\n  a: { host: h, local: 1025, remote: 1 } # flow\n';
const fileOf = (world: World): string => readFileSync(join(world.folder, 'tunnels.yaml'), 'utf8');

describe('tunnel add', () => {
  test('writes a tunnel in the letters of ssh behind the others, and remove takes it out again', async () => {
    await using world = createWorld();
    world.config(mine);
    const line = [
      'add',
      'db',
      '-fNL',
      '5432:db:5432',
      '-L6000-6001:db:7000-7001',
      '-p',
      '2222',
      'me@bastion',
    ];
    const added = await world.run([...line, '--tag', 'work,db', '--lazy', '--json']);
    expect(added, added.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(added.stdout)).toMatchObject({ added: [{ name: 'db', host: 'me@bastion' }] });
    expect(fileOf(world)).toBe(
      `${mine}  db:\n    host: me@bastion\n    forwards:\n      - L 5432:db:5432\n      - L 6000-6001:db:7000-7001\n` +
        '    port: 2222\n    tags:\n      - work\n      - db\n    lazy: true\n',
    );
    expect((await world.run(['check'])).code).toBe(0);
    const removed = await world.run(['remove', 'db']);
    expect(removed.stdout).toMatch(/^removed from .*tunnels\.yaml: db$/m);
    expect(fileOf(world)).toBe(mine);
  });

  test.each([
    [['add', 'b', '-L', '1025:x:1', 'h'], 3],
    [['add', 'a', '-L', '1026:x:1', 'h'], 2],
    [['add', 'b', '-R', '1026', 'h'], 2],
    [['add', 'b', '-g', '-L', '1026:x:1', 'h'], 2],
    [['add', 'b', '-L', '99999:x:1', 'h'], 2],
    [['add', 'b', 'h'], 2],
    [['remove', 'nope'], 2],
  ])('%j is refused, and nothing is written', async (args, code) => {
    await using world = createWorld();
    world.config(mine);
    expect(await world.run(args)).toMatchObject({ code, stdout: '' });
    expect(fileOf(world)).toBe(mine);
  });

  test('proposes another name and another port where one is taken, each in a line that works', async () => {
    await using world = createWorld();
    const port = await freePort();
    world.config(`tunnels:\n  web: { host: h, local: ${port}, remote: 1 }\nhosts: {}\n`);
    const before = fileOf(world);
    const named = await world.run(['add', 'web', '-L', '1025:x:1', 'h']);
    expect(named.stderr).toBe(
      'tunnel: there is a tunnel named web already, and it stays as it is\n' +
        'hint: tunnel add web-2 -L 1025:x:1 h    # under another name\n',
    );
    const taken = await world.run(['add', 'web-2', '--lazy', `-L${port}:x:1`, 'h']);
    expect(taken.stderr).toContain(
      `tunnel: cannot add web-2: 127.0.0.1:${port} is taken by the tunnel web\n`,
    );
    const hint = /^hint: tunnel (add web-2 --lazy -L\d+:x:1 h) {4}# port \d+ is free$/m.exec(
      taken.stderr,
    )?.[1];
    expect(hint, taken.stderr).toBeDefined();
    expect(fileOf(world)).toBe(before);
    const added = await world.run((hint ?? '').split(' '));
    expect(added, added.stderr).toMatchObject({ code: 0 });
    expect((await world.run(['check'])).code).toBe(0);
    const adhoc = await world.run(['up', '--name', 'web', '-L', '1025:x:1', 'h']);
    expect(adhoc.stderr).toMatch(/^hint: tunnel up --name web-3 -L 1025:x:1 h {4}# under another name$/m);
  });

  test('names no line of a file that nobody has', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  web: { host: h, local: 1025, remote: 1 }\nhosts:\n  b: { port: 99999 }\n');
    const old = await world.run(['add', 'db', '-L', '1026:x:1', 'h']);
    expect(old.stderr).toContain(': tunnels.yaml:4:14 hosts.b.port: ');
    world.config('tunnels:\n  web: { host: h, local: 1025, remote: 1 }\n');
    const fresh = await world.run(['add', 'db', '-R', '1026:x:1', '--lazy', 'h']);
    expect(fresh.stderr).toMatch(/cannot add db, on .*tunnels\.yaml: tunnels\.db\.lazy: /);
  });
});

describe('tunnel import', () => {
  test('off a terminal writes with --yes only, skips what is there, and gives a taken name a suffix', async () => {
    await using world = createWorld();
    world.config(mine);
    const script = join(world.folder, 'x.sh');
    writeFileSync(
      script,
      'ssh -N -L 1025:127.0.0.1:1 h\nssh -N -L 9:127.0.0.1:9 h\nssh -N -L 1025:other:9 h\n',
    );
    const shown = await world.run(['import', script]);
    expect(shown.stdout).toContain('  h-9:');
    expect(shown.stderr).toContain(`hint: tunnel import --yes ${script}    # writes it`);
    const pasted = await world.run(['import', '-'], { input: 'ssh -N -L 9:127.0.0.1:9 h\n' });
    expect(pasted.stderr).toContain('hint: tunnel import --yes - < FILE    # writes it');
    expect(fileOf(world)).toBe(mine);
    const written = await world.run(['import', '--yes', script]);
    expect(written.stderr).toMatch(/^next: tunnel up h-9$/m);
    expect(written.stderr).toMatch(/x\.sh:1 is there already, as a$/m);
    expect(written.stderr).toMatch(/x\.sh:3 other-1025 shares a port .* autostart: false$/m);
    expect(fileOf(world).startsWith(mine)).toBe(true);
    writeFileSync(script, 'ssh -N -L 127.0.0.2:9:127.0.0.1:9 h.example.org');
    expect((await world.run(['import', '--yes', script])).stderr).toMatch(
      /there is a h-9 already: it is named h-9-2/,
    );
    expect((await world.run(['check'])).code).toBe(0);
  });

  test.skipIf(tmuxMissing() !== null)('on a terminal asks, and no is no', async () => {
    await using world = createWorld();
    writeFileSync(join(world.folder, 'x.sh'), 'ssh -N -D 1080 h\n');
    using terminal = openTerminal(world.env);
    const command = `${process.execPath} ${built} import ${join(world.folder, 'x.sh')}`;
    terminal.type(command);
    terminal.key('Enter');
    await terminal.until(/Add 1 tunnel to .*\? yes or no \[no\]:/);
    terminal.key('Enter');
    await terminal.until(/nothing is written/);
    expect(existsSync(join(world.folder, 'tunnels.yaml'))).toBe(false);
    terminal.type(command);
    terminal.key('Enter');
    await terminal.until(/nothing is written[\s\S]*yes or no \[no\]:/);
    terminal.type('yes');
    terminal.key('Enter');
    await terminal.until(/added to .*tunnels\.yaml: socks-1080/);
    expect(fileOf(world)).toContain('  socks-1080:');
  });
});

interface Way {
  readonly user: string;
  readonly port: number;
  readonly key: string;
  readonly local: number;
}

/** A file of each kind that leads to the server itself. */
const files: Readonly<Record<string, (way: Way) => string>> = {
  ssh_config: ({ user, port, key, local }) =>
    `Host box\n HostName 127.0.0.1\n Port ${port}\n User ${user}\n IdentityFile ${key}\n LocalForward ${local} 127.0.0.1:${port}\n`,
  'a script': ({ user, port, key, local }) =>
    `AT=${user}@127.0.0.1\nautossh -M 0 -fN -i ${key} \\\n -p ${port} -L ${local}:127.0.0.1:${port} "$AT"\n`,
  boring: ({ user, port, key, local }) =>
    `[[tunnels]]\nname = "b"\nlocal = "${local}"\nremote = "127.0.0.1:${port}"\nhost = "127.0.0.1"\nuser = "${user}"\nport = ${port}\nidentity = "${key}"\n`,
  mole: ({ user, port, key, local }) =>
    `source = [":${local}"]\ndestination = [":${port}"]\nserver = "${user}@127.0.0.1:${port}"\nkey = "${key}"\n`,
  Portato: ({ user, port, key, local }) =>
    `tubers:\n  - name: p\n    type: local\n    local: ${local}\n    remote: 127.0.0.1:${port}\n    ssh: ${user}@127.0.0.1:${port}\n    identity: ${key}\n`,
  tunlite: ({ user, port, key, local }) =>
    JSON.stringify({
      tunnels: [
        {
          name: 't',
          host: `${user}@127.0.0.1`,
          port,
          identityFile: key,
          forwards: [{ type: 'local', srcPort: local, destHost: '127.0.0.1', destPort: port }],
        },
      ],
    }),
};

describe.skipIf(sshdMissing() !== null)('what was imported', () => {
  test.each(Object.keys(files))('from %s passes check and comes up', async (kind) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const way = { user: sshd.user, port: sshd.port, key: sshd.identity, local: await freePort() };
    mkdirSync(join(world.folder, 'home', '.ssh'), { mode: 0o700 });
    const file = join(world.folder, kind === 'ssh_config' ? 'home/.ssh/config' : 'foreign');
    writeFileSync(file, files[kind]?.(way) ?? '', { mode: 0o600 });
    const imported = await world.run(['import', ...(kind === 'ssh_config' ? [] : [file]), '--yes']);
    expect(imported, imported.stderr).toMatchObject({ code: 0 });
    expect((await world.run(['check'])).code).toBe(0);
    const up = await world.run(['up', '*', '--accept-new']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(up.stdout).toContain(`127.0.0.1:${way.local}`);
  });
});

/** Files as people write them; the names in them, and which of their tunnels are imported. */
const written = [
  ['ssh_config', ['db-stage', 'kiosk']],
  ['tunnels.sh', ['db-5432', 'kiosk-8080', 'socks-1080', 'app-7000']],
  ['pasted.txt', ['db-15432']],
  ['autossh.sh', ['bastion-19922']],
  ['tunnel.service', ['db-3306']],
  ['boring.toml', ['dev', 'ports', 'back', 'proxy']],
  ['portato.yaml', ['db-stage', 'pull-redis', 'socks']],
  ['tunlite.json', ['web-8080', 'rev-9000']],
  ['mole.toml', ['test-env']],
] as const;

const fixture = (name: string): string => resolve(import.meta.dirname, '../fixtures/import', name);
const keys = ['id_ed25519', 'id_prod', 'id_web', 'id work', 'mole'];

describe.skipIf(sshdMissing() !== null || anyServerMissing() !== null)('a file as people write it', () => {
  test.each(written)('%s is imported, and all that was imported comes up', async (name, tunnels) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const home = join(world.folder, 'home', '.ssh');
    mkdirSync(join(home, 'config.d'), { recursive: true, mode: 0o700 });
    for (const key of keys) copyFileSync(sshd.identity, join(home, key));
    const anywhere = leadsToAnyServer(sshd, {
      users: ['me', 'user', 'mole'],
      hosts: ['inner', 'proxy.example.org', 'server', '10.0.0.5', 'bastion.example.com'],
    });
    const isOwn = name === 'ssh_config';
    writeFileSync(join(home, 'config'), isOwn ? readFileSync(fixture(name)) : `Host *\n  ${anywhere}`);
    if (isOwn) writeFileSync(join(home, 'config.d', 'test'), anywhere);
    const imported = await world.run(['import', '--yes', ...(isOwn ? [] : [fixture(name)])]);
    expect(imported, imported.stderr).toMatchObject({ code: 0 });
    const up = await world.run(['up', '*', '--accept-new', '--remap']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const { tunnels: found } = await world.status();
    expect(found.map((each) => [each.name, each.state])).toEqual(tunnels.map((each) => [each, 'up']));
  });
});
