// A deadline that a pause of the whole process does not bring about: a timer that is late is late once, however long the pause.
import { expect, test } from 'vitest';
import { afterRunning } from '../../src/files/running-time.ts';

function scene(): {
  readonly slices: number[];
  readonly tick: () => void;
  readonly over: () => boolean;
  cancel: () => void;
} {
  const slices: number[] = [];
  let due: (() => void) | null = null;
  let over = false;
  const schedule = (delayMs: number, task: () => void): (() => void) => {
    slices.push(delayMs);
    due = task;
    return () => (due = null);
  };
  const cancel = afterRunning(5000, () => (over = true), { schedule });
  const tick = (): void => {
    const task = due;
    due = null;
    task?.();
  };
  return { slices, tick, over: () => over, cancel };
}

test('one timer that comes after a pause is a tenth of the limit, and all of them are the limit', () => {
  const { slices, tick, over } = scene();
  tick(); // after a pause of any length
  expect(over()).toBe(false);
  for (let more = 0; more < 8; more += 1) tick();
  expect(over()).toBe(false);
  tick();
  expect(over()).toBe(true);
  expect(slices.reduce((sum, slice) => sum + slice, 0)).toBe(5000);
});

test('one that is cancelled ends no more', () => {
  const { tick, over, cancel } = scene();
  tick();
  cancel();
  for (let more = 0; more < 20; more += 1) tick();
  expect(over()).toBe(false);
});
