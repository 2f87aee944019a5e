// Works that take turns: never more than the limit at once, in order, and a failed one frees its place.
import { expect, test } from 'vitest';
import { createTurns } from '../../src/model/turns.ts';

test('at most as many works as the limit run at once, in the order they came', async () => {
  const turns = createTurns(2);
  const started: number[] = [];
  const ends: (() => void)[] = [];
  const works = [0, 1, 2, 3].map((each) =>
    turns(async () => {
      started.push(each);
      await new Promise<void>((resolve) => ends.push(resolve));
      return each;
    }),
  );
  expect(started).toEqual([0, 1]);
  ends[0]?.();
  await works[0];
  const late = turns(() => Promise.resolve(started.push(4)));
  await expect.poll(() => started).toEqual([0, 1, 2]);
  ends[1]?.();
  await expect.poll(() => ends.length).toBe(4);
  ends[2]?.();
  ends[3]?.();
  expect(await Promise.all(works)).toEqual([0, 1, 2, 3]);
  await late;
  expect(started).toEqual([0, 1, 2, 3, 4]);
});

test('a work that fails gives its place to the next', async () => {
  const turns = createTurns(1);
  const failed = turns(() => Promise.reject(new Error('no')));
  const next = turns(() => Promise.resolve('next'));
  await expect(failed).rejects.toThrow('no');
  expect(await next).toBe('next');
});
