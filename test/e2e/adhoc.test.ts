// Ad-hoc tunnels from outside: ssh's own letters on `up` and `exec`, where they are kept, and who finds them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { onlyForward, portOf } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { built, createWorld, finished, processEnd, type World } from '../helpers/world.ts';

/** How ssh would be told to reach the test sshd. */
const way = (sshd: Sshd): string[] => [
  '-p',
  String(sshd.port),
  '-i',
  sshd.identity,
  '-o',
  'StrictHostKeyChecking=accept-new',
  `${sshd.user}@127.0.0.1`,
];

/** What is kept in the state folder. */
function keptIn({ folder }: World): readonly string[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const file = files.find((name) => name.endsWith('/adhoc.json'));
  if (file === undefined) return [];
  return Object.keys((JSON.parse(readFileSync(join(folder, file), 'utf8')) as { tunnels: object }).tunnels);
}

describe.skipIf(sshdMissing() !== null)('an ad-hoc tunnel', () => {
  test('needs no config, is as any other, survives a crash of the supervisor, and is gone with `down`', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    const line = ['up', `-fNqL${local}:127.0.0.1:${target.port}`, ...way(sshd)];
    const up = await world.run(line);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(up.stdout).toBe(
      `127.0.0.1-${local}  up  127.0.0.1:${local} → 127.0.0.1:${target.port} via ${sshd.user}@127.0.0.1\n`,
    );
    expect(up.stderr).toContain(
      `it lives until tunnel down 127.0.0.1-${local}; for good: tunnel keep 127.0.0.1-${local}    # `,
    );
    expect(await request(local, 'x')).toEqual({ text: 'X', error: null });
    const name = `127.0.0.1-${local}`;
    expect(await world.tunnel(name)).toMatchObject({
      state: 'up',
      tags: ['adhoc'],
      autostart: false,
      orphan: false,
    });
    expect(keptIn(world)).toEqual([name]);
    expect((await world.run(line)).stdout).toContain('  up  ');
    expect(keptIn(world)).toEqual([name]);
    const { pid } = (await world.status()).supervisor;
    process.kill(pid ?? 0, 'SIGKILL');
    await processEnd(pid ?? 0);
    const back = await world.run(['up', name]);
    expect(back, back.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'y')).toEqual({ text: 'Y', error: null });
    expect((await world.run(['logs', name])).stdout).toContain(name);
    const down = await world.run(['down', name]);
    expect(down).toMatchObject({ code: 0, stdout: `${name}  down  127.0.0.1:${local} closed\n` });
    expect(keptIn(world)).toEqual([]);
    expect((await world.run(['status', name])).code).toBe(3);
  });

  test('is found from a folder whose own config lacks it, and belongs to the own config', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const work = join(world.folder, 'work');
    const file = join(work, 'tunnels.yaml');
    mkdirSync(work);
    writeFileSync(file, 'tunnels: { web: { host: "me@127.0.0.1:1", local: 1, remote: 1 } }\n');
    chmodSync(file, 0o600);
    const place = { cwd: work, env: { TUNNEL_HOME: '' } };
    const run = (...args: string[]) => world.run(args, place);
    const own = join(world.env['HOME'] ?? '', '.config/tunnel/tunnels.yaml');
    await using leftovers = {
      async [Symbol.asyncDispose]() {
        await run('-c', own, 'down'); // also where an expectation fails
      },
    };
    void leftovers;
    const up = await run('up', '-L', 'auto:127.0.0.1:9', '--name', 'mine', ...way(sshd));
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const status = await run('status', 'mine', '--json');
    expect(status, status.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(status.stdout)).toMatchObject({
      supervisor: { config: own },
      tunnels: [{ name: 'mine', state: 'up' }],
    });
    expect((await run('status', '--json')).stdout).not.toContain('mine');
    expect((await run('logs', 'mine')).stdout).toContain('mine');
    expect((await run('exec', 'mine', '--', 'sh', '-c', 'echo $MINE_HOST')).stdout).toBe('127.0.0.1\n');
    expect((await run('status', 'nobody')).code).toBe(2);
    const again = await run('up', '-L', 'auto:127.0.0.1:9', '--name', 'more', ...way(sshd));
    expect(again.stderr).toContain('tunnel -c ~/.config/tunnel/tunnels.yaml down more');
    expect((await run('down', 'tag:adhoc', '--quiet')).stdout).toMatch(/^mine {2}down.*\nmore {2}down/);
    const { pid } = (JSON.parse(status.stdout) as { supervisor: { pid: number } }).supervisor;
    await processEnd(pid);
    expect((await run('status', 'mine')).code).toBe(2);
  });

  test('of one command is gone with it, and its variables are named as was asked', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: 1, remote: 1, autostart: false } }\n');
    const letters = ['-L', `auto:localhost:${target.port}`, '--name'];
    const script = 'echo $DB_PORT; cat';
    const line = ['exec', '-L', `auto:db:${target.port}`, ...way(sshd), '--', 'sh', '-c', script];
    const child = spawn(process.execPath, [built, ...line], { env: world.env, cwd: world.folder });
    const [port] = (await once(child.stdout, 'data')) as [Buffer];
    const seen = await world.tunnel('db-2');
    expect([seen.state, portOf(onlyForward(seen).listen)]).toEqual(['up', Number(port)]);
    expect(keptIn(world)).toEqual(['db-2']);
    child.stdin.end();
    expect((await finished(child)).code).toBe(0);
    expect(keptIn(world)).toEqual([]);
    expect((await world.status()).tunnels.map(({ name }) => name)).toEqual(['db']);
    const two = Promise.all(
      [1, 2].map(() => world.run(['exec', ...letters, 'x', ...way(sshd), '--', 'sh', '-c', 'echo $X_PORT'])),
    );
    for (const ran of await two) expect(ran.stdout, ran.stderr).toMatch(/^\d+\n$/);
    expect(keptIn(world)).toEqual([]);
    const failed = await world.run([
      'exec',
      ...letters,
      'x',
      '--timeout',
      '1s',
      'me@127.0.0.1:1',
      '--',
      'true',
    ]);
    expect(failed).toMatchObject({ code: 5 });
    expect(keptIn(world)).toEqual([]);
  });

  test('is kept by `keep`: in the file, without a word of it lost, and its connections go on', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const mine = '# mine\ntunnels: # all\n  a: { host: h, local: 1, remote: 1, autostart: false } # flow\n';
    world.config(mine);
    const up = await world.run(['up', '-L', `auto:127.0.0.1:${target.port}`, '--name', 'db', ...way(sshd)]);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const before = await world.tunnel('db');
    const socket = connect(portOf(onlyForward(before).listen), '127.0.0.1');
    socket.write('a');
    await once(socket, 'data');
    expect(await world.run(['keep', 'dbb'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('hint: tunnel keep db    # did you mean that?') as string,
    });
    const keep = await world.run(['keep', 'db', '--json']);
    expect(keep, keep.stderr).toMatchObject({ code: 0 });
    expect(JSON.parse(keep.stdout)).toMatchObject({ kept: [{ name: 'db', local: 'auto' }] });
    const text = readFileSync(join(world.folder, 'tunnels.yaml'), 'utf8');
    expect(text.startsWith(mine)).toBe(true);
    expect(text.slice(mine.length)).toMatch(/^ {2}db:\n {4}host: .*\n {4}local: auto\n/);
    expect(text.slice(mine.length)).not.toMatch(/adhoc|autostart/);
    expect(keptIn(world)).toEqual([]);
    expect(await world.tunnel('db')).toMatchObject({
      state: 'up',
      link: before.link,
      tags: [],
      orphan: false,
    });
    socket.end('b');
    expect(String((await once(socket, 'data'))[0])).toBe('B');
    expect((await world.run(['down', 'db'])).code).toBe(0);
    expect(await world.tunnel('db')).toMatchObject({ state: 'down', autostart: true });
    expect(await world.run(['keep', 'db'])).toMatchObject({
      code: 2,
      stderr:
        'tunnel: db is in ./tunnels.yaml already, and no ad-hoc tunnel has that name\nhint: tunnel show db\n',
    });
    expect((await world.run(['keep', 'strange'])).stderr).toContain('hint: tunnel status    # no tunnel');
  });

  test('of no config at all makes one when it is kept', async () => {
    await using world = createWorld();
    const up = await world.run(['up', '-L', 'auto:db:9', '--timeout', '0s', 'me@127.0.0.1:1']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    const keep = await world.run(['keep', 'db']);
    expect(keep, keep.stderr).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^wrote .*: db\n$/) as string,
    });
    expect((await world.run(['check'])).code).toBe(0);
    expect(await world.tunnel('db')).toMatchObject({ wanted: true, tags: [], orphan: false });
  });

  test('that does not go with a changed file is left out, and the file is taken', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(
      'hosts: { box: { hostname: h } }\ntunnels: { a: { host: box, local: 1, remote: 1, autostart: false } }\n',
    );
    for (const name of ['mine', 'other']) {
      const up = await world.run(['up', '-L', 'auto:127.0.0.1:9', '--name', name, ...way(sshd)]);
      expect(up, up.stderr).toMatchObject({ code: 0 });
    }
    // the name is the file's now: what the file says goes before
    world.config('tunnels: { mine: { host: h, local: 1, remote: 2, autostart: false, tags: [filed] } }\n');
    expect((await world.run(['reload'])).code).toBe(0);
    expect(await world.tunnel('mine')).toMatchObject({ tags: ['filed'] });
    expect((await world.run(['check'])).stdout).toContain('ok, 1 tunnel\n');
    expect((await world.run(['down', 'mine'])).code).toBe(0);
    expect((await world.run(['status', 'mine'])).code).toBe(0);
    expect(keptIn(world)).toEqual(['other']);
  });
});

describe('the letters of ssh', () => {
  const refused: readonly (readonly [line: string, code: number, says: RegExp])[] = [
    ['-g -L 1025:db:1 h', 2, /-g opens every port to the network: write the address out/],
    ['-A -L 1025:db:1 h', 2, /-A has no use here/],
    ['-NfXL1025:db:1 h', 2, /-X has no use here/],
    ['-t -L 1025:db:1 h', 2, /-t has no use here/],
    ['-M -L 1025:db:1 h', 2, /-M has no use here/],
    ['-S none -L 1025:db:1 h', 2, /-S has no use here/],
    ['-W db:1 h', 2, /-W has no use here/],
    ['-F file -L 1025:db:1 h', 2, /-F has no use here/],
    ['-E file -L 1025:db:1 h', 2, /-E has no use here/],
    ['-R 1080 h', 2, /with allow:/],
    ['-c aes128-ctr -L 1025:db:1 h', 2, /hint: tunnel up -o Ciphers=aes128-ctr/],
    ['-o LocalForward=1025:db:1 h -L 1026:db:1', 2, /-o LocalForward is a forward/],
    ['-o RevokedHostKeys=x -L 1025:db:1 h', 2, /-o RevokedHostKeys is none/],
    ['-o Ciphers=rot13 -L 1025:db:1 h', 2, /ciphers is an unknown name/],
    ['-L 99999:db:1 h', 2, /-L 99999:db:1 .*65535/],
    ['-L 1025:db:1', 2, /needs a server/],
    ['-N h', 2, /needs a forward/],
    ['-L 1025:db:1 h other', 2, /cannot use other/],
    ['-L 1025:db:1 --name a/b h', 2, /--name/],
    ['-L 1025:db:1 --name db h', 2, /there is a tunnel named db already/],
    ['--name x db', 2, /--name only with a forward/],
  ];

  test.each(refused)('up %s is refused before anything is kept', async (line, code, says) => {
    await using world = createWorld();
    world.config('tunnels: { db: { host: h, local: 1, remote: 2, autostart: false } }\n');
    const ran = await world.run(['up', ...line.split(' ')]);
    expect(ran, ran.stderr).toMatchObject({ code, stdout: '' });
    expect(ran.stderr).toMatch(says);
    expect(keptIn(world)).toEqual([]);
  });

  test('all that have a meaning here get it, what has none is noted, and several forwards are one tunnel', async () => {
    await using world = createWorld();
    const line =
      '-C -4 -NTfn -l joe -p 2222 -i key -J a,b@c:3 -b 127.0.0.1 -m hmac-sha2-256 -o ServerAliveInterval=7 ' +
      '-o ExitOnForwardFailure=yes -o StrictHostKeyChecking=no -oPreferredAuthentications=publickey,password ' +
      '-o PasswordAuthentication=no -L5000:db:5000 -L 6000-6002:[::1]:7000-7002 -D 127.0.0.2:auto -R 80:localhost:81 ' +
      '-L/tmp/x.sock:/run/y.sock --name all --timeout 0s 127.0.0.1';
    const ran = await world.run(['up', ...line.replace('127.0.0.2:auto', '1080').split(' ')]);
    expect(ran, ran.stderr).toMatchObject({ code: 5 });
    expect(ran.stderr).toContain('note: ExitOnForwardFailure changes nothing here, and is passed over\n');
    expect(ran.stderr).toMatch(/^warning: StrictHostKeyChecking=no becomes accept-new/m);
    const [file = ''] = readdirSync(world.folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('adhoc.json'),
    );
    const kept = JSON.parse(readFileSync(join(world.folder, file), 'utf8')) as { tunnels: { all: object } };
    expect(kept.tunnels.all).toEqual({
      host: '127.0.0.1',
      forwards: [
        'L 5000:db:5000',
        'L 6000-6002:[::1]:7000-7002',
        'D 1080',
        'R 80:localhost:81',
        'L /tmp/x.sock:/run/y.sock',
      ],
      compression: true,
      address_family: 'inet',
      user: 'joe',
      port: 2222,
      identity: [join(world.folder, 'key')],
      jump: ['a', 'b@c:3'],
      bind_address: '127.0.0.1',
      macs: 'hmac-sha2-256',
      keepalive: { interval: '7s' },
      host_keys: 'accept-new',
      auth: ['agent', 'publickey'],
      identities_only: false,
      tags: ['adhoc'],
      autostart: false,
    });
    expect((await world.tunnel('all')).forwards).toHaveLength(7);
    expect(existsSync(join(world.folder, 'tunnels.yaml'))).toBe(false);
  });
});
