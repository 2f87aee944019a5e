// A deadline that a pause of the whole process does not bring about.
import { expect, test } from 'vitest';
import { afterRunning } from '../../src/files/running-time.ts';

test('a pause longer than the limit is no reason to give up, and the limit still ends', async () => {
  const limitMs = 200;
  const paused = new Int32Array(new SharedArrayBuffer(4));
  let over = false;
  const ended = new Promise<void>((resolve) => {
    afterRunning(limitMs, () => {
      over = true;
      resolve();
    });
  });
  Atomics.wait(paused, 0, 0, 2 * limitMs); // nothing of this process runs, as when it is stopped
  await new Promise((resolve) => setTimeout(resolve, 0)); // timers that fell due in the pause have run
  expect(over).toBe(false);
  await ended;
});

test('one that is cancelled never ends', async () => {
  let over = false;
  const cancel = afterRunning(10, () => (over = true));
  cancel();
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(over).toBe(false);
});
