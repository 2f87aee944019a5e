// Applying a changed file: nothing that runs is ended, and every change is said in a sentence.
import { describe, expect, test } from 'vitest';
import { settle } from '../helpers/fake-clock.ts';
import { configOf, hostOf, local, offTerminal, tunnelOf, worldOf } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const other = hostOf('other');
const keep = { prune: false };

describe('apply', () => {
  test('says nothing and touches nothing when nothing changed', async () => {
    const db = tunnelOf('db', [katie], local(1));
    const world = await worldOf(db);
    await world.up('db');
    await world.dialer.dialTo().open();
    expect(await world.engine.apply(configOf(tunnelOf('db', [hostOf('katie')], local(1))), keep)).toEqual([]);
    expect(world.dialer.dialCount).toBe(1);
    expect(world.ports.carriers).toHaveLength(1);
  });

  test('a new target serves new connections of the same carrier', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(1)));
    await world.up('db');
    await world.dialer.dialTo().open();
    world.ports.at('127.0.0.1:1').flows(1);
    const changed = configOf(tunnelOf('db', [katie], local(1, 'db2:5432')));
    expect(await world.engine.apply(changed, keep)).toEqual(['db: 127.0.0.1:1 now leads to db2:5432']);
    expect(world.ports.carriers).toHaveLength(1);
    expect(world.ports.at('127.0.0.1:1')).toMatchObject({
      resets: 0,
      open_: 1,
      forward: { target: { host: 'db2' } },
    });
  });

  test('a new address opens before the old one closes, and the old one lets its connections end', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(1)));
    await world.up('db');
    await world.dialer.dialTo().open();
    const old = world.ports.at('127.0.0.1:1');
    old.flows(1);
    expect(await world.engine.apply(configOf(tunnelOf('db', [katie], local(2))), keep)).toEqual([
      'db: listens on 127.0.0.1:2; no longer on 127.0.0.1:1',
    ]);
    expect([...world.ports.taken]).toEqual(['127.0.0.1:2']);
    expect([old.open_, old.resets]).toEqual([1, 0]);
    expect(world.ports.at('127.0.0.1:2').view?.state).toBe('up');
    expect(world.one('db').state).toBe('up');
    await world.engine.down(['db'], 0);
    expect(old.open_).toBe(0);
  });

  test('a changed host dials a second link while the old one drains', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(1)));
    await world.up('db');
    const old = await world.dialer.dialTo().open();
    const carrier = world.ports.at('127.0.0.1:1');
    if (carrier.view?.state !== 'up') throw new Error('not up');
    const limits = { timeoutMs: 1 };
    const at = { kind: 'tcp', host: 'db', port: 1 } as const;
    const flow = await carrier.view.session.openChannel(at, { host: '', port: 0 }, limits);
    await world.engine.apply(configOf(tunnelOf('db', [other], local(1))), keep);
    expect(world.one('db')).toMatchObject({ state: 'connecting', endpoint: 'me@other.example:22' });
    await world.dialer.dialTo('other').open();
    expect([world.one('db').state, old.ended]).toEqual(['up', false]);
    flow.close();
    await settle();
    expect(old.ended).toBe(true);
    expect(carrier.bound).toBe(true);
  });

  test('an old link that is lost while it drains is not dialled again', async () => {
    const world = await worldOf(tunnelOf('db', [katie], local(1)));
    await world.up('db');
    const old = await world.dialer.dialTo().open();
    const { view } = world.ports.at('127.0.0.1:1');
    if (view?.state !== 'up') throw new Error('not up');
    const at = { kind: 'tcp', host: 'db', port: 1 } as const;
    await view.session.openChannel(at, { host: '', port: 0 }, { timeoutMs: 1 });
    await world.engine.apply(configOf(tunnelOf('db', [other], local(1))), keep);
    old.end(null);
    await world.clock.advance(60_000);
    expect(world.dialer.dials.map(({ host }) => host.name)).toEqual(['other']);
  });

  test('a tunnel gone from the file stays up as an orphan until down', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    await world.up('a');
    await world.dialer.dialTo().open();
    const rest = configOf(tunnelOf('c', [katie], local(3)));
    expect(await world.engine.apply(rest, keep)).toEqual([
      'c: added, tunnel up c starts it',
      'a: gone from the file, stays up until tunnel down a',
      'b: removed',
    ]);
    expect(await world.engine.apply(rest, keep)).toEqual([]);
    expect(world.one('a')).toMatchObject({ state: 'up', orphan: true });
    expect(world.engine.known().map(({ name }) => name)).toEqual(['c', 'a']);
    await world.engine.down(['a'], 0);
    expect(world.engine.known().map(({ name }) => name)).toEqual(['c']);
    expect(world.ports.taken.size).toBe(0);
  });

  test('a new tunnel that is about to be started is not said to need a command', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    const more = configOf(tunnelOf('b', [katie], local(2)), tunnelOf('c', [katie], local(3)));
    expect(await world.engine.apply(more, { prune: true, starts: ({ name }) => name === 'b' })).toEqual([
      'b: added',
      'c: added, tunnel up c starts it',
      'a: removed',
    ]);
  });

  test('prune brings orphans down', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.up('a');
    await world.engine.apply(configOf(), keep);
    expect(await world.engine.apply(configOf(), { prune: true })).toEqual([
      'a: gone from the file, brought down',
    ]);
    expect([world.engine.known().length, world.ports.taken.size]).toEqual([0, 0]);
  });

  test('what was typed for a host is forgotten when its use ends, however that comes', async () => {
    const [a, b] = [tunnelOf('a', [katie, other], local(1)), tunnelOf('b', [katie], local(2))];
    const world = await worldOf(a, b);
    const kept = (): readonly string[] => world.dialer.keptFor.at(-1) ?? [];
    world.engine.up(['a', 'b'], offTerminal);
    await world.engine.apply(configOf(tunnelOf('a', [katie, hostOf('third')], local(1)), b), keep);
    expect(kept()).toEqual(['katie.example:22', 'third.example:22']);
    await world.engine.apply(configOf(b), keep);
    expect(kept()).toEqual(['katie.example:22', 'third.example:22']);
    await world.engine.apply(configOf(b), { prune: true });
    expect(kept()).toEqual(['katie.example:22']);
    await world.engine.down(['b'], 0);
    expect(kept()).toEqual([]);
  });

  test('one that is in the file again is no orphan any more', async () => {
    const a = tunnelOf('a', [katie], local(1));
    const world = await worldOf(a);
    await world.up('a');
    await world.engine.apply(configOf(), keep);
    expect(await world.engine.apply(configOf(a), keep)).toEqual(['a: is in the file again']);
    expect(world.one('a').orphan).toBe(false);
  });

  test('a renamed one takes over port, link and wanted mark', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    const wanted: (readonly string[])[] = [];
    world.engine.onWanted((names) => wanted.push(names));
    await world.up('a');
    const session = await world.dialer.dialTo().open();
    world.ports.at('127.0.0.1:1').flows(1);
    expect(await world.engine.apply(configOf(tunnelOf('b', [katie], local(1))), keep)).toEqual([
      'a: is now called b, its port and link stay',
    ]);
    expect(world.one('b')).toMatchObject({ state: 'up', orphan: false });
    expect(world.one('a')).toBeUndefined();
    expect(world.ports.carriers).toHaveLength(1);
    expect([session.ended, world.dialer.dialCount]).toEqual([false, 1]);
    expect(wanted).toEqual([['a'], ['b']]);
  });

  test('an address that moves between kinds is given up before it is taken', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.up('a');
    await world.dialer.dialTo().open();
    const dynamic = { ...local(1), type: 'dynamic', allow: [], socksAuth: null } as const;
    await world.engine.apply(configOf(tunnelOf('a', [katie], dynamic)), keep);
    await world.clock.advance(5_000);
    expect(world.one('a')).toMatchObject({ state: 'up', forwards: [{ type: 'dynamic', bound: true }] });
  });

  test('what is down only changes on paper', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.engine.apply(configOf(tunnelOf('a', [other], local(9))), keep);
    expect(world.one('a')).toMatchObject({ state: 'down', endpoint: 'me@other.example:22' });
    expect(world.one('a').forwards[0]).toMatchObject({
      listen: '127.0.0.1:9',
      target: 'db:5432',
      bound: false,
    });
    world.engine.up(['a'], offTerminal);
    await settle();
    expect(world.dialer.dialTo().host.name).toBe('other');
  });
});
