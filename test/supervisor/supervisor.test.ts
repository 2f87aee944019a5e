// The engine as the daemon sees it: up, loss, waiting, down.
import { describe, expect, test } from 'vitest';
import { settle } from '../helpers/fake-clock.ts';
import { kexFailed, lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import {
  configOf,
  hostOf,
  local,
  offTerminal,
  onTerminal,
  remote,
  tunnelOf,
  worldOf,
} from '../helpers/fake-world.ts';
import { hinting } from '../helpers/hint.ts';

const katie = hostOf('katie');
const bastion = hostOf('bastion');
const waiter = (): AbortController => new AbortController();

describe('up and down', () => {
  test('a tunnel binds its port before the login and is up after it', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    expect(world.one('db').state).toBe('down');
    await world.up('db');
    expect(world.ports.at('127.0.0.1:2345').bound).toBe(true);
    expect(world.one('db')).toMatchObject({ state: 'connecting', error: null });
    const settled = world.engine.settled('db', waiter().signal);
    await world.dialer.dialTo().open();
    expect(await settled).toBeNull();
    expect(world.one('db')).toMatchObject({
      state: 'up',
      error: null,
      attempt: 0,
      latencyMs: 12.3,
      endpoint: 'me@katie.example:22',
      via: [],
      reconnects: 0,
    });
    expect(world.ports.at('127.0.0.1:2345').view?.state).toBe('up');
  });

  test('down closes the port, ends the session and forgets typed secrets', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    await world.dialer.dialTo().open();
    await world.engine.down(['db'], 0);
    await settle();
    expect(world.ports.taken.size).toBe(0);
    expect(world.dialer.liveSessions).toBe(0);
    expect(world.dialer.keptFor.at(-1)).toEqual([]);
    expect(world.one('db')).toMatchObject({ state: 'down', link: null });
    await world.engine.down(['db'], 0);
    expect(world.clock.pending).toBe(0);
  });

  test('down during a login aborts it, and a session that comes too late is closed', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    const { signal } = world.dialer.dialTo().context;
    await world.engine.down(['db'], 0);
    expect(signal.aborted).toBe(true);
    await settle();
    expect(world.dialer.liveSessions).toBe(0);
    expect(world.clock.pending).toBe(0);
  });

  test('up while it is stopping comes up again afterwards', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    await world.dialer.dialTo().open();
    const down = world.engine.down(['db'], 0);
    world.engine.up(['db'], offTerminal);
    expect(world.one('db').state).toBe('stopping');
    await down;
    await settle();
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
    expect(world.dialer.liveSessions).toBe(1);
  });

  test('a drain waits for running connections, and no longer than asked', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    const session = await world.dialer.dialTo().open();
    world.ports.at('127.0.0.1:2345').flows(1);
    let done = false;
    void world.engine.down(['db'], 10_000).then(() => (done = true));
    await world.clock.advance(5_000);
    expect([done, session.ended, world.one('db').state]).toEqual([false, false, 'stopping']);
    world.ports.at('127.0.0.1:2345').flows(0);
    await settle();
    expect([done, session.ended]).toEqual([true, true]);
  });

  test('wanted names are told once for each change', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    const told: (readonly string[])[] = [];
    world.engine.onWanted((names) => told.push(names));
    world.engine.up(['a', 'b'], offTerminal);
    world.engine.up(['a'], offTerminal);
    await world.engine.down(['b'], 0);
    expect(told).toEqual([['a', 'b'], ['a']]);
  });

  test('close ends everything and leaves the wanted marks', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.up('a');
    await world.dialer.dialTo().open();
    await world.engine.close(0);
    expect(world.dialer.liveSessions).toBe(0);
    expect(world.engine.known()).toMatchObject([{ name: 'a', wanted: true }]);
    expect(world.clock.pending).toBe(0);
  });
});

describe('loss and retry', () => {
  test('a lost link is dialled at once, counted when it is back, and carriers see each moment', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    const session = await world.dialer.dialTo().open();
    await world.clock.advance(60_000);
    session.end(lost());
    await settle();
    expect(world.one('db')).toMatchObject({ state: 'connecting', attempt: 1, error: { code: 'LINK_LOST' } });
    expect(world.ports.at('127.0.0.1:2345').view).toMatchObject({ state: 'away', failures: 0 });
    await world.dialer.dialTo().open();
    expect(world.one('db')).toMatchObject({
      state: 'up',
      reconnects: 1,
      error: null,
      lastError: { code: 'LINK_LOST' },
    });
    expect(session.closes).toBe(1);
  });

  test('it retries for ever, with a known time, and the wait is cut short by up', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    await world.dialer.dialTo().fail(kexFailed());
    const first = world.one('db');
    expect(first).toMatchObject({ state: 'retrying', attempt: 1, error: { code: 'KEX_FAILED' } });
    expect(Date.parse(first.retryAt ?? '') - world.clock.now()).toBe(1000);
    for (let attempt = 2; attempt < 40; attempt += 1) {
      await world.clock.advance(30_000);
      await world.dialer.dialTo().fail(kexFailed());
      expect(world.one('db').attempt).toBe(attempt);
    }
    expect(Date.parse(world.one('db').retryAt ?? '') - world.clock.now()).toBe(15_000);
    expect(Date.parse(world.one('db').since ?? '')).toBe(Date.parse(first.since ?? ''));
    await world.up('db');
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
  });

  test('a client that is held does not wait for the outages before, whenever it comes', async () => {
    const world = await worldOf(
      tunnelOf('db', [bastion, katie], local(2345)),
      tunnelOf('web', [bastion], local(80)),
    );
    world.chance = 0.999;
    await world.up('db');
    for (let outage = 0; outage < 6; outage += 1) {
      await world.dialer.dialTo('bastion').fail(kexFailed());
      await world.clock.advance(30_000);
    }
    const jump = await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    await world.clock.advance(4_999);
    jump.end(lost());
    await world.clock.advance(3_000);
    expect(world.one('db').state).toBe('retrying');
    world.ports.at('127.0.0.1:2345').clientWaits();
    for (let tries = 0; tries < 2; tries += 1) {
      await world.clock.advance(1_000);
      await world.dialer.dialTo('bastion').fail(kexFailed());
    }
    await world.clock.advance(1_000);
    expect(world.dialer.dials).toHaveLength(0);
    await world.clock.advance(30_000);
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db').state).toBe('up');
  });

  test('a network failure keeps settled waiting until the signal, which then gets the last error', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    const waiting = waiter();
    const settled = world.engine.settled('db', waiting.signal);
    await world.dialer.dialTo().fail(unreachable());
    waiting.abort();
    expect(await settled).toMatchObject({ code: 'UNREACHABLE' });
    expect(world.one('db').state).not.toBe('down');
  });

  test('with nothing known, the time-out itself is the answer', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(2345)));
    await world.up('db');
    const waiting = waiter();
    const settled = world.engine.settled('db', waiting.signal);
    waiting.abort();
    expect(await settled).toMatchObject({ code: 'TIMED_OUT' });
  });

  test('a look around ends waits and probes live links', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [bastion], local(2)));
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    const session = await world.dialer.dialTo('katie').open();
    await world.dialer.dialTo('bastion').fail(kexFailed());
    world.engine.lookAround('woke after 60s');
    await settle();
    expect(session.pings).toBe(1);
    expect(world.dialer.dials.map(({ host }) => host.name)).toEqual(['bastion']);
  });

  test('200 looks at the status during a storm wait for nothing', async () => {
    const tunnels = Array.from({ length: 50 }, (_x, i) =>
      tunnelOf(`t${i}`, [hostOf(`h${i}`)], local(3000 + i)),
    );
    const world = await worldOf(...tunnels);
    const names = tunnels.map(({ name }) => name);
    world.engine.up(names, offTerminal);
    await settle();
    for (const dial of Array.from(world.dialer.dials)) void dial.fail(unreachable());
    for (let look = 0; look < 200; look += 1) expect(world.engine.status(names)).toHaveLength(50);
  });
});

describe('ports', () => {
  test('a port in use is LISTEN_FAILED at once, tried every 5 s, and the others serve meanwhile', async () => {
    const world = await worldOf(tunnelOf('two', [katie], [local(1), local(2)]));
    world.ports.taken.add('127.0.0.1:2');
    await world.up('two');
    await world.dialer.dialTo().open();
    expect(await world.engine.settled('two', waiter().signal)).toMatchObject({ code: 'LISTEN_FAILED' });
    expect(world.one('two')).toMatchObject({ state: 'retrying', error: { code: 'LISTEN_FAILED' } });
    expect(world.ports.at('127.0.0.1:1').view?.state).toBe('up');
    world.ports.taken.delete('127.0.0.1:2');
    await world.clock.advance(5_000);
    expect(world.one('two')).toMatchObject({ state: 'up', error: null });
  });

  test('nothing is dialled for a tunnel without a port', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(1)));
    world.ports.taken.add('127.0.0.1:1');
    await world.up('db');
    expect(world.dialer.dialCount).toBe(0);
    expect(world.one('db').retryAt).not.toBeNull();
    world.ports.taken.clear();
    await world.up('db');
    expect(world.dialer.dialCount).toBe(1);
  });

  test('the later up of two tunnels on one address names the holder', async () => {
    const world = await worldOf(
      tunnelOf('dev', [katie], local(5432)),
      tunnelOf('prod', [bastion], local(5432), { autostart: false }),
    );
    await world.up('dev');
    await world.up('prod');
    expect(await world.engine.settled('prod', waiter().signal)).toMatchObject({
      code: 'LISTEN_FAILED',
      message: 'listen failed, on 127.0.0.1:5432: held by tunnel dev',
      hint: hinting('tunnel down dev'),
    });
    await world.engine.down(['dev'], 0);
    await world.clock.advance(5_000);
    expect(world.ports.at('127.0.0.1:5432').bound).toBe(true);
  });

  test('up --remap takes the nearest free port for this run', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(5432)));
    world.ports.taken.add('127.0.0.1:5432').add('127.0.0.1:5433');
    await world.up('db', { ...offTerminal, remap: true });
    await world.dialer.dialTo().open();
    expect(world.one('db')).toMatchObject({ state: 'up', forwards: [{ listen: '127.0.0.1:5434' }] });
  });

  test('an auto port is told, and asked for again', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(0)));
    const told: Readonly<Record<string, number>>[] = [];
    world.engine.onPorts((ports) => told.push(ports));
    await world.up('db');
    expect(told).toEqual([{ 'db/0': 40_001 }]);
    await world.engine.down(['db'], 0);
    await world.up('db');
    expect(world.one('db').forwards[0]?.listen).toBe('127.0.0.1:40001');
    expect(told).toHaveLength(1);
  });

  test('a remote forward that the server refuses is retrying; what is forbidden is told at once', async () => {
    const { TunnelError } = await import('../../src/errors.ts');
    const world = await worldOf(tunnelOf('hooks', [katie], remote(8080)));
    await world.up('hooks');
    const carrier = world.ports.at('localhost:8080');
    carrier.manual = true;
    await world.dialer.dialTo().open();
    expect(world.one('hooks').state).toBe('connecting');
    const waiting = waiter();
    const settled = world.engine.settled('hooks', waiting.signal);
    Object.assign(carrier, {
      broken: true,
      error: new TunnelError('FORWARD_REFUSED', 'listen failed: busy'),
    });
    carrier.parts.events.changed();
    expect(world.one('hooks')).toMatchObject({ state: 'retrying', error: { code: 'FORWARD_REFUSED' } });
    const facts = { forbidden: true };
    carrier.error = new TunnelError('FORWARD_REFUSED', 'listen failed: forbidden', { facts });
    carrier.parts.events.changed();
    expect(await settled).toMatchObject({ code: 'FORWARD_REFUSED', facts });
  });

  test('a remote forward waits by the reconnect of its tunnel as the file has it now', async () => {
    const slow = { reconnect: { initialMs: 4_000, maxMs: 20_000 } };
    const world = await worldOf(tunnelOf('hooks', [katie], remote(8080), slow));
    await world.up('hooks');
    const { backoffMs } = world.ports.at('localhost:8080').parts;
    const waits = (): readonly number[] => [1, 2, 3, 4, 5, 6].map((retry) => backoffMs(retry));
    world.chance = 1;
    expect(waits()).toEqual([1000, 4_000, 8_000, 16_000, 20_000, 20_000]);
    world.chance = 0.25;
    expect(waits()).toEqual([1000, 1_000, 2_000, 4_000, 5_000, 5_000]);
    const quick = { reconnect: { initialMs: 40, maxMs: 100 } };
    await world.engine.apply(configOf(tunnelOf('hooks', [katie], remote(8080), quick)), { prune: false });
    expect(waits()).toEqual([100, 10, 20, 25, 25, 25]);
  });
});

describe('lazy tunnels', () => {
  const lazy = tunnelOf('db', [katie], local(1), { lazy: true, idleTimeoutMs: 60_000 });

  test('one sleeps until a client knocks, and again after its idle time', async () => {
    const world = await worldOf(lazy);
    await world.up('db');
    expect(world.one('db').state).toBe('asleep');
    expect(await world.engine.settled('db', waiter().signal)).toBeNull();
    const carrier = world.ports.at('127.0.0.1:1');
    expect(carrier.view?.state).toBe('asleep');
    carrier.clientWaits();
    await settle();
    await world.dialer.dialTo().open();
    expect(world.one('db').state).toBe('up');
    carrier.flows(1);
    await world.clock.advance(120_000);
    expect(world.one('db').state).toBe('up');
    carrier.flows(0);
    await world.clock.advance(59_000);
    expect(world.one('db').state).toBe('up');
    await world.clock.advance(1_000);
    await settle();
    expect(world.one('db')).toMatchObject({ state: 'asleep', reconnects: 0 });
    expect(world.dialer.liveSessions).toBe(0);
    carrier.clientWaits();
    await settle();
    await world.dialer.dialTo().open();
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 0 });
  });

  test('a wake-up that needs a person keeps its error and tries nothing more', async () => {
    const world = await worldOf(lazy);
    await world.up('db');
    const carrier = world.ports.at('127.0.0.1:1');
    carrier.clientWaits();
    await settle();
    await world.dialer.dialTo().fail(refused());
    carrier.flows(0);
    await world.clock.advance(200_000);
    expect(world.one('db')).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
    carrier.clientWaits();
    await world.clock.advance(1_000);
    expect(world.dialer.dialCount).toBe(1);
  });
});

describe('order', () => {
  test('a tunnel is dialled only after those it names are up', async () => {
    const world = await worldOf(
      tunnelOf('vpn', [bastion], local(1)),
      tunnelOf('db', [katie], local(2), { after: ['vpn'] }),
    );
    await world.up('db');
    expect(world.dialer.dialCount).toBe(0);
    expect(world.one('db')).toMatchObject({
      state: 'connecting',
      error: { code: 'NOT_UP', hint: hinting('tunnel up vpn') },
    });
    await world.up('vpn');
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db')).toMatchObject({ state: 'up', error: null });
  });

  test('two that wait for each other do no harm', async () => {
    const world = await worldOf(
      tunnelOf('a', [bastion], local(1), { after: ['b'] }),
      tunnelOf('b', [katie], local(2), { after: ['a'] }),
    );
    world.engine.up(['a', 'b'], onTerminal);
    await settle();
    expect(world.dialer.dialCount).toBe(0);
  });
});
