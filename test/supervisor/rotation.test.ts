// Rotation: a fresh session beside the old one, which drains; what a second dial that fails may do, and who is never asked.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { settle } from '../helpers/fake-clock.ts';
import { lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import type { FakeSession } from '../helpers/fake-ssh.ts';
import {
  configOf,
  hostOf,
  local,
  offTerminal,
  onTerminal,
  tunnelOf,
  worldOf,
} from '../helpers/fake-world.ts';
import type { World } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const bastion = hostOf('bastion');
const hour = 3_600_000;
const rotating = (rotateMs: number | null = hour, way: Parameters<typeof tunnelOf>[1] = [katie]) =>
  tunnelOf('db', way, local(1), { rotateMs });

async function upWorld(tunnel = rotating()): Promise<World> {
  const world = await worldOf(tunnel);
  await world.up('db');
  await world.dialer.dialTo().open();
  expect(world.one('db').state).toBe('up');
  return world;
}

describe('a session as old as rotate says', () => {
  test('is replaced by one that is dialled beside it, and ends when its last connection does', async () => {
    const world = await upWorld();
    const [old] = world.dialer.sessions;
    const running = await old?.openChannel();
    await world.clock.advance(hour - 1);
    expect(world.dialer.dials).toHaveLength(0);
    await world.clock.advance(1);
    expect(world.one('db').state).toBe('up');
    const fresh = await world.dialer.dialTo().open();
    expect(world.engine.examine('db')?.session).toBe(fresh);
    await world.clock.advance(60_000);
    expect(old?.ended).toBe(false);
    running?.close();
    await settle();
    expect([old?.ended, world.dialer.liveSessions]).toEqual([true, 1]);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
    expect(world.logged.filter((line) => line.startsWith('link.rotated'))).toEqual([
      'link.rotated katie#1 has a fresh session; the old one drains',
    ]);
  });

  test('serves on while the second dial fails, which is no outage and is tried again by the backoff', async () => {
    const world = await upWorld();
    await world.clock.advance(hour);
    await world.dialer.dialTo().fail(unreachable());
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
    expect(world.logged.some((line) => line.startsWith('link.rotation-failed'))).toBe(true);
    expect(world.dialer.liveSessions).toBe(1);
    await world.clock.advance(1_000);
    await world.dialer.dialTo().open();
    await world.clock.advance(2_000);
    expect([world.dialer.liveSessions, world.one('db').reconnects]).toEqual([1, 0]);
  });

  test('is not tried again before it is due once more where the server refuses the login', async () => {
    const world = await upWorld();
    await world.clock.advance(hour);
    await world.dialer.dialTo().fail(refused());
    await world.clock.advance(hour - 1);
    expect(world.dialer.dials).toHaveLength(0);
    expect(world.one('db').state).toBe('up');
    await world.clock.advance(1);
    expect(world.dialer.dials).toHaveLength(1);
  });

  test.each([
    ['whose login asked a person', true, null],
    ['that is said to be attended', false, true],
  ])('stays when it is one %s', async (_what, asked, attended) => {
    const world = await worldOf(rotating(hour, [hostOf('katie', { attended })]));
    await world.up('db', onTerminal);
    await world.dialer.dialTo().open(asked);
    await world.clock.advance(10 * hour);
    expect([world.dialer.dialCount, world.dialer.reachCount]).toEqual([1, 0]);
    expect(world.one('db').state).toBe('up');
  });

  test('has nobody asked for the fresh one, though a person is there', async () => {
    const world = await upWorld();
    const questions: string[] = [];
    world.engine.attend(['db'], {
      banner: () => undefined,
      question: ({ text }) => questions.push(text),
      withdrawn: () => undefined,
    });
    await world.clock.advance(hour);
    const { context, host } = world.dialer.dialTo();
    expect(context.personPresent()).toBe(false);
    const asked = { kind: 'password', host: host.name, text: 'Password:', echo: false, fingerprint: null };
    await expect(context.ask(asked as never)).rejects.toThrow();
    expect(questions).toEqual([]);
  });

  test('ends with the one that is to replace it when the tunnel goes down, and at a loss the link is dialled anew', async () => {
    const world = await upWorld();
    await world.clock.advance(hour);
    const aborted = world.dialer.dialTo().context.signal;
    world.dialer.sessions[0]?.end(unreachable());
    await settle();
    expect(aborted.aborted).toBe(true);
    await world.dialer.dialTo().open();
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 1 });
    await world.clock.advance(hour);
    const last = world.dialer.sessions.at(-1);
    await last?.openChannel();
    await world.dialer.dialTo().open();
    expect(world.dialer.liveSessions).toBe(2);
    await world.engine.down(['db'], 0);
    expect([world.dialer.liveSessions, world.dialer.dials.length]).toEqual([0, 0]);
    expect(world.clock.pending).toBe(0);
  });

  test('is due at once when the config comes to say an age that it has, and never when it says none', async () => {
    const world = await upWorld(rotating(null));
    await world.clock.advance(2 * hour);
    await world.engine.apply(configOf(rotating(hour)), { prune: false });
    await world.clock.advance(0);
    await world.dialer.dialTo().open();
    await world.engine.apply(configOf(rotating(null)), { prune: false });
    await world.clock.advance(5 * hour);
    expect(world.dialer.dialCount).toBe(2);
  });
});

describe('a session that a certificate let in', () => {
  const certificateOf = (world: World, id: string, leftMs: number) => ({
    id,
    endsAtMs: world.clock.now() + leftMs,
  });
  async function certifiedWorld(attended: boolean | null = null): Promise<World> {
    const world = await worldOf(rotating(null, [hostOf('katie', { attended })]));
    await world.up('db', onTerminal);
    await world.dialer.dialTo().open(false, certificateOf(world, 'first', hour));
    return world;
  }
  const beforeEndMs = hour - 300_000;

  test('is replaced 5 min before that ends, by a renewed one, and so is the fresh one', async () => {
    const world = await certifiedWorld();
    const [old] = world.dialer.sessions;
    const running = await old?.openChannel();
    await world.clock.advance(beforeEndMs - 1);
    expect(world.dialer.dials).toHaveLength(0);
    await world.clock.advance(1);
    const fresh = await world.dialer.dialTo().open(false, certificateOf(world, 'second', hour));
    expect(world.engine.examine('db')?.session).toBe(fresh);
    await world.clock.advance(2_000);
    expect(old?.ended).toBe(false);
    running?.close();
    await settle();
    expect([old?.ended, world.dialer.liveSessions]).toEqual([true, 1]);
    await world.clock.advance(beforeEndMs - 2_000);
    expect(world.dialer.dials).toHaveLength(1);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });

  test('is replaced as long before its end as a command makes a new one', async () => {
    const certificateCommand = { argv: ['issue'], path: '/k-cert.pub', renewBeforeMs: 1_000_000 };
    const world = await worldOf(rotating(null, [hostOf('katie', { certificateCommand })]));
    await world.up('db');
    await world.dialer.dialTo().open(false, certificateOf(world, 'first', hour));
    await world.clock.advance(hour - 1_000_001);
    expect(world.dialer.dialCount).toBe(1);
    await world.clock.advance(1);
    expect(world.dialer.dialCount).toBe(2);
  });

  test('goes on where the second login has the same certificate, which is said once', async () => {
    const world = await certifiedWorld();
    const [old] = world.dialer.sessions;
    await world.clock.advance(beforeEndMs);
    const { certificate } = old?.login ?? {};
    const second = await world.dialer.dialTo().open(false, certificate);
    world.engine.lookAround('another network');
    await world.clock.advance(2 * hour);
    expect([second.ended, old?.ended, world.dialer.dialCount]).toEqual([true, false, 2]);
    expect(world.engine.examine('db')?.session).toBe(old);
    expect(world.logged.filter((line) => line.startsWith('link.certificate-not-renewed'))).toHaveLength(1);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });

  test('is replaced after a sleep that left little of the time', async () => {
    const world = await certifiedWorld();
    world.clock.setWall(hour - 60_000);
    world.engine.lookAround('the machine slept');
    await world.clock.advance(0);
    expect(world.dialer.dials).toHaveLength(1);
  });

  test('is not replaced where a login needs a person', async () => {
    const world = await certifiedWorld(true);
    await world.clock.advance(2 * hour);
    expect([world.dialer.dialCount, world.dialer.reachCount]).toEqual([1, 0]);
  });

  test('has its dial repeated by the backoff, and not at all once the login was refused', async () => {
    const world = await certifiedWorld();
    await world.clock.advance(beforeEndMs);
    await world.dialer.dialTo().fail(unreachable());
    await world.clock.advance(1_000);
    await world.dialer.dialTo().fail(refused());
    world.engine.lookAround('another network');
    await world.clock.advance(2 * hour);
    expect([world.dialer.dialCount, world.dialer.liveSessions]).toEqual([3, 1]);
    expect(world.one('db').state).toBe('up');
  });

  test('of a certificate for a year is no reason to dial before that is over', async () => {
    const world = await worldOf(rotating(null));
    await world.up('db');
    const year = 365 * 24 * hour;
    await world.dialer.dialTo().open(false, certificateOf(world, 'first', year));
    await world.clock.advance(year - 300_001);
    expect(world.dialer.dialCount).toBe(1);
    await world.clock.advance(1);
    expect(world.dialer.dialCount).toBe(2);
  });
});

describe('a session that owes an answer', () => {
  test('is replaced by a second one that is up first, and ends with its last connection', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    const running = await old?.openChannel();
    await old?.late(true);
    expect(world.one('db').state).toBe('up');
    expect(world.engine.examine('db')?.session).toBe(old);
    const fresh = await world.dialer.dialTo().open();
    expect(world.engine.examine('db')?.session).toBe(fresh);
    await world.clock.advance(2_000);
    expect(old?.ended).toBe(false);
    running?.close();
    await settle();
    expect([old?.ended, world.dialer.liveSessions]).toEqual([true, 1]);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });

  test('is declared lost after it was replaced, which is no outage, and is told', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.openChannel();
    await old?.late(true);
    await world.dialer.dialTo().open();
    expect(world.one('db').lastError).toBeNull();
    old?.end(lost());
    await world.clock.advance(60_000);
    const said = { code: 'LINK_LOST', message: lost().message };
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, error: null, lastError: said });
    expect(world.logged.some((line) => line.startsWith('link.old-session-lost'))).toBe(true);
    expect([world.dialer.dialCount, world.clock.pending]).toEqual([2, 0]);
  });

  test('is asked for a sign of life at a wake after it was replaced too', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.openChannel();
    await old?.late(true);
    const fresh = await world.dialer.dialTo().open();
    const before = [old?.pings ?? 0, fresh.pings];
    world.engine.lookAround('the machine slept');
    expect([old?.pings, fresh.pings]).toEqual(before.map((pings) => pings + 1));
  });

  test.each([
    ['the login is refused', refused()],
    [
      'the host key is another one',
      new TunnelError('HOST_KEY_CHANGED', 'host key check failed, on it: changed'),
    ],
  ])('serves on where %s for a second one, which is not tried again', async (_what, failure) => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.late(true);
    await world.dialer.dialTo().fail(failure);
    for (const late of [false, true]) await old?.late(late);
    await world.clock.advance(hour);
    expect([world.dialer.dialCount, old?.ended, world.clock.pending]).toEqual([2, false, 0]);
    expect(world.engine.examine('db')?.session).toBe(old);
    expect(world.one('db')).toMatchObject({ state: 'up', error: null, question: null });
  });

  test('keeps its place when it answers first: the second dial is given up', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.late(true);
    const { signal } = world.dialer.dialTo().context;
    await old?.late(false);
    expect([signal.aborted, world.dialer.dials.length, world.clock.pending]).toEqual([true, 0, 0]);
    expect(world.engine.examine('db')?.session).toBe(old);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });

  test('has the session closed that comes of a dial which was given up too late', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    world.dialer.deaf = true;
    await old?.late(true);
    const dial = world.dialer.dialTo();
    await old?.late(false);
    const late = await dial.open();
    expect([late.ended, world.engine.examine('db')?.session]).toEqual([true, old]);
  });

  test('has the second dial repeated while it is silent, and no more once it answers', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.late(true);
    await world.dialer.dialTo().fail(unreachable());
    expect(world.one('db')).toMatchObject({ state: 'up', lastError: null });
    await world.clock.advance(1_000);
    await world.dialer.dialTo().fail(unreachable());
    await old?.late(false);
    await world.clock.advance(hour);
    expect([world.dialer.dialCount, world.dialer.liveSessions]).toEqual([3, 1]);
  });

  test('is lost with its second dial, and the link is dialled anew', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await world.clock.advance(10_000);
    await old?.late(true);
    const { signal } = world.dialer.dialTo().context;
    old?.end(lost());
    await settle();
    expect(signal.aborted).toBe(true);
    await world.dialer.dialTo().open();
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 1 });
  });

  test('goes down with the second dial', async () => {
    const world = await upWorld(rotating(null));
    const [old] = world.dialer.sessions;
    await old?.late(true);
    await world.engine.down(['db'], 0);
    expect([world.dialer.liveSessions, world.dialer.dials.length, world.clock.pending]).toEqual([0, 0, 0]);
    expect(world.one('db').state).toBe('down');
  });

  test('is waited for where a login needs a person', async () => {
    const world = await worldOf(rotating(null));
    await world.up('db', onTerminal);
    const old = await world.dialer.dialTo().open(true);
    await old.late(true);
    expect([world.dialer.dialCount, world.dialer.reachCount]).toEqual([1, 0]);
  });
});

describe('a link behind a jump host whose session was replaced', () => {
  async function behind(attended: boolean | null = null): Promise<{ world: World; jump: FakeSession }> {
    const world = await worldOf(rotating(null, [bastion, hostOf('katie', { attended })]));
    await world.up('db', onTerminal);
    const jump = await world.dialer.dialTo('bastion').open();
    await jump.openChannel();
    await world.dialer.dialTo('katie').open();
    return { world, jump };
  }

  test('moves to the fresh one at once, and the old one ends with what runs there', async () => {
    const { world, jump } = await behind();
    await jump.late(true);
    const freshJump = await world.dialer.dialTo('bastion').open();
    const dial = world.dialer.dialTo('katie');
    expect(dial.via).toBe(freshJump);
    const fresh = await dial.open();
    expect(world.engine.examine('db')?.session).toBe(fresh);
    await world.clock.advance(2_000);
    jump.channels[0]?.close(); // as the fake session that rode on it cannot
    await settle();
    expect([jump.ended, world.dialer.liveSessions, world.dialer.dialCount]).toEqual([true, 2, 4]);
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0, lastError: null });
  });

  test('begins a dial anew that went over the silent one', async () => {
    const { world, jump } = await behind();
    const [, rider] = world.dialer.sessions;
    await rider?.late(true);
    const overSilence = world.dialer.dialTo('katie');
    await jump.late(true);
    const freshJump = await world.dialer.dialTo('bastion').open();
    expect([overSilence.via, overSilence.context.signal.aborted]).toEqual([jump, true]);
    await rider?.late(false);
    expect(world.dialer.dialTo('katie').via).toBe(freshJump);
  });

  test('stays where it is when its login needs a person', async () => {
    const { world, jump } = await behind(true);
    await jump.late(true);
    await world.dialer.dialTo('bastion').open();
    await world.clock.advance(hour);
    expect([world.dialer.dialCount, jump.ended, world.one('db').state]).toEqual([3, false, 'up']);
  });
});

test('a session of a jump host that was replaced stays until nothing rides on it', async () => {
  const world = await worldOf(rotating(hour, [bastion, katie]));
  await world.up('db');
  const jump = await world.dialer.dialTo('bastion').open();
  await jump.openChannel();
  await world.dialer.dialTo('katie').open();
  await world.clock.advance(hour);
  const freshJump = await world.dialer.dialTo('bastion').open();
  expect([world.one('db').state, jump.ended]).toEqual(['up', false]);
  const dial = world.dialer.dialTo('katie');
  expect(dial.via).toBe(freshJump);
  await dial.open();
  jump.channels[0]?.close();
  await world.clock.advance(2_000);
  expect([jump.ended, world.one('db').state, world.one('db').reconnects]).toEqual([true, 'up', 0]);
  world.engine.up(['db'], offTerminal);
  await world.engine.down(['db'], 0);
  expect([world.dialer.liveSessions, world.clock.pending]).toEqual([0, 0]);
});
