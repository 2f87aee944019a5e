// Reconnecting under every kind of forward at once: ten times killed, all back by itself, the same ports, nothing leaked.
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TunnelStatus } from '../../src/model/status.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  bringUp,
  clientAt,
  descriptorsOf,
  exchange,
  killSessions,
  listenersOf,
  listenersOn,
  portOf,
  unixListenersOn,
} from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { outcomeOf, startTarget, uppercase, type Outcome } from '../helpers/targets.ts';
import { createWorld } from '../helpers/world.ts';

const served = { text: 'WHO IS THERE', error: null };

/** SOCKS5 to 127.0.0.1:port, then the exchange. */
async function bySocks(at: string, port: number, text: string): Promise<Outcome> {
  const socket = connect({ port: portOf(at), host: '127.0.0.1', allowHalfOpen: true });
  const outcome = outcomeOf(socket);
  socket.write(Buffer.from([5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port >> 8, port & 255]));
  socket.end(text);
  const { text: all, error } = await outcome;
  return { text: Buffer.from(all, 'utf8').toString().slice(12), error };
}

describe.skipIf(sshdMissing() !== null)('ten kills of the session', () => {
  test('bring every kind of forward back on its own address, and leak nothing here or there', async () => {
    await using sshd = await startSshd({ config: ['Subsystem sftp internal-sftp'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const folder = temporaryFolder('s');
    const [here, there] = [join(folder, 'here'), join(folder, 'there')];
    await bringUp(
      world,
      sshd,
      `
  all:
    host: box
    forwards:
      - { name: local, local: auto, remote: ${target.port} }
      - { name: localPath, local: ${here}, remote: ${target.port} }
      - { name: remote, type: remote, remote: 0, local: ${target.port} }
      - { name: remotePath, type: remote, remote: ${there}, local: ${target.port} }
      - { name: ftp, local: auto, remote: ${target.port}, protocol: ftp }
      - { name: dynamic, type: dynamic, local: auto }
      - { name: reverse, type: remote, remote: 0, allow: ["127.0.0.1:*"] }`,
    );
    const check = async (tunnel: TunnelStatus): Promise<void> => {
      for (const { name, listen } of tunnel.forwards) {
        const socks = name === 'dynamic' || name === 'reverse';
        if (name === 'ftp') continue; // its target does not speak it
        const outcome = socks
          ? await bySocks(listen, target.port, 'who is there')
          : await exchange(listen, 'who is there');
        expect([name, outcome]).toEqual([name, served]);
      }
    };
    const first = await world.tunnel('all');
    await check(first);
    const addresses = first.forwards.map(({ listen }) => listen);
    const onServer = first.forwards.filter(({ type }) => type === 'remote').map(({ listen }) => listen);
    const pid = (await world.status()).supervisor.pid ?? 0;
    const quiet = (): Promise<TunnelStatus> =>
      world.until('all', ({ state, forwards }) => state === 'up' && forwards.every(({ open }) => open === 0));
    const sockets = (): number => descriptorsOf(pid).filter((link) => link.startsWith('socket:')).length;
    await quiet();
    const before = { listeners: listenersOf(pid), sockets: sockets() };
    for (let kill = 1; kill <= 10; kill += 1) {
      // somebody is in the middle of something on every second turn
      const busy = kill % 2 === 0 ? addresses.slice(0, 3).map((at) => clientAt(at)) : [];
      const ends = busy.map((socket) => outcomeOf(socket));
      for (const socket of busy) {
        socket.write('a');
        await new Promise((resolve) => socket.once('data', resolve));
      }
      killSessions(sshd);
      for (const end of ends) expect((await end).text).toBe('A');
      const back = await world.until('all', ({ state, reconnects }) => state === 'up' && reconnects === kill);
      expect(back.forwards.map(({ listen }) => listen)).toEqual(addresses);
      for (const at of onServer)
        expect([at, at.startsWith('/') ? unixListenersOn(at) : listenersOn(portOf(at))]).toEqual([at, 1]);
    }
    await check(await quiet());
    await quiet();
    expect(listenersOf(pid)).toEqual(before.listeners);
    // One control connection more or less: `status --watch` comes and goes.
    expect(Math.abs(sockets() - before.sockets)).toBeLessThanOrEqual(1);
    await world.run(['down']);
    for (const at of onServer)
      expect([at, at.startsWith('/') ? unixListenersOn(at) : listenersOn(portOf(at))]).toEqual([at, 0]);
  });
});

describe.skipIf(sshdMissing() !== null)('what the server forbids a local forward', () => {
  test.each([
    ['PermitOpen 127.0.0.1:1', 'PermitOpen'],
    ['PermitOpen none', 'PermitOpen'],
    ['AllowTcpForwarding no', 'AllowTcpForwarding'],
    ['AllowTcpForwarding remote', 'AllowTcpForwarding'],
    ['DisableForwarding yes', 'DisableForwarding'],
  ])('%s is named in status, and the tunnel stays up', async (line, setting) => {
    await using sshd = await startSshd({ config: [line] });
    await using world = createWorld();
    await bringUp(world, sshd, '  db: { host: box, local: auto, remote: 9 }');
    const { listen } = (await world.tunnel('db')).forwards[0] ?? { listen: '' };
    expect((await exchange(listen, 'x')).error).toBe('ECONNRESET');
    const after = await world.until('db', ({ forwards }) => forwards[0]?.failed === 1);
    expect(after.state).toBe('up');
    expect(after.forwards[0]?.error).toMatchObject({
      code: 'FORWARD_REFUSED',
      hint: expect.stringContaining(setting) as string,
    });
    expect((await world.run(['status'])).stdout).toContain('forbids');
  });
});
