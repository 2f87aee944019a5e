// Local forwards over a session in memory: serving, holding, refusing, counting, closing.
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { createCarrier } from '../../src/forward/create.ts';
import type { Carrier, LinkView } from '../../src/model/carrier.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { LocalForward } from '../../src/model/forward.ts';
import type { Hold } from '../../src/model/tunnel.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock, type ManualClock } from '../helpers/manual-clock.ts';
import { memorySession, type MemoryChannel, type MemorySession } from '../helpers/memory-session.ts';
import { watchSocket } from '../helpers/socket-pair.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

interface Stage {
  readonly carrier: Carrier;
  readonly clock: ManualClock;
  readonly knocks: () => number;
  readonly logged: string[];
}

function stage(
  hold: Hold = { kind: 'wait', ms: 30_000 },
  listen: Endpoint = tcp('127.0.0.1', 0),
  target: Endpoint = tcp('db', 5432),
): Stage {
  const forward: LocalForward = { type: 'local', name: null, probe: null, listen, target, protocol: null };
  const clock = manualClock();
  const logged: string[] = [];
  let knocks = 0;
  const carrier = createCarrier(forward, hold, {
    clock,
    preferredPort: null,
    backoffMs: () => 500,
    events: {
      changed: () => undefined,
      knock: () => (knocks += 1),
      log: (_level, event) => logged.push(event),
    },
  });
  closing.push(() => carrier.close(0));
  return { carrier, clock, knocks: () => knocks, logged };
}

const dial = (carrier: Carrier): Socket => {
  const { listen } = carrier.status();
  const socket = listen.startsWith('/')
    ? connect({ path: listen, allowHalfOpen: true })
    : connect({ port: Number(listen.split(':').at(-1)), host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  return socket;
};
const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
};
const away = (
  clock: ManualClock,
  more: Partial<{ sinceMs: number; failures: number; reached: boolean }> = {},
): LinkView => ({
  state: 'away',
  sinceMs: clock.monotonic(),
  failures: 0,
  reached: false,
  ...more,
});

/** A server whose every target turns text into TEXT. */
function upperCase(far: MemoryChannel): void {
  far.attach({
    data(chunk) {
      far.consumed(chunk.length);
      far.write(Buffer.from(chunk.toString().toUpperCase()));
    },
    end: () => {
      far.end();
      far.close();
    },
    closed: () => undefined,
    drain: () => undefined,
  });
}
function upperSession(): MemorySession {
  const session = memorySession();
  session.onOpen = (_target, _origin, far) => upperCase(far);
  return session;
}
const ask = async (socket: Socket, text: string): Promise<string> => {
  const watched = watchSocket(socket);
  socket.end(text);
  const ending = await watched.ending;
  return ending === 'end' ? watched.received().toString() : `reset after ${watched.received().length}`;
};

describe('while the link is up', () => {
  test('a client is served and counted', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = upperSession();
    carrier.link({ state: 'up', session });
    expect(await ask(dial(carrier), 'this is a test')).toBe('THIS IS A TEST');
    await until(() => carrier.status().open === 0);
    expect(carrier.status()).toMatchObject({
      total: 1,
      failed: 0,
      bytesIn: 14,
      bytesOut: 14,
      bound: true,
      exposed: false,
      target: 'db:5432',
      error: null,
    });
    expect(session.opened()).toEqual([tcp('db', 5432)]);
  });

  test('each connection is told with both ends here, its age and its bytes, also one that waits', async () => {
    const { carrier, clock } = stage();
    await carrier.open();
    const client = dial(carrier);
    await once(client, 'connect');
    await until(() => carrier.status().held === 1);
    clock.advance(700);
    const ends = { peer: { host: '127.0.0.1', port: client.localPort }, port: client.remotePort };
    const waiting = { ...ends, ageMs: 700, running: false, bytesIn: 0, bytesOut: 0 };
    expect(carrier.connections?.(9)).toEqual([waiting]);
    carrier.link({ state: 'up', session: upperSession() });
    client.write('this is a test');
    await once(client, 'data');
    const running = { ...waiting, running: true, bytesIn: 14, bytesOut: 14 };
    expect(carrier.connections?.(9)).toEqual([running]);
    expect(carrier.connections?.(0)).toEqual([]);
    client.destroy();
    await until(() => carrier.status().open === 0);
    expect(carrier.connections?.(9)).toEqual([]);
  });

  test('a refused target resets that connection only, and its reason is kept', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = upperSession();
    const serve = session.onOpen;
    session.onOpen = () => {
      throw new TunnelError('FORWARD_REFUSED', 'connection to db:5432 failed: connection refused');
    };
    carrier.link({ state: 'up', session });
    expect(await ask(dial(carrier), 'x')).toBe('reset after 0');
    expect(carrier.status()).toMatchObject({ total: 1, failed: 1, broken: false, open: 0 });
    expect(carrier.status().error?.code).toBe('FORWARD_REFUSED');
    session.onOpen = serve;
    expect(await ask(dial(carrier), 'x')).toBe('X');
  });

  test('what a client sends and how it ends while the channel opens reaches the target', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = upperSession();
    let go = (): void => undefined;
    const wait = new Promise<void>((resolve) => (go = resolve));
    session.onOpen = async (_target, _origin, far) => {
      await wait;
      upperCase(far);
    };
    carrier.link({ state: 'up', session });
    const answer = ask(dial(carrier), 'early');
    await until(() => carrier.status().open === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    go();
    expect(await answer).toBe('EARLY');
  });

  test('a client that leaves while the channel opens leaves no channel behind', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = memorySession();
    let far: MemoryChannel | null = null;
    let go = (): void => undefined;
    const wait = new Promise<void>((resolve) => (go = resolve));
    let aborted = false;
    session.onOpen = async (_target, _origin, end, signal) => {
      far = end;
      end.attach({
        data: () => undefined,
        end: () => undefined,
        closed: () => undefined,
        drain: () => undefined,
      });
      signal?.addEventListener('abort', () => (aborted = true));
      await wait;
    };
    carrier.link({ state: 'up', session });
    const client = dial(carrier);
    await until(() => far !== null);
    client.resetAndDestroy();
    await until(() => carrier.status().open === 0);
    expect(aborted).toBe(true);
    go();
    await until(() => far?.isClosed() === true);
    expect(carrier.status()).toMatchObject({ total: 1, failed: 0 });
  });

  test('a link lost while the channel opens holds the client, which the next link serves', async () => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    const frozen = memorySession();
    let reached = false;
    frozen.onOpen = () => {
      reached = true;
      return new Promise<void>(() => undefined);
    };
    carrier.link({ state: 'up', session: frozen });
    const client = dial(carrier);
    const watched = watchSocket(client);
    client.write('held');
    await until(() => reached);
    frozen.lose();
    await until(() => carrier.status().held === 1);
    expect(knocks()).toBe(1);
    carrier.link(away(clock));
    carrier.link({ state: 'up', session: upperSession() });
    await until(() => watched.received().toString() === 'HELD');
    expect(carrier.status()).toMatchObject({ open: 1, held: 0, failed: 0 });
  });

  test('a running connection is reset when its link is lost', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = upperSession();
    carrier.link({ state: 'up', session });
    const client = dial(carrier);
    const watched = watchSocket(client);
    client.write('x');
    await until(() => watched.received().length === 1);
    session.lose();
    expect(await watched.ending).toBe('reset');
    expect(carrier.status()).toMatchObject({ open: 0, failed: 1 });
    expect(carrier.status().error?.code).toBe('LINK_LOST');
  });

  test('a changed target serves new connections, running ones go on', async () => {
    const { carrier } = stage();
    await carrier.open();
    const session = upperSession();
    carrier.link({ state: 'up', session });
    const client = dial(carrier);
    const watched = watchSocket(client);
    client.write('x');
    await until(() => watched.received().length === 1);
    const changed: LocalForward = { ...(carrier.forward as LocalForward), target: tcp('db2', 5432) };
    expect(carrier.accepts(changed, { kind: 'wait', ms: 1 })).toBe(true);
    expect(carrier.accepts({ ...changed, listen: tcp('127.0.0.1', 1) }, { kind: 'wait', ms: 1 })).toBe(false);
    carrier.replace(changed, { kind: 'wait', ms: 1 });
    await ask(dial(carrier), 'y');
    client.write('z');
    await until(() => watched.received().length === 2);
    expect(session.opened()).toEqual([tcp('db', 5432), tcp('db2', 5432)]);
  });

  test('down lets running connections end for the drain, then resets them', async () => {
    const { carrier, clock } = stage();
    await carrier.open();
    carrier.link({ state: 'up', session: upperSession() });
    const [quick, slow] = [dial(carrier), dial(carrier)];
    const [first, second] = [watchSocket(quick), watchSocket(slow)];
    quick.write('x');
    slow.write('x');
    await until(() => first.received().length + second.received().length === 2);
    const closed = carrier.close(5000);
    await until(() => !carrier.status().bound);
    const late = dial(carrier);
    expect(
      await new Promise((resolve) =>
        late.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
      ),
    ).toBe('ECONNREFUSED');
    quick.end();
    expect(await first.ending).toBe('end');
    clock.advance(5000);
    expect(await second.ending).toBe('reset');
    await closed;
    expect(clock.armed()).toBe(0);
  });

  test('restart resets connections and keeps the listener', async () => {
    const { carrier } = stage();
    await carrier.open();
    carrier.link({ state: 'up', session: upperSession() });
    const client = dial(carrier);
    const watched = watchSocket(client);
    client.write('x');
    await until(() => watched.received().length === 1);
    carrier.resetConnections();
    expect(await watched.ending).toBe('reset');
    expect(await ask(dial(carrier), 'y')).toBe('Y');
  });
});

describe('while the link is away', () => {
  test('clients are held in order and served when it is back', async () => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    carrier.link(away(clock));
    const clients: Socket[] = [];
    for (const text of ['a', 'b', 'c']) {
      const client = dial(carrier);
      clients.push(client);
      client.write(text);
      await until(() => carrier.status().held === clients.length);
    }
    expect(knocks()).toBe(1);
    const watched = clients.map(watchSocket);
    const order: string[] = [];
    const session = memorySession();
    session.onOpen = (_target, _origin, far) =>
      far.attach({
        data: (chunk) => {
          order.push(chunk.toString());
          far.write(chunk);
        },
        end: () => undefined,
        closed: () => undefined,
        drain: () => undefined,
      });
    carrier.link({ state: 'up', session });
    await until(() => watched.every(({ received }) => received().length === 1));
    expect(order).toEqual(['a', 'b', 'c']);
    expect(carrier.status()).toMatchObject({ open: 3, held: 0, total: 3, failed: 0 });
    expect(clock.armed()).toBe(0);
  });

  test('a held client is reset when hold runs out', async () => {
    const { carrier, clock } = stage();
    await carrier.open();
    carrier.link(away(clock));
    const watched = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    clock.advance(29_999);
    expect(carrier.status().held).toBe(1);
    clock.advance(1);
    expect(await watched.ending).toBe('reset');
    expect(carrier.status()).toMatchObject({ held: 0, failed: 1, open: 0 });
  });

  test.each(['reset', 'close', 'half-close'] as const)(
    'a held client that leaves by %s is reset, counted, and nothing of it reaches the target',
    async (how) => {
      const { carrier, clock } = stage();
      await carrier.open();
      carrier.link(away(clock));
      const client = dial(carrier);
      const watched = watchSocket(client);
      client.write('DELETE FROM users');
      await until(() => carrier.status().held === 1);
      if (how === 'reset') client.resetAndDestroy();
      else if (how === 'close') client.destroy();
      else client.end();
      await until(() => carrier.status().held === 0);
      expect(carrier.status()).toMatchObject({ failed: 1, open: 0, total: 1 });
      if (how === 'half-close') expect(await watched.ending).toBe('reset');
      const session = upperSession();
      carrier.link({ state: 'up', session });
      expect(session.opened()).toEqual([]);
      expect(clock.armed()).toBe(0);
    },
  );

  test.runIf(process.platform === 'linux')(
    'a held client that sent too much to be read is still seen leaving',
    async () => {
      const { carrier, clock } = stage();
      await carrier.open();
      carrier.link(away(clock));
      const client = dial(carrier);
      client.write(Buffer.alloc(512 * 1024));
      await until(() => carrier.status().held === 1 && client.writableLength === 0);
      await new Promise((resolve) => setTimeout(resolve, 20));
      client.resetAndDestroy();
      const timer = setInterval(() => clock.advance(500), 20);
      await until(() => carrier.status().held === 0);
      clearInterval(timer);
      expect(carrier.status().error?.message).toContain('left');
    },
  );

  test('128 are held, the next is reset', async () => {
    const { carrier, clock } = stage();
    await carrier.open();
    carrier.link(away(clock));
    const clients = Array.from({ length: 128 }, () => dial(carrier));
    await until(() => carrier.status().held === 128);
    const watched = watchSocket(dial(carrier));
    expect(await watched.ending).toBe('reset');
    expect(carrier.status()).toMatchObject({ held: 128, failed: 1, total: 129 });
    for (const client of clients) client.destroy();
  });

  test('hold 0s resets at once, and still asks for the link', async () => {
    const { carrier, clock, knocks } = stage({ kind: 'wait', ms: 0 });
    await carrier.open();
    carrier.link(away(clock));
    expect(await watchSocket(dial(carrier)).ending).toBe('reset');
    expect(knocks()).toBe(1);
  });

  test('a late arrival knocks at once and is reset when that attempt fails', async () => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    const since = clock.monotonic();
    carrier.link(away(clock));
    clock.advance(30_001);
    carrier.link(away(clock, { sinceMs: since, failures: 7 }));
    const watched = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    expect(knocks()).toBe(1);
    carrier.link(away(clock, { sinceMs: since, failures: 7, reached: true }));
    expect(carrier.status().held).toBe(1);
    carrier.link(away(clock, { sinceMs: since, failures: 8 }));
    expect(await watched.ending).toBe('reset');
    expect(clock.armed()).toBe(0);
  });

  test('a late arrival is reset after 3 s without a TCP connect, not with one', async () => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    const since = clock.monotonic() - 60_000;
    carrier.link(away(clock, { sinceMs: since }));
    const first = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    clock.advance(3000);
    expect(await first.ending).toBe('reset');
    const second = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    expect(knocks()).toBe(2);
    carrier.link(away(clock, { sinceMs: since, reached: true }));
    clock.advance(3000);
    expect(carrier.status().held).toBe(1);
    clock.advance(27_000);
    expect(await second.ending).toBe('reset');
  });

  test.each([
    ['ahead', 7_200_000],
    ['back', -7_200_000],
  ])('a clock that is set %s makes nobody late, and nobody wait longer', async (_where, byMs) => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    const since = clock.monotonic();
    carrier.link(away(clock, { sinceMs: since }));
    const first = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    clock.setWall(byMs);
    const second = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 2);
    clock.advance(29_999);
    expect([carrier.status().held, knocks()]).toEqual([2, 1]);
    clock.advance(1);
    expect(await Promise.all([first.ending, second.ending])).toEqual(['reset', 'reset']);
    clock.advance(1);
    dial(carrier);
    await until(() => carrier.status().held === 1);
    clock.advance(3000);
    expect([carrier.status().held, knocks()]).toEqual([0, 2]);
  });

  test('blocked resets at once, except while a person is at the question', async () => {
    const { carrier } = stage();
    await carrier.open();
    carrier.link({ state: 'blocked', personPresent: false });
    expect(await watchSocket(dial(carrier)).ending).toBe('reset');
    carrier.link({ state: 'blocked', personPresent: true });
    const watched = watchSocket(dial(carrier));
    await until(() => carrier.status().held === 1);
    carrier.link({ state: 'blocked', personPresent: false });
    expect(await watched.ending).toBe('reset');
  });

  test('asleep holds and wakes the link', async () => {
    const { carrier, clock, knocks } = stage();
    await carrier.open();
    carrier.link({ state: 'asleep' });
    const client = dial(carrier);
    client.write('x');
    const watched = watchSocket(client);
    await until(() => knocks() === 1);
    carrier.link(away(clock));
    carrier.link({ state: 'up', session: upperSession() });
    await until(() => watched.received().toString() === 'X');
  });

  test('hold: refuse listens only while the link is up, on the same port', async () => {
    const { carrier, clock } = stage({ kind: 'refuse' });
    carrier.link(away(clock));
    await carrier.open();
    expect(carrier.status().bound).toBe(false);
    carrier.link({ state: 'up', session: upperSession() });
    await until(() => carrier.status().bound);
    const { listen } = carrier.status();
    expect(await ask(dial(carrier), 'x')).toBe('X');
    carrier.link(away(clock));
    await until(() => !carrier.status().bound);
    const refused = dial(carrier);
    const [error] = (await once(refused, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    carrier.link({ state: 'up', session: upperSession() });
    await until(() => carrier.status().bound);
    expect(carrier.status().listen).toBe(listen);
  });
});

test('a unix socket is served, private, and gone after down', async () => {
  const path = join(temporaryFolder('local'), 's');
  const { carrier } = stage(undefined, { kind: 'unix', path });
  await carrier.open();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  carrier.link({ state: 'up', session: upperSession() });
  expect(await ask(dial(carrier), 'x')).toBe('X');
  expect(carrier.status()).toMatchObject({ listen: path, exposed: false });
  await carrier.close(0);
  expect(() => statSync(path)).toThrow('ENOENT');
});

test('2,000 short connections, 100 at a time, add up and leave nothing', async () => {
  const { carrier, clock } = stage();
  await carrier.open();
  const session = upperSession();
  carrier.link({ state: 'up', session });
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(dial(carrier), 'abc')));
    expect(new Set(answers)).toEqual(new Set(['ABC']));
  }
  await until(() => carrier.status().open === 0);
  expect(carrier.status()).toMatchObject({ total: 2000, failed: 0, bytesIn: 6000, bytesOut: 6000 });
  expect(clock.armed()).toBe(0);
});
