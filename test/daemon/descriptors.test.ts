// More clients than descriptors: the supervisor goes on, answers its commands, and takes clients again when there is room.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, test } from 'vitest';
import type { TunnelStatus } from '../../src/model/status.ts';
import { createDaemonWorld, plainUp, type DaemonWorld } from '../helpers/daemon-world.ts';
import { watchSocket } from '../helpers/socket-pair.ts';

const quick = { timeout: 30_000, interval: 20 };

async function one(world: DaemonWorld): Promise<TunnelStatus> {
  const found = (await world.status())?.tunnels[0];
  if (found === undefined) throw new Error('no status');
  return found;
}

/** Clients that wait for a server which never answers: fewer than may be held, more than there are descriptors for. */
async function crowd(world: DaemonWorld): Promise<Socket[]> {
  const port = Number((await one(world)).forwards[0]?.listen.split(':').at(-1));
  const clients = Array.from({ length: 120 }, () => connect(port, '127.0.0.1'));
  await Promise.race(clients.map((client) => once(client, 'never').catch(() => undefined))); // its 'error'
  return clients.map((client) => client.on('error', () => undefined));
}

describe.runIf(process.platform === 'linux')('a supervisor with more clients than descriptors', () => {
  test('says so once, answers status and down meanwhile, and takes clients again when some have left', async () => {
    const mute = createServer();
    await once(mute.listen(0, '127.0.0.1'), 'listening');
    const { port } = mute.address() as AddressInfo;
    await using world = await createDaemonWorld(
      `tunnels: { web: { host: "me@127.0.0.1:${port}", local: auto, remote: 22, hold: 10m, connect_timeout: 10m } }\n`,
    );
    await (await world.need()).call('up', { ...plainUp, timeoutMs: 1 });
    const pid = world.pid();
    execFileSync('prlimit', ['--pid', String(pid), '--nofile=96:96']);
    for (let round = 1; round <= 2; round += 1) {
      const clients = await crowd(world);
      const full = await one(world);
      expect(full.forwards[0]).toMatchObject({ error: { code: 'LISTEN_FAILED' } });
      expect(full.forwards[0]?.held).toBeGreaterThan(10);
      const more = watchSocket(connect(Number(full.forwards[0]?.listen.split(':')[1]), '127.0.0.1'));
      expect(await more.ending).toBe('reset');
      // in the second round too: what the log says again within its time is counted, not written
      expect(world.log().match(/new connections are reset until some end/g)).toHaveLength(1);
      for (const client of clients) client.destroy();
      await expect.poll(async () => (await one(world)).forwards[0]?.held, quick).toBe(0);
      // something else is the last error now, so that the next round's is of its own crowd
      expect((await one(world)).forwards[0]?.error?.code).not.toBe('LISTEN_FAILED');
    }
    const guest = connect(Number((await one(world)).forwards[0]?.listen.split(':')[1]), '127.0.0.1');
    await expect.poll(async () => (await one(world)).forwards[0]?.held, quick).toBe(1);
    guest.destroy();
    await crowd(world);
    const last = await world.need();
    await last.call('down', { selectors: [], drainMs: 0 });
    await last.closed;
    expect(world.log()).not.toMatch(/"event":"bug"/);
    expect(world.log()).toMatch(/new connections are reset until some end.*since/);
    mute.close();
  });
});
