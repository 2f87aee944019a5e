// `tunnel ports` from outside: what a real server's shell tells, over a live link and by a login, and a server that runs nothing.
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bringUp, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld } from '../helpers/world.ts';

const withSshd = test.skipIf(sshdMissing() !== null);

interface Port {
  readonly address: string;
  readonly port: number;
  readonly program: string | null;
  readonly pid: number | null;
  readonly tunnel: string | null;
}

const logins = (sshd: Sshd): number => sshd.log().split('Accepted publickey').length - 1;

withSshd(
  'a live link tells what listens, whose it is and which tunnel leads there, without a login',
  async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using other = await startTarget(uppercase);
    await using world = createWorld();
    await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${target.port} }`);
    const before = logins(sshd);
    const ran = await world.run(['ports', 'db', '--json']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    const ports = JSON.parse(ran.stdout) as Port[];
    const at = (port: number): Port | undefined => ports.find((each) => each.port === port);
    expect(at(target.port)).toMatchObject({ address: '127.0.0.1', tunnel: 'db' });
    expect(at(other.port)).toMatchObject({ address: '127.0.0.1', tunnel: null });
    expect(Object.keys(at(sshd.port) ?? {})).toEqual(['address', 'port', 'program', 'pid', 'tunnel']);
    expect(ports.map(({ port }) => port)).toEqual(ports.map(({ port }) => port).sort((a, b) => a - b));
    expect(logins(sshd)).toBe(before);
    const table = await world.run(['ports', 'box']);
    expect(table.stdout.split('\n')[0]?.trim().split(/\s+/)).toEqual([
      'PORT',
      'ADDRESS',
      'PROGRAM',
      'TUNNEL',
    ]);
    expect(table.stdout).toMatch(new RegExp(`^${target.port} +127\\.0\\.0\\.1 .*db$`, 'm'));
  },
);

withSshd('without a supervisor it logs in itself, and starts none', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  world.config(`
hosts: { box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: strict } }
tunnels: { db: { host: box, local: auto, remote: 5432 } }
`);
  const unknown = await world.run(['ports', 'db']);
  expect(unknown.code).toBe(7);
  expect(unknown.stdout).toBe('');
  await world.run(['trust', '--fingerprint', sshd.fingerprint(), 'db']);
  const ran = await world.run(['ports', 'box', '--json']);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(ran.stdout)).toContainEqual(expect.objectContaining({ port: sshd.port, tunnel: null }));
  expect((await world.status()).supervisor.running).toBe(false);
});

withSshd('--up forwards what listens there, the way the tunnel goes, and once', async () => {
  await using sshd = await startSshd();
  await using one = await startTarget(uppercase, '127.0.0.2');
  await using other = await startTarget(uppercase, '127.0.0.2');
  await using world = createWorld();
  // All that it takes to get there stands at the tunnel itself.
  world.config(`tunnels:
  db: { host: "${sshd.user}@127.0.0.1:${sshd.port}", identity: [./key], agent: false, host_keys: accept-new, local: auto, remote: 9, autostart: false }
`);
  copyFileSync(sshd.identity, join(world.folder, 'key'));
  const ran = await world.run(['ports', 'db', '--up', String(one.port), String(other.port)]);
  const names = [one, other].map(({ port }) => `127.0.0.1-${port}`);
  expect(ran.code, ran.stderr).toBe(0);
  const server = `${sshd.user}@127.0.0.1`;
  for (const { port } of [one, other])
    expect(ran.stdout).toContain(
      `127.0.0.1-${port}  up  127.0.0.1:${port} → 127.0.0.2:${port} via ${server}`,
    );
  expect(ran.stderr).toContain(`they live until tunnel down ${names.join(' ')}; for good: tunnel keep NAME`);
  expect(await request(one.port, 'x')).toEqual({ text: 'X', error: null });
  expect(await request(other.port, 'y')).toEqual({ text: 'Y', error: null });
  const before = logins(sshd);
  const again = await world.run(['ports', '--up', `${one.port}`, `${sshd.user}@127.0.0.1:${sshd.port}`]);
  expect(again.stderr).toBe(`${one.port} is reached by the tunnel ${names[0]} already\n`);
  expect(again).toMatchObject({ code: 0, stdout: expect.stringContaining(`${names[0]}  up  `) });
  expect(logins(sshd)).toBe(before);
  expect((await world.status(['tag:adhoc'])).tunnels.map(({ name }) => name).sort()).toEqual(names.sort());
  const down = await world.run(['down', ...names]);
  expect(down.code, down.stderr).toBe(0);
});

withSshd('--up of a port that is taken here, or that nothing listens on, says so', async () => {
  await using sshd = await startSshd();
  await using target = await startTarget(uppercase);
  await using world = createWorld();
  const free = await freePort();
  await bringUp(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  const absent = await world.run(['ports', 'db', '--up', String(target.port), String(free)]);
  expect(absent).toMatchObject({ code: 8, stdout: '' });
  expect(absent.stderr).toBe(
    `tunnel: nothing listens on port ${free} of db that this account may see\n` +
      'hint: tunnel ports db    # what does\n',
  );
  expect((await world.status()).tunnels.map(({ name }) => name)).toEqual(['db']);
  const taken = await world.run(['ports', 'db', '--up', String(target.port)]);
  expect(taken.code).toBe(8);
  expect(taken.stderr).toContain(`listen failed, on 127.0.0.1:${target.port}: `);
  const [, hint = ''] = /^hint: tunnel (up --remap \S+)/m.exec(taken.stderr) ?? [];
  expect(hint).toBe(`up --remap box-${target.port}`);
  expect((await world.run(hint.split(' '))).code).toBe(0);
  const { listen } = onlyForward(await world.tunnel(`box-${target.port}`));
  expect(await request(portOf(listen), 'x')).toEqual({ text: 'X', error: null });
});

withSshd.each([
  ['a forced command', 'ForceCommand echo no shell here', /answers another thing: no shell here/],
  ['no session at all', 'MaxSessions 0', /refused|prohibited|open failed/i],
])('a server with %s is told as that, with its word and exit 8', async (_what, line, words) => {
  await using sshd = await startSshd({ config: [line] });
  await using world = createWorld();
  await bringUp(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
  const ran = await world.run(['ports', 'db', '--json']);
  expect(ran).toMatchObject({ code: 8, stdout: '' });
  expect(ran.stderr).toMatch(words);
  expect(ran.stderr).toMatch(/^hint: /m);
});

test('a word that is no tunnel and no host is exit 2, with the way to mean a server', async () => {
  await using world = createWorld();
  world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: 5, remote: 9 } }\n');
  const ran = await world.run(['ports', 'dv']);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/hint: tunnel ports db/);
});
