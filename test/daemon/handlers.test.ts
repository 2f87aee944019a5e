// What each method does, with the real engine over a network that the test decides about.
import type { Reloaded } from '../../src/daemon/config-source.ts';
import { describe, expect, test } from 'vitest';
import type { Call, Handlers } from '../../src/control/connection.ts';
import type { UpParams, UpProgress } from '../../src/control/protocol.ts';
import { createHandlers } from '../../src/daemon/handlers.ts';
import { Leases } from '../../src/daemon/leases.ts';
import { TunnelError } from '../../src/errors.ts';
import type { Tunnel } from '../../src/model/tunnel.ts';
import { hostOf, local, tunnelOf, worldOf, type World } from '../helpers/fake-world.ts';
import { settle } from '../helpers/fake-clock.ts';
import { refused } from '../helpers/fake-ssh.ts';
import { hinting } from '../helpers/hint.ts';

interface Served extends World {
  readonly handlers: Handlers;
  readonly said: string[];
  /** Names of what was restored, and no command has told yet. */
  readonly back: string[];
  reload: () => Promise<Reloaded>;
}

const katie = hostOf('katie');

async function serve(...tunnels: Parameters<typeof worldOf>): Promise<Served> {
  const world = await worldOf(...tunnels);
  const said: string[] = [];
  const back: string[] = [];
  const served: Served = Object.assign(world, {
    said,
    back,
    reload: () => Promise.resolve({ changes: [], warnings: [], inUse: { sinceMs: 0, changes: [] } }),
    handlers: createHandlers({
      engine: world.engine,
      clock: world.clock,
      supervisor: () => ({
        running: true,
        pid: 1,
        version: '1',
        config: '/c',
        since: null,
        configError: null,
        nativeCrypto: null,
      }),
      reload: () => served.reload(),
      restore: (agents, except) => said.push(`restore ${agents.join()} but ${except.join()}`),
      broughtBack: () => back.splice(0),
      forget: (names) => Promise.resolve(void said.push(`forget ${names.join()}`)),
      leases: new Leases({
        wanted: () => new Set(world.engine.known().flatMap((each) => (each.wanted ? [each.name] : []))),
        down: (names) => world.engine.down(names, 0),
        changed: () => undefined,
      }),
      remembered: () => Promise.resolve(),
      end: (ifIdle) => {
        said.push(`end ${ifIdle}`);
        return world.engine.known().every(({ wanted }) => !wanted);
      },
      handOver: () => Promise.reject(new Error('nobody takes over here')),
      endEarlier: () => Promise.resolve(),
    }),
  });
  return served;
}

interface TestCall<P> extends Call<P> {
  readonly progressed: P[];
  readonly leave: () => void;
  unread: boolean;
  read: () => void;
}

function callOf<P>(): TestCall<P> {
  const controller = new AbortController();
  const progressed: P[] = [];
  let reading: (() => void)[] = [];
  return {
    signal: controller.signal,
    progressed,
    unread: false,
    progress: (value) => void progressed.push(value),
    get behind() {
      return this.unread;
    },
    whenRead: () => new Promise((resolve) => reading.push(resolve)),
    read() {
      this.unread = false;
      for (const resolve of reading) resolve();
      reading = [];
    },
    leave: () => controller.abort(),
  };
}

const plain: UpParams = {
  selectors: [],
  timeoutMs: 30_000,
  interactive: false,
  acceptNew: false,
  environment: { variables: {}, agentSockets: ['/agent/1'] },
  remap: false,
};

describe('up', () => {
  test('takes what has autostart, restores what was wanted first, and tells each tunnel as it settles', async () => {
    const world = await serve(
      tunnelOf('db', [katie], local(5432)),
      tunnelOf('web', [hostOf('other')], local(80)),
      tunnelOf('spare', [katie], local(90), { autostart: false }),
    );
    const call = callOf<UpProgress>();
    const result = world.handlers.up(plain, call);
    await settle();
    expect(world.said).toEqual(['restore /agent/1 but db,web']);
    await world.dialer.dials[1]?.open();
    expect(call.progressed).toMatchObject([
      { kind: 'settled', tunnel: { name: 'web', state: 'up' }, error: null },
    ]);
    await world.dialer.dials[0]?.fail(refused());
    expect(await result).toMatchObject({
      failures: [{ tunnel: 'db', error: { code: 'AUTH_REFUSED' } }],
      document: {
        version: 1,
        tunnels: [
          { name: 'db', state: 'needs-you' },
          { name: 'web', state: 'up' },
        ],
      },
    });
  });

  test('names what was brought back beside what it asks for, once', async () => {
    const world = await serve(...['a', 'b', 'c'].map((name, at) => tunnelOf(name, [katie], local(at + 1))));
    world.back.push('a', 'b', 'c');
    const first = callOf<UpProgress>();
    void world.handlers.up({ ...plain, selectors: ['c'] }, first);
    await settle();
    const text = 'a, b are brought back too: they were wanted when the last supervisor ended unexpectedly';
    expect(first.progressed).toEqual([{ kind: 'notice', text }]);
    world.back.push('c');
    const second = callOf<UpProgress>();
    void world.handlers.up({ ...plain, selectors: ['c'] }, second);
    await settle();
    expect(second.progressed).toEqual([]);
  });

  test('gives the last error when its time is over, and the tunnel goes on', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const result = world.handlers.up({ ...plain, timeoutMs: 5000 }, callOf());
    await settle();
    await world.clock.advance(5000);
    expect((await result).failures).toMatchObject([{ tunnel: 'db', error: { code: 'TIMED_OUT' } }]);
    expect(world.one('db').state).toBe('connecting');
  });

  test('ends with NOT_UP when somebody else takes the tunnel down meanwhile', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const result = world.handlers.up(plain, callOf());
    await settle();
    await world.handlers.down({ selectors: ['db'], drainMs: 0 }, callOf());
    expect((await result).failures).toMatchObject([{ tunnel: 'db', error: { code: 'NOT_UP' } }]);
  });

  test('does not touch anything when the file is broken or a selector matches nothing', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    await expect(world.handlers.up({ ...plain, selectors: ['bd'] }, callOf())).rejects.toMatchObject({
      code: 'NO_SUCH_TUNNEL',
      hint: hinting(/db/),
    });
    world.reload = () => Promise.reject(new TunnelError('CONFIG_INVALID', 'broken'));
    await expect(world.handlers.up(plain, callOf())).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect(world.one('db').state).toBe('down');
  });

  test('on a terminal passes questions on, stands its clock still meanwhile, and hears the answer of another', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const call = callOf<UpProgress>();
    const result = world.handlers.up({ ...plain, timeoutMs: 5000, interactive: true }, call);
    await settle();
    const answer = world.dialer.dials[0]?.context.ask({
      kind: 'password',
      host: 'katie',
      text: 'Password',
      echo: false,
      fingerprint: null,
      endpoint: 'me@katie:22',
      keyType: null,
      randomart: [],
      fromServer: false,
      tries: 0,
    });
    await settle();
    const question = call.progressed.find((progress) => progress.kind === 'question');
    expect(question).toMatchObject({ question: { text: 'Password' } });
    await world.clock.advance(60_000);
    expect(call.progressed.some(({ kind }) => kind === 'settled')).toBe(false);
    const id = question?.kind === 'question' ? question.question.id : '';
    expect(await world.handlers.answer({ question: id, value: 'open sesame' }, callOf())).toEqual({
      taken: true,
    });
    expect(await world.handlers.answer({ question: id, value: 'again' }, callOf())).toEqual({ taken: false });
    expect((await answer)?.reveal()).toBe('open sesame');
    await world.dialer.dials[0]?.open();
    expect((await result).failures).toEqual([]);
  });

  test('remembers the agents of earlier commands, the newest first', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const call = callOf<UpProgress>();
    void world.handlers.up(plain, call);
    await settle();
    await world.dialer.dials[0]?.fail(refused());
    const environment = { variables: {}, agentSockets: ['/agent/2'] };
    void world.handlers.restart({ ...plain, environment }, callOf());
    await settle();
    expect(world.said.at(-1)).toBe('restore /agent/2,/agent/1 but db');
    expect(world.dialer.dials[0]?.context.environment.agentSockets).toEqual(['/agent/2', '/agent/1']);
  });

  test('leaves the tunnel wanted when its client leaves', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const call = callOf<UpProgress>();
    const result = world.handlers.up(plain, call);
    await settle();
    call.leave();
    await result;
    expect(world.one('db').state).toBe('connecting');
    expect(world.engine.known()).toMatchObject([{ wanted: true }]);
  });
});

describe('wait', () => {
  test('is NOT_UP when its time runs out, with the last error in its words', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    await world.up('db');
    const result = world.handlers.wait({ selectors: [], timeoutMs: 2000 }, callOf());
    await world.clock.advance(2000);
    expect((await result).failures).toMatchObject([{ tunnel: 'db', error: { code: 'NOT_UP' } }]);
  });

  test('ends when the tunnel is up', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    await world.up('db');
    const result = world.handlers.wait({ selectors: ['db'], timeoutMs: 2000 }, callOf());
    await world.dialer.dials[0]?.open();
    expect((await result).failures).toEqual([]);
  });
});

describe('wait for ports in use', () => {
  test('goes on while they are tried again, whoever else is waited for, and is NOT_UP in the end', async () => {
    const world = await serve(
      tunnelOf('db', [katie], local(5432)),
      tunnelOf('web', [katie], local(80)),
      tunnelOf('free', [katie], local(90)),
    );
    world.ports.taken.add('127.0.0.1:5432').add('127.0.0.1:80');
    const up = await world.handlers.up({ ...plain, selectors: ['db'] }, callOf());
    expect(up.failures).toMatchObject([{ tunnel: 'db', error: { code: 'LISTEN_FAILED' } }]);
    await world.up('web');
    const waiting = world.handlers.wait({ selectors: ['db', 'web'], timeoutMs: 11_998 }, callOf());
    await world.clock.advance(4_000);
    world.ports.taken.delete('127.0.0.1:80');
    await world.clock.advance(2_000);
    await world.dialer.dials[0]?.open();
    await world.clock.advance(6_000);
    const { failures } = await waiting;
    expect(failures).toMatchObject([{ tunnel: 'db', error: { code: 'NOT_UP' } }]);
    expect(failures[0]?.error.message).toContain('not up after 12s: listen failed');
  });
});

describe('a crowd of tunnels', () => {
  /** How often a tunnel is looked at in the life of `count` of them: brought up, waited for, taken down. */
  const looks = async (count: number, more: Partial<Tunnel>): Promise<number> => {
    let looked = 0;
    const tunnels = Array.from({ length: count }, (_none, index) => {
      const tunnel = tunnelOf('', [katie], local(20_000 + index), more);
      const get = (): string => ((looked += 1), `t${index}`);
      return Object.defineProperty(tunnel, 'name', { get, enumerable: true });
    });
    const world = await serve(...tunnels);
    const up = world.handlers.up(plain, callOf());
    const wait = world.handlers.wait({ selectors: ['*'], timeoutMs: 30_000 }, callOf());
    await settle();
    while (world.dialer.dials.length > 0)
      for (const dial of Array.from(world.dialer.dials)) await dial.open();
    expect([(await up).failures, (await wait).failures]).toEqual([[], []]);
    await world.handlers.down({ selectors: [], drainMs: 0 }, callOf());
    return looked;
  };

  test.each([
    ['on one link', {}],
    ['each on its own link', { share: false }],
  ])('%s costs what its tunnels cost, not what their square does', async (_what, more) => {
    const [few, many] = [await looks(20, more), await looks(100, more)];
    expect(many / few).toBeLessThan(1.2 * (100 / 20));
  });
});

describe('the other methods', () => {
  test('down answers with what is down, and whether the supervisor ends', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)), tunnelOf('web', [katie], local(80)));
    await world.up('db');
    await world.up('web');
    expect(await world.handlers.down({ selectors: ['db'], drainMs: 0 }, callOf())).toMatchObject({
      ending: false,
      document: { tunnels: [{ name: 'db', state: 'down' }] },
    });
    expect(await world.handlers.down({ selectors: [], drainMs: 0 }, callOf())).toMatchObject({
      ending: true,
    });
  });

  test('watch shows a snapshot at once, then one for all changes within 50 ms, and none while the last is unread', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    const call = callOf<unknown>();
    const over = world.handlers.watch({ selectors: [] }, call as never);
    expect(call.progressed).toHaveLength(1);
    await world.up('db');
    await world.dialer.dials[0]?.open();
    expect(call.progressed).toHaveLength(1);
    await world.clock.advance(50);
    expect(call.progressed).toHaveLength(2);
    call.unread = true;
    world.dialer.sessions[0]?.end(null);
    await world.clock.advance(1000);
    expect(call.progressed).toHaveLength(2);
    call.read();
    await settle();
    expect(call.progressed).toHaveLength(3);
    call.leave();
    expect(await over).toBe(null);
  });

  test('status and why know only what exists', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    expect(await world.handlers.status({ selectors: ['d*'] }, callOf())).toMatchObject({
      tunnels: [{ name: 'db' }],
    });
    expect(() => world.handlers.status({ selectors: ['x'] }, callOf())).toThrow(TunnelError);
    expect(await world.handlers.why({ name: 'db' }, callOf())).toMatchObject({
      tunnel: { name: 'db' },
      steps: null,
    });
    const unknown = async (): Promise<unknown> => world.handlers.why({ name: 'x' }, callOf());
    await expect(unknown()).rejects.toThrow('no tunnel is named x');
  });

  test('flows tells the connections of what was selected, and no more of all of them than were asked for', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)), tunnelOf('web', [katie], local(80)));
    await world.up('db');
    await world.up('web');
    world.ports.at('127.0.0.1:5432').flows(2);
    world.ports.at('127.0.0.1:80').flows(3);
    const told = async (selectors: readonly string[], most: number): Promise<readonly string[]> => {
      const { flows } = await world.handlers.flows({ selectors, most }, callOf());
      return flows.map(({ tunnel, listen }) => `${tunnel} ${listen}`);
    };
    const db = 'db 127.0.0.1:5432';
    const web = 'web 127.0.0.1:80';
    expect(await told(['db'], 100)).toEqual([db, db]);
    expect(await told([], 100)).toEqual([db, db, web, web, web]);
    expect(await told([], 3)).toEqual([db, db, web]);
    await world.engine.down(['db'], 0);
    expect(await told(['db'], 100)).toEqual([]);
  });

  test('shutdown ends it whatever is wanted', async () => {
    const world = await serve(tunnelOf('db', [katie], local(5432)));
    await world.up('db');
    await world.handlers.shutdown({}, callOf());
    expect(world.said).toEqual(['end false']);
  });
});
