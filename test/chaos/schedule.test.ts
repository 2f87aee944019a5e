// The schedule of a chaos run follows from its seed, and has everything in it.
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../chaos/random.ts';
import { createSchedule, endOf, faultKinds, places } from '../../chaos/schedule.ts';
import { terms } from '../../chaos/terms.ts';
import { drawScript, scriptKinds } from '../../chaos/script.ts';

describe('a schedule', () => {
  test('is the same for the same seed, and another for another one', () => {
    expect(createSchedule(7, 60)).toEqual(createSchedule(7, 60));
    expect(createSchedule(7, 60).strikes).not.toEqual(createSchedule(8, 60).strikes);
  });

  test('has each kind of fault at each place within a few minutes', () => {
    const { strikes } = createSchedule(1, 300);
    for (const place of places) {
      const kinds = new Set(strikes.filter((each) => each.place === place).map(({ fault }) => fault.kind));
      const all = faultKinds.filter((kind) => kind !== 'sleep').sort();
      expect([place, [...kinds].sort()]).toEqual([place, all]);
    }
    expect(strikes.filter(({ place }) => place === 'here').length).toBeGreaterThan(3);
  });

  test.each([1, 2, 3, 4, 5])(
    'of seed %i strikes a place with one fault at a time, and ends in time',
    (seed) => {
      const { strikes } = createSchedule(seed, 30);
      for (const place of places) {
        const list = strikes.filter((each) => each.place === place);
        list.forEach((strike, index) => {
          const next = list[index + 1];
          if (next !== undefined) expect(next.atMs).toBeGreaterThanOrEqual(endOf(strike));
          expect(strike.atMs).toBeLessThan(30_000);
          expect(endOf(strike)).toBeLessThanOrEqual(30_100);
        });
      }
    },
  );

  test('has silences of what is connected, shorter and longer than a keepalive endures', () => {
    const deadMs = terms.keepaliveMs * (terms.keepaliveCount + 1);
    const { strikes } = createSchedule(1, 900);
    for (const place of places) {
      const lengths = strikes.flatMap(({ place: at, fault }) =>
        at === place && fault.kind === 'freeze' && fault.who === 'old' ? [fault.forMs] : [],
      );
      const doubtful = lengths.filter((ms) => ms > 2 * terms.keepaliveMs && ms < deadMs);
      expect([place, doubtful.length > 0, lengths.some((ms) => ms > deadMs)]).toEqual([place, true, true]);
      const count = (kind: string): number =>
        strikes.filter((each) => each.place === place && each.fault.kind === kind).length;
      expect(count('freeze')).toBeGreaterThan(1.5 * count('delay'));
    }
  });

  test('has sessions that are replaced on links of their own, on shared ones, and not at all', () => {
    const kinds = new Set(
      Array.from({ length: 50 }, (_, seed) => String(createSchedule(seed, 1).rotate?.shared)),
    );
    expect([...kinds].sort()).toEqual(['false', 'true', 'undefined']);
  });

  test('has rekeys from 64 KiB to never among its seeds', () => {
    const limits = new Set(Array.from({ length: 50 }, (_, seed) => createSchedule(seed, 1).rekey.near));
    expect(limits).toContain('64K');
    expect(limits).toContain('default none');
  });
});

describe('chance', () => {
  test('is even enough, and each part has its own', () => {
    const random = createRandom(3);
    const counts = [0, 0, 0, 0];
    for (let draw = 0; draw < 4000; draw += 1) counts[random.integer(0, 3)]! += 1;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(150);
    expect(createRandom(3).fork('a').next()).not.toBe(createRandom(3).fork('b').next());
  });

  test('draws every script', () => {
    const random = createRandom(1);
    const drawn = new Set(Array.from({ length: 300 }, () => drawScript(random).kind));
    expect([...drawn].sort()).toEqual([...scriptKinds].sort());
  });
});
