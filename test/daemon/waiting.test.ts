// The time limit of a waiting command: it stands still while a person is at a question.
import { describe, expect, test } from 'vitest';
import { TimeLimit } from '../../src/daemon/waiting.ts';
import { manualClock } from '../helpers/manual-clock.ts';

describe('the time limit of a waiting command', () => {
  test('runs out, but not while a question is open', () => {
    const clock = manualClock();
    const limit = new TimeLimit(1000, new AbortController().signal, clock);
    clock.advance(900);
    limit.pause('q');
    limit.pause('r');
    clock.advance(60_000);
    limit.resume('q');
    clock.advance(60_000);
    expect(limit.signal.aborted).toBe(false);
    limit.resume('r');
    limit.resume('r');
    clock.advance(99);
    expect(limit.signal.aborted).toBe(false);
    clock.advance(1);
    expect(limit.signal.aborted && limit.ranOut).toBe(true);
    limit.end();
    expect(clock.armed()).toBe(0);
  });

  test('ends with whoever waits, and is then not said to have run out', () => {
    const clock = manualClock();
    const outer = new AbortController();
    const limit = new TimeLimit(1000, outer.signal, clock);
    outer.abort();
    expect(limit.signal.aborted).toBe(true);
    expect(limit.ranOut).toBe(false);
    limit.end();
    expect(clock.armed()).toBe(0);
  });
});
