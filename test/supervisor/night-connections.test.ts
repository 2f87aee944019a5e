// How many connections a real server sees of refused and unknown hosts, whatever is asked of the engine. The
// server counts them against the address they come from (sshd_config(5), PerSourcePenalties; fail2ban).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Host, Way } from '../../src/model/host.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import { local, offTerminal, tunnelOf } from '../helpers/fake-world.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { lockOut, minuteMs, startNight, visits, type Night } from '../helpers/night.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request } from '../helpers/targets.ts';
import { requests } from '../helpers/ways-in.ts';

const newKey = (): string => makeKey(join(temporaryFolder('key'), 'id'));
const many = Array.from({ length: 20 }, (_, index) => `t${index}`);

function tunnelsTo(sshd: Sshd, more: Partial<Host>, share: boolean): Tunnel[] {
  const host = hostOf(sshd, more);
  return many.map((name) => tunnelOf(name, [host], local(0, '127.0.0.1:9'), { share }));
}

async function upAll(night: Night): Promise<(string | null)[]> {
  night.engine.up(many, offTerminal);
  return Promise.all(
    many.map(async (name) => {
      const error = await night.engine.settled(name, AbortSignal.timeout(30_000));
      return error?.code ?? null;
    }),
  );
}

describe.skipIf(sshdMissing() !== null).each([
  ['that share one link', true],
  ['that do not share', false],
])('twenty tunnels %s', (_what, share) => {
  test('with a refused key are one connection and one attempt, however often they are asked for', async () => {
    await using sshd = await startSshd();
    await using night = await startNight(...tunnelsTo(sshd, { identities: [newKey()] }, share));
    expect(new Set(await upAll(night))).toEqual(new Set(['AUTH_REFUSED']));
    expect(new Set(await upAll(night))).toEqual(new Set(['AUTH_REFUSED']));
    const seen = await visits(sshd);
    expect(seen.map(({ attempts }) => attempts.length)).toEqual([1]);
  });

  test('to a host that is not known are one key exchange, at first and at each look', async () => {
    await using sshd = await startSshd();
    await using night = await startNight(...tunnelsTo(sshd, { hostKeys: 'ask' }, share));
    expect(new Set(await upAll(night))).toEqual(new Set(['HOST_KEY_UNKNOWN']));
    for (const looks of [2, 3]) {
      await night.look('t0');
      for (const name of many) await night.until(name, ({ state }) => state === 'needs-you');
      expect(await visits(sshd)).toHaveLength(looks);
    }
    night.engine.lookAround('woke');
    for (const name of many) await night.until(name, ({ state }) => state === 'needs-you');
    expect(await visits(sshd)).toHaveLength(4);
    expect(requests(sshd)).toBe(0);
  });

  test('whose key is refused for a while are one attempt a look, and all come back', async () => {
    await using sshd = await startSshd();
    await using night = await startNight(...tunnelsTo(sshd, {}, share));
    expect(new Set(await upAll(night))).toEqual(new Set([null]));
    const letIn = lockOut(sshd.authorizedKeys, readFileSync(sshd.authorizedKeys));
    await sshd.stop();
    for (const name of many) await night.until(name, ({ state }) => state === 'retrying');
    await sshd.start();
    const before = (await visits(sshd)).length;
    night.clock.advance(minuteMs);
    for (const name of many) await night.until(name, ({ state }) => state === 'needs-you');
    expect(await visits(sshd)).toHaveLength(before + 1);
    await night.look('t0');
    for (const name of many) await night.until(name, ({ state }) => state === 'needs-you');
    expect(await visits(sshd)).toHaveLength(before + 2);
    letIn();
    await night.look('t0');
    for (const name of many) await night.until(name, ({ state }) => state === 'up');
    await night.engine.down(many, 0);
    const seen = (await visits(sshd)).flatMap(({ attempts }) => attempts);
    expect(seen.filter((attempt) => attempt.startsWith('Failed'))).toHaveLength(2);
  });
});

test.skipIf(sshdMissing() !== null)('a hundred clients of a refused tunnel are no connection', async () => {
  await using sshd = await startSshd();
  const port = await freePort();
  const host = hostOf(sshd, { identities: [newKey()] });
  await using night = await startNight(tunnelOf('db', [host], local(port, '127.0.0.1:9')));
  expect(await night.up('db')).toBe('AUTH_REFUSED');
  const clients = Array.from({ length: 100 }, () => request(port, 'hello', { halfClose: false }));
  expect(new Set((await Promise.all(clients)).map(({ error }) => error))).toEqual(new Set(['ECONNRESET']));
  expect(await visits(sshd)).toHaveLength(1);
  expect(night.one('db').forwards[0]).toMatchObject({ total: 100, failed: 100, open: 0, held: 0 });
});

test.skipIf(sshdMissing() !== null)(
  'a jump host that refuses is one connection, whatever rides on it, and the server behind it sees none',
  async () => {
    await using bastion = await startSshd();
    await using server = await startSshd();
    const jump = hostOf(bastion, { name: 'bastion', identities: [newKey()] });
    const tunnels = many.map((name, index) => {
      const way: Way = [jump, hostOf(server, { name: `server-${index % 5}` })];
      return tunnelOf(name, way, local(0, '127.0.0.1:9'));
    });
    await using night = await startNight(...tunnels);
    expect(new Set(await upAll(night))).toEqual(new Set(['AUTH_REFUSED']));
    expect(await visits(bastion)).toHaveLength(1);
    expect(await visits(server)).toEqual([]);
  },
);
