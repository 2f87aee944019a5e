// Servers that are full, or that let nobody stay: the tunnel waits its turn, nobody is refused, and the server is not hammered.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createSandbox } from '../../src/demo/sandbox.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  boxConfig,
  clientAt,
  exchange,
  leaveDeadSocket,
  onlyForward,
  portOf,
} from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { eventually } from '../helpers/ways-in.ts';
import { createWorld, finished } from '../helpers/world.ts';

describe.skipIf(sshdMissing() !== null)('a server', () => {
  test('at its MaxStartups is tried again and again, and who came meanwhile is served when there is room', async () => {
    await using sshd = await startSshd({ config: ['MaxStartups 1:100:1'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    world.config(boxConfig(sshd, `  db: { host: box, local: auto, remote: ${target.port} }`));
    const waiting: Socket[] = []; // the last of them takes the only place, and never logs in
    try {
      for (let words = ''; !words.startsWith('SSH-');) {
        const socket = connect(sshd.port, '127.0.0.1');
        waiting.push(socket);
        words = String(((await once(socket, 'data')) as [Buffer])[0]);
      }
      const up = finished(world.start(['up']));
      const full = await world.until('db', ({ attempt }) => attempt >= 2);
      expect(full.error).toMatchObject({
        code: 'LINK_LOST',
        message: expect.stringContaining('it says: Exceeded MaxStartups'),
      });
      const client = request(portOf(onlyForward(full).listen), 'held', { halfClose: false });
      await world.until('db', (tunnel) => onlyForward(tunnel).held === 1);
      for (const socket of waiting) socket.destroy();
      expect(await client).toEqual({ text: 'HELD', error: null });
      expect(await up).toMatchObject({ code: 0 });
    } finally {
      for (const socket of waiting) socket.destroy();
    }
  });

  test('with MaxSessions 0 serves every kind of forward; only a dead socket of its own it cannot be asked to remove', async () => {
    await using sshd = await startSshd({ config: ['MaxSessions 0', 'Subsystem sftp internal-sftp'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const dead = join(temporaryFolder('there'), 's');
    await leaveDeadSocket(dead);
    world.config(
      boxConfig(
        sshd,
        `
  db: { host: box, local: auto, remote: ${target.port} }
  hooks: { host: box, type: remote, remote: 0, local: ${target.port} }
  fresh: { host: box, type: remote, remote: ${dead}-not, local: ${target.port} }
  dead: { host: box, type: remote, remote: ${dead}, local: ${target.port} }`,
      ),
    );
    const up = await world.run(['up', '--timeout', '1s']);
    expect(up, up.stderr).toMatchObject({ code: 8 });
    expect(up.stderr).toContain('StreamLocalBindUnlink');
    for (const name of ['db', 'hooks', 'fresh']) {
      const { listen } = onlyForward(await world.tunnel(name));
      expect(await exchange(listen, name)).toEqual({ text: name.toUpperCase(), error: null });
    }
  });
});

test('a server that ends every session at once is dialled ever later, and who came meanwhile is served by one that stays', async () => {
  await using world = createWorld();
  await using sandbox = await createSandbox(world.folder, world.env);
  const { server } = sandbox;
  const port = await freePort();
  world.config(`
defaults: { reconnect: { initial: 100ms, max: 500ms }, connect_timeout: 10m }
hosts:
  box: { hostname: 127.0.0.1, port: ${server.port}, user: demo, identity: [${join(sandbox.folder, 'id_ed25519')}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${port}, remote: ${sandbox.target} }
`);
  const up = finished(world.start(['up']));
  for (let ended = 1; ended <= 4; ended += 1) {
    await eventually(() => server.logins === ended);
    if (ended === 4) server.freeze(); // the next attempt stays where it is
    server.dropAll();
    const passer = clientAt(`127.0.0.1:${port}`); // the port is there, whatever the link does
    await once(passer, 'connect');
    passer.destroy();
  }
  // the count of attempts, and so the wait, begins anew only after a session that has lasted
  await world.until('db', ({ attempt }) => attempt === 4);
  const client = request(port, 'held', { halfClose: false });
  await world.until('db', (tunnel) => onlyForward(tunnel).held === 1);
  server.thaw();
  expect(await client).toEqual({ text: 'HELD', error: null });
  expect(await up).toMatchObject({ code: 0 });
  expect(server.logins).toBe(5);
});
