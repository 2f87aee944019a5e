// The watch for servers that do not answer: how fast one that comes back is noticed, and that nobody is bothered when nobody
// waits.
import { describe, expect, test } from 'vitest';
import { settle } from '../helpers/fake-clock.ts';
import { kexFailed, lost, unreachable } from '../helpers/fake-ssh.ts';
import { hostOf, local, offTerminal, tunnelOf, worldOf } from '../helpers/fake-world.ts';
import type { World } from '../helpers/fake-world.ts';

const katie = hostOf('katie');

/** Down at TCP level, with a client held. The last attempt has just failed. */
async function outage(...tunnels: ReturnType<typeof tunnelOf>[]): Promise<World> {
  const world = await worldOf(...tunnels);
  world.engine.up(
    tunnels.map(({ name }) => name),
    offTerminal,
  );
  await settle();
  world.chance = 0.999;
  for (const dial of Array.from(world.dialer.dials)) await dial.fail(unreachable());
  await world.clock.advance(0);
  for (const dial of Array.from(world.dialer.dials)) await dial.fail(unreachable());
  world.ports.at('127.0.0.1:1').clientWaits();
  await settle();
  return world;
}

const db = tunnelOf('db', [katie], local(1));

describe('the watch for a server', () => {
  test('every 400 ms for 10 s, then every 5 s, whether or not the last one has ended', async () => {
    const world = await worldOf(
      tunnelOf('db', [katie], local(1), { reconnect: { initialMs: 1e9, maxMs: 1e9 } }),
    );
    await world.up('db');
    void world.engine.settled('db', new AbortController().signal);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(1_000);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(8_999);
    expect(world.dialer.reachCount).toBe(24);
    expect(world.dialer.reaches).toHaveLength(24);
    await world.clock.advance(20_400);
    expect(world.dialer.reachCount).toBe(29);
    expect(Date.parse(world.one('db').retryAt ?? '') - world.clock.now()).toBeLessThanOrEqual(5_000);
  });

  test('one that gets through goes straight on to the login with its connection', async () => {
    const world = await outage(db);
    await world.clock.advance(400);
    const transport = await world.dialer.reaches[0]?.answer();
    expect(world.dialer.dialTo().transport).toBe(transport);
    expect(world.ports.at('127.0.0.1:1').view).toMatchObject({ state: 'away', reached: true });
    expect(world.dialer.reaches).toHaveLength(0);
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
    expect(transport?.destroyed).toBe(false);
  });

  test('one gets through while an attempt of ours hangs: the attempt gives way to it', async () => {
    const world = await outage(db);
    await world.up('db');
    const hanging = world.dialer.dialTo();
    await world.clock.advance(400);
    const transport = await world.dialer.reaches[0]?.answer();
    expect(hanging.context.signal.aborted).toBe(true);
    expect(world.dialer.dialTo().transport).toBe(transport);
    await world.dialer.dialTo().open();
    expect([world.one('db').state, world.dialer.liveSessions]).toEqual(['up', 1]);
  });

  test('an attempt that is past its TCP connect is left alone', async () => {
    const world = await outage(db);
    await world.up('db');
    const dial = world.dialer.dialTo();
    dial.context.step({ hop: 'katie', layer: 'tcp', status: 'ok', ms: 1, detail: '' });
    await world.clock.advance(1_000);
    expect(world.dialer.reaches).toHaveLength(0);
    expect(dial.context.signal.aborted).toBe(false);
  });

  test('nobody connects when nobody waits, and it stops when the last client leaves', async () => {
    const world = await outage(db);
    await world.clock.advance(400);
    expect(world.dialer.reaches).toHaveLength(1);
    const { signal } = world.dialer.reaches[0] as { signal: AbortSignal };
    world.ports.at('127.0.0.1:1').flows(0);
    expect(signal.aborted).toBe(true);
    const before = world.dialer.reachCount;
    await world.clock.advance(10_000);
    expect(world.dialer.reachCount).toBe(before);
  });

  test('somebody who waits in up or wait counts', async () => {
    const world = await worldOf(db);
    await world.up('db');
    const waiting = new AbortController();
    const settled = world.engine.settled('db', waiting.signal);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(400);
    expect(world.dialer.reachCount).toBe(1);
    waiting.abort();
    await settled;
    await world.clock.advance(10_000);
    expect(world.dialer.reachCount).toBe(1);
  });

  test('a server that answered and then failed us gets the full backoff', async () => {
    const world = await worldOf(db);
    world.chance = 0.999;
    await world.up('db');
    world.ports.at('127.0.0.1:1').clientWaits();
    await world.dialer.dialTo().fail(kexFailed());
    await world.clock.advance(400);
    expect([world.dialer.reachCount, world.dialer.dialCount]).toEqual([0, 1]);
  });

  test('all links to one address share one connect, and all go on when it gets through', async () => {
    const other = hostOf('katie', { user: 'other' });
    const world = await outage(db, tunnelOf('two', [other], local(2)));
    world.ports.at('127.0.0.1:2').clientWaits();
    await world.clock.advance(400);
    expect(world.dialer.reaches).toHaveLength(1);
    const transport = await world.dialer.reaches[0]?.answer();
    const [first, second] = world.dialer.dials;
    expect([first?.transport, second?.transport]).toEqual([transport, null]);
  });

  test('a held client behind a jump host makes us connect to the jump host', async () => {
    const world = await outage(tunnelOf('db', [hostOf('bastion'), katie], local(1)));
    await world.clock.advance(400);
    expect(world.dialer.reaches.map(({ host }) => host.name)).toEqual(['bastion']);
    await world.dialer.reaches[0]?.answer();
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db').state).toBe('up');
  });

  test('a transport that comes after down is destroyed', async () => {
    const world = await outage(db);
    await world.clock.advance(400);
    const connect = world.dialer.reaches[0];
    await world.engine.down(['db'], 0);
    expect(connect?.signal.aborted).toBe(true);
    expect(world.clock.pending).toBe(0);
  });
});

describe('a late client', () => {
  test('starts an attempt at once, but does not let us hammer a server that fails us', async () => {
    const world = await worldOf(
      tunnelOf('db', [katie], local(1), { reconnect: { initialMs: 1e6, maxMs: 1e6 } }),
    );
    await world.up('db');
    const session = await world.dialer.dialTo().open();
    await world.clock.advance(5_000);
    session.end(lost());
    await settle();
    await world.dialer.dialTo().fail(kexFailed());
    await world.clock.advance(31_000);
    for (let client = 0; client < 20; client += 1) {
      world.ports.at('127.0.0.1:1').clientWaits();
      await settle();
      for (const dial of Array.from(world.dialer.dials)) await dial.fail(kexFailed());
    }
    expect(world.dialer.dialCount).toBe(3);
    expect(world.ports.at('127.0.0.1:1').view).toMatchObject({ state: 'away', failures: 2 });
  });
});

describe('a new network', () => {
  test('has a connect that hangs begun anew, and leaves one alone that got through', async () => {
    const world = await worldOf(db);
    await world.up('db');
    const hanging = world.dialer.dialTo();
    world.engine.lookAround('tun0 came up');
    await settle();
    expect(hanging.context.signal.aborted).toBe(true);
    world.engine.lookAround('tun0 went away');
    await settle();
    const dial = world.dialer.dialTo();
    expect(world.dialer.dialCount).toBe(3);
    dial.context.step({ hop: 'katie', layer: 'tcp', status: 'ok', ms: 1, detail: '' });
    world.engine.lookAround('tun0 came up');
    await settle();
    expect(dial.context.signal.aborted).toBe(false);
    await dial.open();
    expect(world.one('db').state).toBe('up');
  });
});
