// Turns to log in: one of several equal logins goes ahead, and its failure is the failure of all.
import { describe, expect, test } from 'vitest';
import type { Person } from '../../src/supervisor/engine.ts';
import { LoginTurns, type Attended } from '../../src/supervisor/login-turns.ts';
import { settle } from '../helpers/fake-clock.ts';
import { refused } from '../helpers/fake-ssh.ts';

interface Login {
  readonly done: Promise<string>;
  readonly controller: AbortController;
  dials: number;
  failedWith: Attended[];
  open(): Promise<void>;
  fail(): Promise<void>;
}

const nobody: Attended = { persons: () => [] };
const somebody: Attended = { persons: () => [{} as Person] };

function login(turns: LoginTurns<Attended>, key = 'katie', who = nobody): Login {
  const controller = new AbortController();
  let settleDial: { resolve: (value: string) => void; reject: (error: unknown) => void } | null = null;
  const made: Login = {
    controller,
    dials: 0,
    failedWith: [],
    open: async () => (settleDial?.resolve('up'), await settle()),
    fail: async () => (settleDial?.reject(refused()), await settle()),
    done: turns.run({
      key,
      who,
      signal: controller.signal,
      dial: () =>
        new Promise((resolve, reject) => {
          settleDial = { resolve, reject };
          queueMicrotask(() => (made.dials += 1));
          controller.signal.addEventListener('abort', () => reject(controller.signal.reason as Error));
        }),
      failedWith: (ahead) => made.failedWith.push(ahead),
    }),
  };
  made.done.catch(() => undefined);
  return made;
}

async function pair(who = nobody, key = 'katie'): Promise<[Login, Login]> {
  const turns = new LoginTurns<Attended>();
  const both: [Login, Login] = [login(turns), login(turns, key, who)];
  await settle();
  return both;
}

describe('of two equal logins the second', () => {
  test('dials once the first is up', async () => {
    const [first, second] = await pair();
    expect([first.dials, second.dials]).toEqual([1, 0]);
    await first.open();
    expect(second.dials).toBe(1);
    await second.open();
    expect(await second.done).toBe('up');
  });

  test('fails with the first, and knows with whom', async () => {
    const [first, second] = await pair();
    await first.fail();
    await expect(second.done).rejects.toMatchObject({ code: 'AUTH_REFUSED' });
    expect([second.dials, second.failedWith]).toEqual([0, [nobody]]);
  });

  test('takes its turn when the first is given up', async () => {
    const [first, second] = await pair();
    first.controller.abort(new Error('nobody wants it any more'));
    await settle();
    expect(second.dials).toBe(1);
  });

  test('is given up alone', async () => {
    const [first, second] = await pair();
    second.controller.abort(new Error('nobody wants it any more'));
    await expect(second.done).rejects.toThrow('nobody wants it');
    await first.open();
    expect([await first.done, second.dials]).toEqual(['up', 0]);
  });

  test('does not wait with a person at hand whom the first has not', async () => {
    const [, second] = await pair(somebody);
    expect(second.dials).toBe(1);
  });
});

test('logins that could get another answer do not wait for each other', async () => {
  const [first, second] = await pair(nobody, 'another');
  expect([first.dials, second.dials]).toEqual([1, 1]);
});
