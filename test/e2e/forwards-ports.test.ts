// Where forwards listen, from outside: unix sockets at either end, ssh's own spelling, ports that stay, ports that are taken.
import { once } from 'node:events';
import { existsSync, lstatSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  boxConfig,
  bringUp,
  exchange,
  killSessions,
  leaveDeadSocket,
  onlyForward,
  portOf,
} from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, isAlive } from '../helpers/world.ts';

const served = { text: 'WHO IS THERE', error: null };

async function listenAt(at: string | number, serve = uppercase): Promise<Server & { port: number }> {
  const server = createServer({ allowHalfOpen: true }, serve);
  if (typeof at === 'string') server.listen(at);
  else server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address() as AddressInfo | string;
  return Object.assign(server, { port: typeof address === 'string' ? 0 : address.port });
}

test('a socket in the home and the same absolute path are one listener, for up and for check', async () => {
  await using world = createWorld();
  const config = (autostart: boolean): string => `defaults: { host: "me@127.0.0.1:1", remote: 9 }
tunnels:
  dev: { local: ~/x.sock }
  prod: { local: ${world.env['HOME'] ?? ''}/x.sock, autostart: ${autostart} }
`;
  world.config(config(true));
  const check = await world.run(['check']);
  expect(check).toMatchObject({ code: 3 });
  expect(check.stdout + check.stderr).toContain('prod.local: is the address of tunnels.dev too');
  world.config(config(false));
  expect(await world.run(['check'])).toMatchObject({ code: 0 });
  await world.run(['up', 'dev', '--timeout', '10ms']);
  const up = await world.run(['up', 'prod']);
  expect(up).toMatchObject({ code: 8 });
  expect(up.stderr).toContain('held by tunnel dev');
});

describe.skipIf(sshdMissing() !== null)('unix sockets', () => {
  test('stand at either end of local and remote forwards, and are back after an outage', async () => {
    await using sshd = await startSshd({ config: ['Subsystem sftp internal-sftp'] });
    await using world = createWorld();
    const folder = temporaryFolder('s');
    const at = (name: string): string => join(folder, name);
    const byTcp = await listenAt(0);
    const byPath = await listenAt(at('target'));
    await leaveDeadSocket(at('a'));
    await bringUp(
      world,
      sshd,
      `
  mix:
    host: box
    forwards:
      - { name: pathToTcp, local: ${at('a')}, remote: ${byTcp.port} }
      - { name: tcpToPath, local: auto, remote: ${at('target')} }
      - { name: pathToPath, local: ${at('b')}, remote: ${at('target')} }
      - { name: thereToTcp, type: remote, remote: ${at('c')}, local: ${byTcp.port} }
      - { name: thereToPath, type: remote, remote: 0, local: ${at('target')} }
      - { name: therePathToPath, type: remote, remote: ${at('d')}, local: ${at('target')} }`,
    );
    const before = await world.tunnel('mix');
    for (const forward of before.forwards)
      expect([forward.name, await exchange(forward.listen, 'who is there')]).toEqual([forward.name, served]);
    for (const name of ['a', 'b', 'c', 'd']) expect(statSync(at(name)).mode & 0o177).toBe(0);
    killSessions(sshd);
    const after = await world.until('mix', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(after.forwards.map(({ listen }) => listen)).toEqual(before.forwards.map(({ listen }) => listen));
    for (const forward of after.forwards)
      expect([forward.name, await exchange(forward.listen, 'who is there')]).toEqual([forward.name, served]);
    await world.run(['down']);
    expect(['a', 'b'].filter((name) => existsSync(at(name)))).toEqual([]);
    byTcp.close();
    byPath.close();
  });

  test('are never put in the place of something else', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const folder = temporaryFolder('s');
    const file = join(folder, 'file');
    writeFileSync(file, 'precious');
    const living = await listenAt(join(folder, 'living'), (socket) => {
      socket.on('error', () => undefined); // asked whether it lives, and left
      socket.end('still me');
    });
    world.config(
      boxConfig(
        sshd,
        `
  file: { host: box, local: ${file}, remote: 9 }
  living: { host: box, local: ${join(folder, 'living')}, remote: 9 }
  nowhere: { host: box, local: ${join(folder, 'absent/s')}, remote: 9 }`,
      ),
    );
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain('not a socket');
    expect(up.stderr).toContain('another process listens there');
    expect(up.stderr).toContain('its folder does not exist');
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect((await exchange(join(folder, 'living'), '')).text).toBe('still me');
    await world.run(['down']);
    expect(lstatSync(file).isFile()).toBe(true);
    expect(lstatSync(join(folder, 'living')).isSocket()).toBe(true);
    living.close();
  });

  test('with a path that is too long are told at `check`', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(boxConfig(sshd, `  long: { host: box, local: /tmp/${'x'.repeat(110)}, remote: 9 }`));
    const checked = await world.run(['check']);
    expect(checked.code).toBe(3);
    expect(checked.stdout + checked.stderr).toMatch(
      /tunnels\.long\.local: must be a path of at most 107 bytes/,
    );
  });
});

describe.skipIf(sshdMissing() !== null)('several forwards', () => {
  test('in ssh’s own spelling serve side by side on one connection', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [local, remote, dynamic] = [await freePort(), await freePort(), await freePort()];
    await bringUp(
      world,
      sshd,
      `
  stack:
    host: box
    forwards:
      - "L ${local}:127.0.0.1:${target.port}"
      - "R ${remote}:127.0.0.1:${target.port}"
      - "D ${dynamic}"
      - { name: db, local: auto, remote: "localhost:${target.port}" }`,
    );
    const { forwards } = await world.tunnel('stack');
    expect(forwards.map(({ type, listen, name }) => [type, listen, name]).slice(0, 3)).toEqual([
      ['local', `127.0.0.1:${local}`, null],
      ['remote', `127.0.0.1:${remote}`, null],
      ['dynamic', `127.0.0.1:${dynamic}`, null],
    ]);
    expect(forwards[3]).toMatchObject({ name: 'db', target: `localhost:${target.port}` });
    expect(await exchange(`:${local}`, 'who is there')).toEqual(served);
    expect(await exchange(`:${remote}`, 'who is there')).toEqual(served);
    expect(await exchange(forwards[3]?.listen ?? '', 'who is there')).toEqual(served);
    expect(sshd.log().split('Accepted publickey').length - 1).toBe(1);
    const shown = (await world.run(['status'])).stdout;
    expect(shown).toContain('4 forwards');
    expect(shown).toMatch(/^ +db /m);
  });

  test('of which one cannot listen serve meanwhile', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const holder = await listenAt(0);
    world.config(
      boxConfig(
        sshd,
        `
  stack:
    host: box
    forwards:
      - { name: taken, local: ${holder.port}, remote: 9 }
      - { name: free, local: auto, remote: ${target.port} }`,
      ),
    );
    expect((await world.run(['up'])).code).toBe(8);
    const half = await world.until('stack', ({ link }) => link !== null);
    expect(half).toMatchObject({ state: 'retrying', error: { code: 'LISTEN_FAILED' } });
    const [taken, free] = half.forwards;
    expect(taken).toMatchObject({ name: 'taken', bound: false, error: { code: 'LISTEN_FAILED' } });
    expect(await exchange(free?.listen ?? '', 'who is there')).toEqual(served);
    holder.close();
    await world.until('stack', ({ state }) => state === 'up'); // tried every 5 s
  });
});

describe.skipIf(sshdMissing() !== null)('an auto port', () => {
  test('is the same after `down`, and after the supervisor was killed', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    await bringUp(
      world,
      sshd,
      `
  one: { host: box, local: auto, remote: ${target.port} }
  two:
    host: box
    forwards:
      - { name: a, local: auto, remote: ${target.port} }
      - { name: b, local: "localhost:auto", remote: ${target.port} }
      - { name: c, type: dynamic, local: auto }`,
    );
    const ports = async (): Promise<string[]> =>
      (await world.status()).tunnels.flatMap(({ forwards }) => forwards.map(({ listen }) => listen));
    const before = await ports();
    expect(new Set(before.map(portOf)).size).toBe(4);
    await world.run(['down']);
    expect((await world.run(['up'])).code).toBe(0);
    expect(await ports()).toEqual(before);
    const pid = (await world.status()).supervisor.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 10));
    expect((await world.run(['up'])).code).toBe(0);
    expect(await ports()).toEqual(before);
    expect(await exchange(before[0] ?? '', 'who is there')).toEqual(served);
  });
});

describe.skipIf(sshdMissing() !== null)('a port that is taken', () => {
  test('is told with its holder and a free neighbour, and `up --remap` takes that for this run', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const holder = await listenAt(0);
    world.config(boxConfig(sshd, `  db: { host: box, local: ${holder.port}, remote: ${target.port} }`));
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain(`listen failed, on 127.0.0.1:${holder.port}: port in use by `);
    expect(up.stderr).toContain(`(pid ${process.pid})`);
    expect(up.stderr).toMatch(/hint: tunnel up --remap db +# port \d+ is free/);
    expect(await world.tunnel('db')).toMatchObject({ state: 'retrying', error: { code: 'LISTEN_FAILED' } });
    const remapped = await world.run(['up', '--remap']);
    expect(remapped, remapped.stderr).toMatchObject({ code: 0 });
    const { listen } = onlyForward(await world.tunnel('db'));
    expect(portOf(listen)).not.toBe(holder.port);
    expect(remapped.stdout).toContain(listen);
    expect((await world.run(['status'])).stdout).toContain(listen);
    expect(await exchange(listen, 'who is there')).toEqual(served);
    killSessions(sshd);
    const back = await world.until('db', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    expect(onlyForward(back).listen).toBe(listen);
    holder.close();
    await world.run(['down']);
    expect((await world.run(['up'])).code).toBe(0); // the next run asks for its own again
    expect(onlyForward(await world.tunnel('db')).listen).toBe(`127.0.0.1:${holder.port}`);
  });

  test('by our other tunnel ends the later `up` with 8, naming it', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const port = await freePort();
    world.config(
      boxConfig(
        sshd,
        `
  dev: { host: box, local: ${port}, remote: ${target.port} }
  prod: { host: box, local: "localhost:${port}", remote: ${target.port}, autostart: false }`,
      ),
    );
    expect((await world.run(['up'])).code).toBe(0);
    const prod = await world.run(['up', 'prod']);
    expect(prod, prod.stderr).toMatchObject({ code: 8 });
    expect(prod.stderr).toContain('held by tunnel dev');
    expect(prod.stderr).toContain('tunnel down dev');
    expect((await world.tunnel('dev')).state).toBe('up');
    await world.run(['down', 'dev']);
    expect((await world.run(['up', 'prod'])).code).toBe(0);
    expect(await exchange(`:${port}`, 'who is there')).toEqual(served);
  });

  test('by another supervisor of ours says so', async () => {
    await using sshd = await startSshd();
    await using one = createWorld();
    await using other = createWorld();
    const port = await freePort();
    await bringUp(one, sshd, `  db: { host: box, local: ${port}, remote: 9 }`);
    const pid = (await one.status()).supervisor.pid ?? 0;
    other.config(boxConfig(sshd, `  db: { host: box, local: ${port}, remote: 9 }`));
    const up = await other.run(['up']);
    expect(up.code).toBe(8);
    const config = join(one.folder, 'tunnels.yaml');
    expect(up.stderr).toContain(`port in use by tunnel (pid ${pid}, the supervisor of ${config})`);
    expect(up.stderr).toContain(
      `hint: tunnel -c ${config} down    # takes down all tunnels of that config\n`,
    );
  });
});
