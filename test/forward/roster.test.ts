// The roster: everybody who came and has not left, once each.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Roster, type Listed } from '../../src/forward/roster.ts';

test('who is here is who came and has not left, in whatever order they come and go', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(9)), (moves) => {
      const people: Listed[] = Array.from({ length: 10 }, () => ({ place: -1 }));
      const roster = new Roster<Listed>();
      const here = new Set<Listed>();
      for (const move of moves) {
        const one = people[move] as Listed;
        if (here.delete(one)) roster.remove(one);
        else {
          roster.add(one);
          here.add(one);
        }
        expect(new Set(roster.all())).toEqual(here);
        expect(roster.all()).toHaveLength(here.size);
      }
    }),
  );
});

test('leaving twice, or without having come, changes nothing', () => {
  const roster = new Roster<Listed>();
  const [one, other, stranger] = [{ place: -1 }, { place: -1 }, { place: -1 }];
  roster.add(one);
  roster.add(other);
  roster.remove(one);
  roster.remove(one);
  roster.remove(stranger);
  expect(roster.all()).toEqual([other]);
});
