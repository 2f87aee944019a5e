// What the engine writes into the log: one line a link, not a tunnel; an outage warns, what needs a person is an error.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { settle } from '../helpers/fake-clock.ts';
import { lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import { hostOf, local, offTerminal, tunnelOf, worldOf, type World } from '../helpers/fake-world.ts';
import { hinting } from '../helpers/hint.ts';

const names = Array.from({ length: 40 }, (_, index) => `t${index}`);
const forty = names.map((name, index) => tunnelOf(name, [hostOf('katie')], local(index + 1)));

/** Level and event of each line above debug that was written meanwhile. */
async function written(world: World, act: () => Promise<void>): Promise<string[]> {
  const before = world.lines.length;
  await act();
  return world.lines
    .slice(before)
    .filter(([level]) => level !== 'debug')
    .map(([level, event]) => `${level} ${event}`);
}

async function allUp(world: World): Promise<void> {
  world.engine.up(names, offTerminal);
  await settle();
  await world.dialer.dialTo().open();
  await world.clock.advance(30_000); // steady: a loss is followed by a try at once
}

describe('an outage of forty tunnels that share a link', () => {
  test('is a line for the loss, one a failed try, and one for the return', async () => {
    const world = await worldOf(...forty);
    await allUp(world);
    const lines = await written(world, async () => {
      world.dialer.sessions.at(-1)?.end(lost());
      await settle();
      for (let tries = 0; tries < 3; tries += 1) {
        await world.dialer.dialTo().fail(unreachable());
        await world.clock.advance(30_000);
      }
      await world.dialer.dialTo().open();
      expect(names.map((name) => world.one(name).state)).toEqual(names.map(() => 'up'));
    });
    expect(lines).toEqual([
      'warn link.connecting',
      'warn link.waiting',
      'warn link.waiting',
      'warn link.waiting',
      'info link.up',
    ]);
    expect(world.logged).toContain('link.up katie#1 is up again after 90s');
  });

  test('that needs a person is one error with what to do', async () => {
    const world = await worldOf(...forty);
    await allUp(world);
    const lines = await written(world, async () => {
      world.dialer.sessions.at(-1)?.end(lost());
      await settle();
      const hint = [{ command: 'up', on: { host: 'katie' } }, ' on a terminal'];
      await world.dialer.dialTo().fail(new TunnelError('AUTH_REFUSED', 'authentication failed', { hint }));
      expect(world.one('t7').state).toBe('needs-you');
    });
    expect(lines).toEqual(['warn link.connecting', 'error link.blocked']);
    const blocked = world.lines.find(([level]) => level === 'error');
    expect(blocked?.[3]).toMatchObject({ hint: hinting('tunnel up t0 on a terminal'), code: 'AUTH_REFUSED' });
  });
});

test('what a jump host failed at is told by its own link alone', async () => {
  const world = await worldOf(tunnelOf('db', [hostOf('bastion'), hostOf('katie')], local(1)));
  await world.up('db');
  const lines = await written(world, () => world.dialer.dialTo().fail(refused()));
  expect(lines).toEqual(['error link.blocked']);
});

test('a tunnel tells of itself what is its own: that it is up, a port that is taken, that it is down', async () => {
  const world = await worldOf(tunnelOf('db', [hostOf('katie')], local(5432)));
  expect(
    await written(world, async () => {
      await world.up('db');
      await world.dialer.dialTo().open();
    }),
  ).toEqual(['info tunnel.link', 'info tunnel.state']);
  expect(await written(world, () => world.engine.down(['db'], 0))).toEqual([
    'info tunnel.state',
    'info tunnel.state',
  ]);
  world.ports.taken.add('127.0.0.1:5432');
  expect(await written(world, () => world.up('db'))).toEqual(['warn listen.failed']);
  world.ports.taken.delete('127.0.0.1:5432');
  expect(
    await written(world, async () => {
      await world.clock.advance(5_000);
      await world.dialer.dialTo().open();
    }),
  ).toEqual(expect.arrayContaining(['info tunnel.state']));
});
