// Leases: who still needs a tunnel, and what is taken down when the last one leaves.
import { expect, test } from 'vitest';
import { Leases } from '../../src/daemon/leases.ts';
import { manualClock } from '../helpers/manual-clock.ts';

interface Scene {
  readonly leases: Leases;
  readonly wanted: Set<string>;
  /** Each taking down: its names, and behind / those that were made for leases alone. */
  readonly downs: string[];
  changes: number;
}

function scene(...wanted: string[]): Scene {
  const made: Scene = {
    wanted: new Set(wanted),
    downs: [],
    changes: 0,
    leases: new Leases({
      wanted: () => made.wanted,
      down: (names, once) => {
        for (const name of names) made.wanted.delete(name);
        made.downs.push(`${names.join()}/${once.join()}`);
        return Promise.resolve();
      },
      changed: () => (made.changes += 1),
    }),
  };
  return made;
}

/** A command that brings tunnels up for itself. */
function exec({ leases, wanted }: Scene, names: string[], once = false): AbortController {
  const connection = new AbortController();
  leases.take(names, once, connection.signal);
  for (const name of names) wanted.add(name);
  return connection;
}

test('the last of two takes down what they brought up, also when it is killed', async () => {
  const here = scene('web');
  const one = exec(here, ['db', 'web']);
  const two = exec(here, ['db']);
  await here.leases.release(one.signal);
  await here.leases.release(one.signal);
  expect([here.downs, here.leases.has('db')]).toEqual([[], true]);
  two.abort();
  expect([here.downs, here.leases.has('db')]).toEqual([['db/'], false]);
  expect([...here.wanted]).toEqual(['web']);
});

test('what somebody brings up meanwhile stays, and counts as wanted from then on', async () => {
  const here = scene();
  const one = exec(here, ['db', 'cache']);
  here.leases.keep(['db', 'web']);
  expect([here.changes, here.leases.has('db'), here.leases.has('cache')]).toEqual([1, false, true]);
  await here.leases.release(one.signal);
  expect(here.downs).toEqual(['cache/']);
});

test('what was taken down and brought up again meanwhile is not of the lease', async () => {
  const here = scene();
  const one = exec(here, ['db']);
  here.leases.drop(['db', 'web']);
  here.wanted.delete('db');
  await here.leases.over(one.signal);
  const two = exec(here, ['db']);
  await here.leases.release(one.signal);
  expect(here.downs).toEqual([]);
  await here.leases.release(two.signal);
  expect(here.downs).toEqual(['db/']);
});

test('a tunnel that was made for leases alone is told apart, whoever leaves last', async () => {
  const here = scene();
  const one = exec(here, ['db'], true);
  const two = exec(here, ['db'], false);
  one.abort();
  await here.leases.release(two.signal);
  expect(here.downs).toEqual(['db/db']);
});

test('a connection that is gone already holds nothing', () => {
  const here = scene();
  here.leases.take(['db'], false, AbortSignal.abort());
  expect([here.downs, here.leases.has('db')]).toEqual([['db/'], false]);
});

test('a lease is over when the supervisor is told to end', async () => {
  const here = scene();
  const one = exec(here, ['db']);
  here.leases.end();
  await here.leases.over(one.signal);
  await here.leases.over(new AbortController().signal);
});

test('a supervisor that replaces another holds what was leased for a while, and for whoever takes it again meanwhile', () => {
  const before = scene('web');
  const db = exec(before, ['db', 'web']);
  exec(before, ['one'], true);
  const { handed } = before.leases;
  expect(handed).toEqual([
    { name: 'db', once: false },
    { name: 'one', once: true },
  ]);
  before.leases.leave();
  db.abort();
  expect(before.downs).toEqual([]);

  const clock = manualClock();
  const after = scene('web');
  after.leases.inherit(handed, clock);
  for (const name of ['db', 'one']) after.wanted.add(name);
  const again = exec(after, ['db', 'web']);
  clock.advance(9_999);
  expect([after.leases.has('db'), after.leases.has('one'), after.downs]).toEqual([true, true, []]);
  clock.advance(1);
  expect([after.leases.has('db'), after.downs]).toEqual([true, ['one/one']]);
  again.abort();
  expect(after.downs).toEqual(['one/one', 'db/']);
});
