// Links: who shares one, jump hosts, several ways, restart.
import { describe, expect, test } from 'vitest';
import type { Person } from '../../src/supervisor/engine.ts';
import { linkKey } from '../../src/supervisor/links.ts';
import { kexFailed, lost, refused, unreachable } from '../helpers/fake-ssh.ts';
import { settle } from '../helpers/fake-clock.ts';
import { hostOf, local, offTerminal, onTerminal, tunnelOf, worldOf } from '../helpers/fake-world.ts';
import type { World } from '../helpers/fake-world.ts';

const katie = hostOf('katie');
const bastion = hostOf('bastion');
const second = hostOf('second');

describe('sharing', () => {
  test('equal hosts share one login, different ones and share: false do not', async () => {
    const world = await worldOf(
      tunnelOf('a', [katie], local(1)),
      tunnelOf('b', [hostOf('katie')], local(2)),
      tunnelOf('c', [hostOf('katie', { user: 'other' })], local(3)),
      tunnelOf('d', [katie], local(4), { share: false }),
      tunnelOf('e', [katie], local(5), { share: false }),
    );
    world.engine.up(['a', 'b', 'c', 'd', 'e'], offTerminal);
    await settle();
    for (const dial of Array.from(world.dialer.dials)) await dial.open();
    expect(world.dialer.dialCount).toBe(4);
    const links = world.engine.status(['a', 'b', 'c', 'd', 'e']).map(({ link }) => link);
    expect(links[0]).toBe(links[1]);
    expect(new Set(links).size).toBe(4);
  });

  describe('links that do not share but go the same way', () => {
    const tunnels = ['a', 'b', 'c'].map((name, index) =>
      tunnelOf(name, [katie], local(index + 1), { share: false }),
    );
    const names = tunnels.map(({ name }) => name);
    const begun = async (): Promise<World> => {
      const world = await worldOf(...tunnels);
      world.engine.up(names, offTerminal);
      await settle();
      expect(world.dialer.dialCount).toBe(1);
      return world;
    };

    test('log in after the first, all at once', async () => {
      const world = await begun();
      await world.dialer.dialTo().open();
      expect(world.dialer.dials).toHaveLength(2);
      for (const dial of Array.from(world.dialer.dials)) await dial.open();
      expect(world.engine.status(names).map(({ state }) => state)).toEqual(['up', 'up', 'up']);
      expect(world.dialer.liveSessions).toBe(3);
    });

    test('are told what the first is told, now and at each look', async () => {
      const world = await begun();
      world.dialer.dialTo().context.refused?.add('a key');
      await world.dialer.dialTo().fail(refused());
      for (const status of world.engine.status(names))
        expect(status).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
      await world.clock.advance(5 * 60_000);
      expect(world.dialer.dialCount).toBe(2);
      const { onlyProven, refused: before } = world.dialer.dialTo().context;
      expect([onlyProven, before?.has('a key')]).toEqual([true, true]);
      await world.dialer.dialTo().open();
      for (const dial of Array.from(world.dialer.dials)) await dial.open();
      expect(world.engine.status(names).map(({ state }) => state)).toEqual(['up', 'up', 'up']);
    });

    test('go on without the first when nobody wants that any more', async () => {
      const world = await begun();
      await world.engine.down(['a'], 0);
      expect(world.dialer.dialCount).toBe(2);
      await world.engine.down(['b', 'c'], 0);
      expect(world.dialer.dials).toHaveLength(0);
      await world.up('a');
      expect(world.dialer.dialCount).toBe(3);
    });

    test('go on without a first that is late to hear that', async () => {
      const world = await begun();
      world.dialer.deaf = true;
      await world.engine.down(['a'], 0);
      expect(world.dialer.dialCount).toBe(2);
    });

    test('do not wait when they have somebody to ask, or were brought something else', async () => {
      const world = await begun();
      const person: Person = { question: () => {}, withdrawn: () => {}, banner: () => {} };
      await world.engine.down(['b', 'c'], 0);
      world.engine.attend(['b'], person);
      await world.up('b', onTerminal);
      expect(world.dialer.dialCount).toBe(2);
      const environment = { variables: {}, agentSockets: ['/another'] };
      await world.up('c', { ...offTerminal, environment });
      expect(world.dialer.dialCount).toBe(3);
    });

    test('are not held up by a first whose connect hangs, once the server answers', async () => {
      const world = await worldOf(...tunnels);
      const [a, b] = ['a', 'b'].map((name) => world.engine.settled(name, new AbortController().signal));
      world.engine.up(['a', 'b'], offTerminal);
      await settle();
      await world.dialer.dialTo().fail(unreachable());
      await world.clock.advance(1_000);
      await world.dialer.reaches[0]?.answer();
      for (let round = 0; round < 3; round += 1)
        for (const dial of Array.from(world.dialer.dials)) await dial.open();
      expect([await a, await b]).toEqual([null, null]);
    });
  });

  test('a shared link lives until its last tunnel is down', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    const session = await world.dialer.dialTo().open();
    await world.engine.down(['a'], 0);
    expect([session.ended, world.one('b').state]).toEqual([false, 'up']);
    expect(world.dialer.keptFor.at(-1)).toEqual(['katie.example:22']);
    await world.engine.down(['b'], 0);
    expect(session.ended).toBe(true);
  });

  test('environments of commands are merged, the newest first, and forgotten with down', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    const request = (variables: Record<string, string>, ...agentSockets: string[]): typeof offTerminal => ({
      ...offTerminal,
      environment: { variables, agentSockets },
    });
    await world.up('a', request({ A: '1', B: '1' }, '/one'));
    await world.dialer.dialTo().fail(kexFailed());
    await world.up('a', request({ B: '2' }, '/two', '/one'));
    expect(world.dialer.dialTo().context.environment).toEqual({
      variables: { A: '1', B: '2' },
      agentSockets: ['/two', '/one'],
    });
    await world.engine.down(['a'], 0);
    await world.up('a', request({}));
    expect(world.dialer.dialTo().context.environment).toEqual({ variables: {}, agentSockets: [] });
  });
});

describe('jump hosts', () => {
  const inner = tunnelOf('db', [bastion, katie], local(1));

  test('one is a link of its own, which the next rides on, shared by the same rule', async () => {
    const world = await worldOf(
      inner,
      tunnelOf('web', [bastion, second], local(2)),
      tunnelOf('b', [bastion], local(3)),
    );
    world.engine.up(['db', 'web', 'b'], offTerminal);
    await settle();
    const session = await world.dialer.dialTo('bastion').open();
    expect(world.dialer.dialTo('katie').via).toBe(session);
    expect(world.dialer.dialTo('second').via).toBe(session);
    await world.dialer.dialTo('katie').open();
    expect(world.one('db')).toMatchObject({ state: 'up', via: ['bastion'], endpoint: 'me@katie.example:22' });
    await world.engine.down(['web', 'b', 'db'], 0);
    await settle();
    expect([world.dialer.liveSessions, world.clock.pending]).toEqual([0, 0]);
  });

  test('its failure is the failure of all behind it, with its words, its next try and one login', async () => {
    const world = await worldOf(inner, tunnelOf('web', [bastion, second], local(2)));
    world.engine.up(['db', 'web'], offTerminal);
    await settle();
    await world.dialer.dialTo('bastion').fail(kexFailed());
    const [db, web] = world.engine.status(['db', 'web']);
    expect(db).toMatchObject({ state: 'retrying', error: { code: 'KEX_FAILED' }, attempt: 1 });
    expect(web?.retryAt).toBe(db?.retryAt);
    for (let second_ = 0; second_ < 20; second_ += 1) {
      await world.clock.advance(1_000);
      for (const dial of Array.from(world.dialer.dials)) await dial.fail(kexFailed());
    }
    expect(world.dialer.dialCount).toBeLessThan(9);
    await world.clock.advance(30_000);
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db').state).toBe('up');
  });

  test('its loss is theirs, and they come back with it', async () => {
    const world = await worldOf(inner);
    await world.up('db');
    const outer = await world.dialer.dialTo('bastion').open();
    const session = await world.dialer.dialTo('katie').open();
    await world.clock.advance(60_000);
    outer.end(lost());
    await settle();
    expect(session.ended).toBe(true);
    expect(world.one('db')).toMatchObject({ state: 'connecting', error: { code: 'LINK_LOST' } });
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db')).toMatchObject({ state: 'up', reconnects: 1 });
  });

  test('one that needs a person keeps its error for all, until a person comes', async () => {
    const world = await worldOf(inner);
    await world.up('db');
    await world.dialer.dialTo('bastion').fail(refused());
    world.engine.up(['db'], offTerminal);
    const signal = new AbortController().signal;
    expect(await world.engine.settled('db', signal)).toMatchObject({ code: 'AUTH_REFUSED' });
    expect(world.dialer.dialCount).toBe(1);
    await world.up('db', onTerminal);
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db').state).toBe('up');
  });

  test('a credential that changes for the jump host brings everything behind it', async () => {
    const world = await worldOf(inner);
    await world.up('db');
    await world.dialer.dialTo('bastion').fail(refused());
    await world.clock.advance(1_000);
    world.dialer.digest = 'new key';
    await world.clock.advance(2_000);
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db').state).toBe('up');
  });

  test('three in a row are three links', async () => {
    const world = await worldOf(tunnelOf('db', [bastion, second, katie], local(1)));
    await world.up('db');
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('second').open();
    await world.dialer.dialTo('katie').open();
    expect(world.one('db')).toMatchObject({ state: 'up', via: ['bastion', 'second'] });
  });
});

describe('several ways', () => {
  const ways = tunnelOf('db', [bastion, katie], local(1), {
    ways: [[bastion, katie], [second, katie], [katie]],
  });

  test('are tried in order in one attempt, and what worked is tried first the next time', async () => {
    const world = await worldOf(ways);
    await world.up('db');
    await world.dialer.dialTo('bastion').fail(unreachable());
    const outer = await world.dialer.dialTo('second').open();
    const session = await world.dialer.dialTo('katie').open();
    expect(world.one('db')).toMatchObject({ state: 'up', via: ['second'], attempt: 0 });
    await world.clock.advance(60_000);
    expect(world.dialer.dials).toHaveLength(0);
    session.end(lost());
    await settle();
    expect(world.dialer.dialTo('katie').via).toBe(outer);
  });

  test('a refusal by the server itself ends the attempt: another way leads to the same refusal', async () => {
    const world = await worldOf(ways);
    await world.up('db');
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').fail(refused());
    expect(world.one('db')).toMatchObject({ state: 'needs-you', error: { code: 'AUTH_REFUSED' } });
    expect(world.dialer.dials).toHaveLength(0);
  });

  test('a jump host that needs a person is no reason to wait when another way only takes time', async () => {
    const world = await worldOf(ways);
    await world.up('db');
    await world.dialer.dialTo('bastion').fail(refused());
    await world.dialer.dialTo('second').fail(unreachable());
    await world.dialer.dialTo('katie').fail(unreachable());
    expect(world.one('db')).toMatchObject({ state: 'retrying', error: { code: 'UNREACHABLE' } });
  });
});

describe('restart', () => {
  test('dials afresh with the port bound, and resets only the tunnels it is for', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    const old = await world.dialer.dialTo().open();
    const view = world.ports.at('127.0.0.1:2').view;
    if (view?.state !== 'up') throw new Error('not up');
    const flow = await view.session.openChannel(
      { kind: 'tcp', host: 'db', port: 1 },
      { host: '', port: 0 },
      { timeoutMs: 1 },
    );
    await world.engine.restart(['a'], offTerminal);
    await settle();
    expect(world.ports.at('127.0.0.1:1')).toMatchObject({ bound: true, resets: 1 });
    expect(world.ports.at('127.0.0.1:2').resets).toBe(0);
    expect([old.ended, world.one('a').state, world.one('b').state]).toEqual([false, 'connecting', 'up']);
    await world.dialer.dialTo().open();
    expect(world.one('a')).toMatchObject({ state: 'up', reconnects: 0 });
    expect(world.one('b').link).toBe(world.one('a').link);
    expect(old.ended, 'a flow runs over it').toBe(false);
    flow.close();
    await settle();
    expect(old.ended).toBe(true);
    expect(world.dialer.liveSessions).toBe(1);
  });

  test('of a blocked link takes all who share it along', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    await world.dialer.dialTo().fail(refused());
    await world.engine.restart(['a'], offTerminal);
    await settle();
    await world.dialer.dialTo().open();
    expect(world.engine.status(['a', 'b']).map(({ state }) => state)).toEqual(['up', 'up']);
    expect(world.dialer.liveSessions).toBe(1);
  });

  test('of all who share a link needs one login, and ends the old session', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)), tunnelOf('b', [katie], local(2)));
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    const old = await world.dialer.dialTo().open();
    await world.engine.restart(['a', 'b'], offTerminal);
    await settle();
    expect(old.ended).toBe(true);
    await world.dialer.dialTo().open();
    expect(world.dialer.dialCount).toBe(2);
  });

  test('of a tunnel whose jump host is blocked tries the jump host again, for all behind it', async () => {
    const world = await worldOf(
      tunnelOf('a', [bastion, katie], local(1)),
      tunnelOf('b', [bastion, second], local(2)),
    );
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    await world.dialer.dialTo('bastion').fail(refused());
    await world.engine.restart(['a'], offTerminal);
    await settle();
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    await world.dialer.dialTo('second').open();
    expect(world.engine.status(['a', 'b']).map(({ state }) => state)).toEqual(['up', 'up']);
  });

  test('of a jump host itself leaves what rides on it, which comes along when the old one is lost', async () => {
    const world = await worldOf(
      tunnelOf('a', [bastion], local(1)),
      tunnelOf('b', [bastion, katie], local(2)),
    );
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    const old = await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    await world.engine.restart(['a'], offTerminal);
    await settle();
    const fresh = await world.dialer.dialTo('bastion').open();
    expect(world.engine.status(['a', 'b']).map(({ state }) => state)).toEqual(['up', 'up']);
    await world.clock.advance(60_000);
    old.end(lost());
    await settle();
    expect(world.dialer.dialTo('katie').via).toBe(fresh);
    await world.dialer.dialTo('katie').open();
    expect(world.dialer.dials).toHaveLength(0);
    expect(world.dialer.liveSessions).toBe(2);
  });

  test('of a blocked jump host that fails again and then comes takes what rides on it along', async () => {
    const world = await worldOf(
      tunnelOf('a', [bastion], local(1)),
      tunnelOf('b', [bastion, katie], local(2)),
    );
    world.engine.up(['a', 'b'], offTerminal);
    await settle();
    await world.dialer.dialTo('bastion').fail(refused());
    await world.engine.restart(['a'], offTerminal);
    await settle();
    await world.dialer.dialTo('bastion').open();
    await world.dialer.dialTo('katie').open();
    expect(world.engine.status(['a', 'b']).map(({ state }) => state)).toEqual(['up', 'up']);
    expect(world.dialer.liveSessions).toBe(2);
  });

  test('of what is down is up', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.engine.restart(['a'], offTerminal);
    await settle();
    await world.dialer.dialTo().open();
    expect(world.one('a').state).toBe('up');
  });

  test('twice in a row leaves one session', async () => {
    const world = await worldOf(tunnelOf('a', [katie], local(1)));
    await world.up('a');
    await world.dialer.dialTo().open();
    await world.engine.restart(['a'], offTerminal);
    await world.engine.restart(['a'], offTerminal);
    await settle();
    await world.dialer.dialTo().open();
    expect([world.dialer.liveSessions, world.one('a').state]).toEqual([1, 'up']);
  });
});

test('what the login recorded is told, jump hosts first', async () => {
  const world = await worldOf(tunnelOf('db', [bastion, katie], local(1)));
  await world.up('db');
  const record = (name: string): void =>
    world.dialer.dialTo(name).context.step({ hop: name, layer: 'kex', status: 'ok', ms: 1, detail: '' });
  record('bastion');
  expect(world.engine.loginSteps('db')).toBeNull();
  await world.dialer.dialTo('bastion').open();
  record('katie');
  await world.dialer.dialTo('katie').open();
  expect(world.engine.loginSteps('db')?.map(({ hop }) => hop)).toEqual(['bastion', 'katie']);
});

describe('keys of links', () => {
  test('differ with anything of any hop, and not with the order of its parts', () => {
    const turned = Object.fromEntries(Object.entries(katie).toReversed()) as unknown as typeof katie;
    expect(linkKey([[turned]], null)).toBe(linkKey([[katie]], null));
    const others = [
      hostOf('katie', { password: { from: 'env', name: 'A' } }),
      hostOf('katie', { hostKeys: 'strict' }),
      hostOf('katie', { knownHosts: ['/k'] }),
      hostOf('katie', { identities: ['/i'] }),
    ].map((host) => linkKey([[host]], null));
    expect(new Set([linkKey([[katie]], null), linkKey([[katie]], 'a'), ...others]).size).toBe(6);
  });
});
