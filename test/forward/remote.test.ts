// Remote forwards with a server that is slow: what is asked of it is waited for as long as anything on a busy link may take.
import { describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import type { RemoteForward } from '../../src/model/forward.ts';
import { makeCarrier } from '../helpers/forward-scene.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { memorySession } from '../helpers/memory-session.ts';

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
