// Clocks that are set: no duration follows the wall clock, and what is shown of the future does.
import { describe, expect, test } from 'vitest';
import { settle } from '../helpers/fake-clock.ts';
import { lost, unreachable } from '../helpers/fake-ssh.ts';
import { hostOf, local, tunnelOf, worldOf } from '../helpers/fake-world.ts';

const hourMs = 3_600_000;
const db = tunnelOf('db', [hostOf('katie')], local(1), { reconnect: { initialMs: 1e9, maxMs: 1e9 } });

describe.each([
  ['ahead', hourMs],
  ['back', -hourMs],
])('a clock that is set %s', (_where, byMs) => {
  test('changes nothing of how often a server is tried', async () => {
    const world = await worldOf(db);
    await world.up('db');
    void world.engine.settled('db', new AbortController().signal);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(1_000);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(399);
    world.clock.setWall(byMs);
    await world.clock.advance(8_600);
    expect(world.dialer.reachCount).toBe(24);
    await world.clock.advance(20_400);
    expect(world.dialer.reachCount).toBe(29);
  });

  test('makes no link steady, and no steady link fresh', async () => {
    const world = await worldOf(tunnelOf('db', [hostOf('katie')], local(1)));
    await world.up('db');
    for (let tries = 0; tries < 3; tries += 1) {
      await world.dialer.dialTo().fail(unreachable());
      await world.clock.advance(30_000);
    }
    const lostAfter = async (upMs: number): Promise<number> => {
      const session = await world.dialer.dialTo().open();
      world.clock.setWall(byMs);
      await world.clock.advance(upMs);
      session.end(lost());
      await settle();
      return world.one('db').attempt;
    };
    expect(await lostAfter(1_000)).toBe(4);
    await world.clock.advance(30_000);
    expect(await lostAfter(31_000)).toBe(1);
  });

  test('moves the time that is told for the next try with it', async () => {
    const world = await worldOf(db);
    world.chance = 0.5;
    await world.up('db');
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(1_000);
    await world.dialer.dialTo().fail(unreachable());
    await settle();
    const inMs = (): number => Date.parse(world.one('db').retryAt ?? '') - world.clock.now();
    const before = inMs();
    world.clock.setWall(byMs);
    expect(before).toBeGreaterThan(0);
    expect(inMs()).toBe(before);
  });
});
