// Remote forwards with a server that is slow: what is asked of it is waited for as long as anything on a busy link may take.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import type { RemoteForward } from '../../src/model/forward.ts';
import { makeCarrier } from '../helpers/forward-scene.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { memorySession, type MemorySession } from '../helpers/memory-session.ts';

const listen: Endpoint = { kind: 'unix', path: '/run/app.sock' };
const forward: RemoteForward = {
  name: null,
  probe: null,
  type: 'remote',
  listen,
  allow: [],
  target: { kind: 'unix', path: '/run/target.sock' },
};

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a socket file that a dead session left on the server', () => {
  test('is removed though the server takes its time, and bound again at once', async () => {
    const clock = manualClock();
    const session = memorySession();
    let isThere = true;
    session.onListen = (at) => {
      if (isThere) throw new TunnelError('FORWARD_REFUSED', 'listening failed, on memory: it gave no reason');
      return at;
    };
    session.onOpen = () => {
      throw new TunnelError('FORWARD_REFUSED', 'open failed, on memory: connection refused', {
        facts: { reason: 'connect-failed' },
      });
    };
    // what a session does: it gives up when the time is over
    session.removeSocket = (_path, timeoutMs) =>
      new Promise((resolve) => {
        const cancel = clock.schedule(4000, () => {
          isThere = false;
          resolve(true);
        });
        clock.schedule(timeoutMs, () => {
          cancel();
          resolve(false);
        });
      });
    const { carrier } = makeCarrier(forward, { clock });
    await carrier.open();
    carrier.link({ state: 'up', session });
    for (let second = 0; second < 5; second += 1) {
      await turn();
      clock.advance(1000);
    }
    await turn();
    expect(carrier.status()).toMatchObject({ bound: true, error: null });
    expect(session.listeners()).toEqual([listen]);
    session.lose();
    carrier.link({ state: 'away', sinceMs: clock.monotonic(), failures: 0, reached: false });
    await carrier.close(0);
  });
});

describe('a session that is left while it clears a dead socket file', () => {
  const refusedOpen = (): TunnelError =>
    new TunnelError('FORWARD_REFUSED', 'open failed, on memory: connection refused', {
      facts: { reason: 'connect-failed' },
    });

  /** Two sessions of one server, on which a dead file lies; what the first one is answered is held back. */
  async function scene() {
    const file = { isThere: true };
    const removals: string[] = [];
    const sessionOf = (name: string): MemorySession => {
      const session = memorySession();
      session.onListen = (at) => {
        if (file.isThere)
          throw new TunnelError('FORWARD_REFUSED', 'listening failed, on memory: it gave no reason');
        file.isThere = true;
        return at;
      };
      session.openChannel = () => Promise.reject(refusedOpen());
      session.removeSocket = () => {
        removals.push(name);
        file.isThere = false;
        return Promise.resolve(true);
      };
      return session;
    };
    const [old, fresh] = [sessionOf('old'), sessionOf('fresh')];
    const clock = manualClock();
    const { carrier } = makeCarrier(forward, { clock });
    await carrier.open();
    const settle = async (): Promise<void> => {
      for (let turns = 0; turns < 10; turns += 1) {
        await turn();
        clock.advance(50);
      }
    };
    return { file, removals, old, fresh, carrier, settle };
  }

  test('does not remove the file any more once another session is asked: it is the live listener', async () => {
    const { removals, old, fresh, carrier, settle } = await scene();
    let reject: (error: TunnelError) => void = () => undefined;
    const promise = new Promise<never>((_resolve, fail) => (reject = fail));
    old.openChannel = () => promise;
    carrier.link({ state: 'up', session: old });
    await settle();
    carrier.link({ state: 'up', session: fresh });
    await settle();
    expect(fresh.listeners()).toEqual([listen]);
    reject(refusedOpen());
    await settle();
    expect(removals).toEqual(['fresh']);
    await carrier.close(0);
  });

  test('has its answer before another session is asked: a removal on its way would meet the live listener', async () => {
    const { file, old, fresh, carrier, settle } = await scene();
    let resolve: (removed: boolean) => void = () => undefined;
    const promise = new Promise<boolean>((answer) => (resolve = answer));
    old.removeSocket = () => promise;
    carrier.link({ state: 'up', session: old });
    await settle();
    carrier.link({ state: 'up', session: fresh });
    await settle();
    expect(fresh.listeners()).toEqual([]);
    file.isThere = false;
    resolve(true);
    await settle();
    expect(fresh.listeners()).toEqual([listen]);
    expect(file.isThere).toBe(true);
    await carrier.close(0);
  });
});

describe('a listener that the server refuses', () => {
  test('is asked for again after the waits of the backoff, from the first one again on the next link', async () => {
    const clock = manualClock();
    const waits: Readonly<Record<number, number>> = { 1: 40, 2: 10, 3: 90_000 };
    const asked: number[] = [];
    const refusing = (): MemorySession => {
      const session = memorySession();
      session.onListen = () => {
        asked.push(clock.monotonic());
        throw new TunnelError('FORWARD_REFUSED', 'listening failed, on memory: it gave no reason');
      };
      return session;
    };
    const { carrier } = makeCarrier(
      { ...forward, listen: tcp('127.0.0.1', 80) },
      { clock, backoffMs: (retry) => waits[retry] ?? 1 },
    );
    await carrier.open();
    for (const expected of [
      [0, 40, 50, 90_050],
      [0, 40],
    ]) {
      asked.length = 0;
      const beganMs = clock.monotonic();
      carrier.link({ state: 'up', session: refusing() });
      for (const atMs of expected) {
        clock.advance(atMs - (clock.monotonic() - beganMs));
        await turn();
      }
      expect(asked.map((atMs) => atMs - beganMs)).toEqual(expected);
      carrier.link({ state: 'away', sinceMs: clock.monotonic(), failures: 0, reached: false });
    }
    await carrier.close(0);
    expect(clock.armed()).toBe(0);
  });

  test('keeps its server-chosen port for a while, then lets the server choose', async () => {
    const clock = manualClock();
    const asked: Endpoint[] = [];
    const session = memorySession();
    session.onListen = (at) => {
      asked.push(at);
      if (at.kind === 'tcp' && at.port !== 0)
        throw new TunnelError('FORWARD_REFUSED', 'listening failed, on memory: it gave no reason');
      return tcp('127.0.0.1', 40_001);
    };
    const { carrier } = makeCarrier(
      { ...forward, listen: tcp('127.0.0.1', 0) },
      { clock, preferredPort: 40_000, backoffMs: () => 500 },
    );
    await carrier.open();
    carrier.link({ state: 'up', session });
    for (let half = 0; half < 20; half += 1) {
      await turn();
      clock.advance(500);
    }
    expect(asked.slice(0, 16)).toEqual(Array.from({ length: 16 }, () => tcp('127.0.0.1', 40_000)));
    expect(asked.slice(16)).toEqual([tcp('127.0.0.1', 0)]);
    await carrier.close(0);
  });
});
