// The runner of a link machine: opens numbered, late events dropped, at most one session and one timer.
import { describe, expect, test } from 'vitest';
import type { AttemptResult } from '../../src/supervisor/attempts.ts';
import { LinkUsers, noTerms } from '../../src/supervisor/link-users.ts';
import type { LinkUser } from '../../src/supervisor/link-users.ts';
import { Runner } from '../../src/supervisor/runner.ts';
import { FakeClock, settle } from '../helpers/fake-clock.ts';
import { FakeSession, lost, unreachable } from '../helpers/fake-ssh.ts';
import { hostOf } from '../helpers/fake-world.ts';

const user: LinkUser = {
  tunnels: () => ['db'],
  policy: () => ({ initialMs: 500, maxMs: 30_000 }),
  persons: () => [],
  haste: () => 'none',
  rotateMs: () => null,
  terms: () => noTerms,
  environments: () => [],
  changed: () => undefined,
  moved: () => undefined,
  suffered: () => undefined,
};

interface Attempt {
  readonly signal: AbortSignal;
  open(index?: number): Promise<FakeSession>;
  fail(inherited?: boolean): Promise<void>;
}

interface Scene {
  readonly runner: Runner;
  readonly clock: FakeClock;
  readonly users: LinkUsers;
  readonly attempts: Attempt[];
  readonly entered: string[];
}

function sceneOf(): Scene {
  const [clock, users, attempts, entered] = [
    new FakeClock(),
    new LinkUsers(),
    [] as Attempt[],
    [] as string[],
  ];
  users.add(user);
  const attempt = (signal: AbortSignal): Promise<AttemptResult> =>
    new Promise((resolve) => {
      attempts.push({
        signal,
        async open(index = 0) {
          const session = new FakeSession(hostOf('katie'));
          resolve({ kind: 'opened', session, index });
          await settle();
          return session;
        },
        async fail(inherited = false) {
          resolve({ kind: 'failed', cause: unreachable(), inherited });
          await settle();
        },
      });
    });
  const runner = new Runner({ clock, random: () => 0.5 }, users, attempt, {
    entered: (_before, after) => entered.push(after.kind),
    changed: () => undefined,
    oldLost: () => undefined,
  });
  runner.send({ kind: 'start' });
  return { runner, clock, users, attempts, entered };
}

function last({ attempts }: Scene): Attempt {
  return attempts.at(-1) as Attempt;
}

describe('a runner', () => {
  test('opens, and knows the session and the way that worked', async () => {
    const scene = sceneOf();
    const session = await last(scene).open(1);
    expect(scene.runner.session).toBe(session);
    expect([scene.runner.index, scene.entered]).toEqual([1, ['connecting', 'up']]);
  });

  test('has one timer while it waits, and opens anew when that ends', async () => {
    const scene = sceneOf();
    await last(scene).fail(true);
    expect([scene.runner.state.kind, scene.runner.inherited, scene.clock.pending]).toEqual([
      'waiting',
      true,
      1,
    ]);
    await scene.clock.advance(1_000);
    expect([scene.runner.state.kind, scene.attempts.length, scene.clock.pending]).toEqual([
      'connecting',
      2,
      0,
    ]);
  });

  test('aborts an attempt that is no longer wanted, and closes the session that comes of it all the same', async () => {
    const scene = sceneOf();
    scene.runner.send({ kind: 'stop' });
    expect([last(scene).signal.aborted, scene.runner.state.kind]).toEqual([true, 'idle']);
    const late = await last(scene).open();
    expect([late.closes, scene.runner.session]).toEqual([1, null]);
  });

  test('hears nothing of a session that another one took the place of', async () => {
    const scene = sceneOf();
    const first = await last(scene).open();
    scene.runner.lose(lost(), false);
    await scene.clock.advance(1_000);
    const second = await last(scene).open();
    first.end(lost());
    expect([scene.runner.session, scene.runner.state.kind]).toEqual([second, 'up']);
    expect(first.closes).toBe(1);
  });

  test('opens a lost session anew only while somebody uses the link', async () => {
    const scene = sceneOf();
    const session = await last(scene).open();
    scene.users.delete(user);
    session.end(lost());
    await settle();
    expect([scene.runner.state.kind, scene.attempts.length]).toEqual(['idle', 1]);
  });

  test('dials no second session for one that nobody uses any more', async () => {
    const scene = sceneOf();
    const session = await last(scene).open();
    scene.users.delete(user);
    await session.late(true);
    expect([scene.runner.state.kind, scene.attempts.length]).toEqual(['up', 1]);
  });

  test('comes to rest though a session never says that it is closed', async () => {
    const scene = sceneOf();
    const session = await last(scene).open();
    session.close = () => new Promise(() => undefined);
    scene.runner.send({ kind: 'stop' });
    await scene.clock.advance(1_999);
    expect(scene.runner.state.kind).toBe('stopping');
    await scene.clock.advance(1);
    expect([scene.runner.state.kind, scene.clock.pending]).toEqual(['idle', 0]);
  });
});
