// Flows: all that came and have not left, once each; what is counted of them, and the wait until the last has left.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { Flows, type Flow } from '../../src/forward/flows.ts';
import type { CarrierParts } from '../../src/model/carrier.ts';
import { systemClock } from '../../src/model/clock.ts';

const fault = new TunnelError('LINK_LOST', 'connection broken: link lost');
const other = new TunnelError('LISTEN_FAILED', 'listen failed');

class TestFlow implements Flow {
  place = -1;
  resets = 0;

  reset(): void {
    this.resets += 1;
  }
}

function stage(): { flows: Flows<TestFlow>; logged: string[]; changes: () => number } {
  const logged: string[] = [];
  let changes = 0;
  const parts: CarrierParts = {
    clock: systemClock,
    preferredPort: null,
    backoffMs: () => 500,
    events: {
      changed: () => (changes += 1),
      knock: () => undefined,
      log: (_level, event, message) => logged.push(`${event}: ${message}`),
    },
  };
  return { flows: new Flows(parts), logged, changes: () => changes };
}

/** Those that `resetAll` finds. */
function living(flows: Flows<TestFlow>, all: readonly TestFlow[]): Set<TestFlow> {
  const before = all.map(({ resets }) => resets);
  flows.resetAll(fault);
  return new Set(all.filter(({ resets }, index) => resets > (before[index] ?? 0)));
}

test('those that live are those that came and have not left, in whatever order they come and go', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9), { maxLength: 40 }), (moves) => {
      const all = Array.from({ length: 10 }, () => new TestFlow());
      const { flows } = stage();
      const here = new Set<TestFlow>();
      for (const move of moves) {
        const one = all[move] as TestFlow;
        if (here.delete(one)) flows.remove(one, null);
        else {
          flows.add(one);
          here.add(one);
        }
        expect(living(flows, all)).toEqual(here);
        expect(flows.status(0).open).toBe(here.size);
      }
    }),
  );
});

test('leaving twice, or without having come, changes nothing', () => {
  const { flows } = stage();
  const [one, second, stranger] = [new TestFlow(), new TestFlow(), new TestFlow()];
  flows.add(one);
  flows.add(second);
  flows.remove(one, null);
  flows.remove(one, fault);
  flows.remove(stranger, fault);
  expect(living(flows, [one, second, stranger])).toEqual(new Set([second]));
  expect(flows.status(0)).toMatchObject({ open: 1, total: 2, failed: 0, error: null });
});

test('a fault is counted, logged and kept, and what is wrong with the forward itself is kept before it', () => {
  const { flows, logged } = stage();
  const [one, second] = [new TestFlow(), new TestFlow()];
  flows.add(one);
  flows.add(second);
  flows.remove(one, fault);
  expect(flows.status(1)).toMatchObject({ open: 0, total: 2, failed: 1, error: fault, broken: false });
  expect(logged).toEqual(['connection-failed: connection broken: link lost']);
  flows.broken(other);
  flows.remove(second, fault);
  flows.turnedAway(fault);
  expect(flows.status(0)).toMatchObject({ open: 0, total: 3, failed: 3, error: other, broken: true });
  flows.broken(null);
  expect(flows.status(0)).toMatchObject({ error: null, broken: false });
});

test('the wait ends with the last one, or with its time, and is none where nobody is', async () => {
  const { flows } = stage();
  await flows.drained(60_000);
  const [one, second] = [new TestFlow(), new TestFlow()];
  flows.add(one);
  flows.add(second);
  await flows.drained(0);
  await flows.drained(1);
  let over = false;
  const drained = flows.drained(60_000).then(() => (over = true));
  flows.remove(one, null);
  await Promise.resolve();
  expect(over).toBe(false);
  flows.remove(second, null);
  await drained;
});

test('of many that come together the first is told at once, and the others once', async () => {
  const { flows, changes } = stage();
  for (let index = 0; index < 100; index += 1) flows.add(new TestFlow());
  expect(changes()).toBe(1);
  await new Promise<void>((resolve) => {
    const look = (): void => void (changes() === 2 ? resolve() : setImmediate(look));
    look();
  });
});
