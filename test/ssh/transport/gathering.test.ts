// When a connection's reads are gathered, and when this process rests before the next one.
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { newReader, noteRead, processIsOurs } from '../../../src/model/reading.ts';
import { Gathering } from '../../../src/ssh/transport/gathering.ts';

const kib = 1024;
const room = 256 * kib;

/** Milliseconds, set by each test; far apart, so that no test sees what another one read. */
let now = 0;

beforeEach(() => {
  processIsOurs();
  now += 1_000_000;
  vi.spyOn(performance, 'now').mockImplementation(() => now);
});
afterEach(() => vi.restoreAllMocks());

/** A connection that has read so much in a row that it rests; `slept` is how long each rest was meant to be. */
function transferring(takesMs = 0.2): {
  gathering: Gathering;
  slept: number[];
  read: (length?: number) => boolean;
} {
  const slept: number[] = [];
  const gathering = new Gathering((ms) => {
    slept.push(ms);
    now += takesMs;
  });
  const read = (length = 64 * kib): boolean => {
    now += 0.1;
    return gathering.pausesAfter(length, room);
  };
  for (let count = 0; count < 8; count += 1) read();
  return { gathering, slept, read };
}

describe('reads of a connection', () => {
  test('go on at once after a small one and after one that filled the buffer, and wait for the next turn after others', () => {
    const { read } = transferring();
    expect(read(kib)).toBe(false);
    expect(read(room)).toBe(false);
    expect(read(32 * kib)).toBe(true);
  });

  test('are put off by a rest once a transfer runs, small reads or not', () => {
    const { gathering, slept, read } = transferring();
    gathering.rest();
    read(kib);
    gathering.rest();
    expect(slept).toHaveLength(2);
    expect(Math.max(...slept)).toBeLessThan(1);
  });

  test('of an answer of a few packets are not', () => {
    const { gathering, slept, read } = transferring();
    now += 11;
    for (let count = 0; count < 7; count += 1) {
      read();
      gathering.rest();
    }
    expect(slept).toEqual([]);
    read();
    gathering.rest();
    expect(slept).toHaveLength(1);
  });

  test('are not while another one reads beside, and are again when it has stopped', () => {
    const { gathering, slept, read } = transferring();
    noteRead(newReader()); // a keystroke
    read();
    gathering.rest();
    expect(slept).toEqual([]);
    for (let count = 0; count < 1000; count += 1) read(); // 100 ms
    gathering.rest();
    expect(slept).toHaveLength(1);
  });

  test('are by the long answer to one question', () => {
    noteRead(newReader());
    const { gathering, slept } = transferring();
    gathering.rest();
    expect(slept).toHaveLength(1);
  });

  test('are not for a while after a rest that took too long', () => {
    const { gathering, slept, read } = transferring(4);
    gathering.rest();
    for (let count = 0; count < 100; count += 1) {
      read();
      gathering.rest();
    }
    expect(slept).toHaveLength(1);
    for (let count = 0; count < 120; count += 1) read();
    gathering.rest();
    expect(slept).toHaveLength(2);
  });

  test('are not in a process that does other things: the library stops nobody', async () => {
    vi.resetModules();
    const fresh = await import('../../../src/ssh/transport/gathering.ts');
    const gathering = new fresh.Gathering(() => expect.unreachable());
    for (let count = 0; count < 100; count += 1) {
      now += 0.1;
      gathering.pausesAfter(64 * kib, room);
      gathering.rest();
    }
  });

  test('sleep in earnest', () => {
    const sleeps = vi.spyOn(Atomics, 'wait');
    const gathering = new Gathering();
    for (let count = 0; count < 8; count += 1) gathering.pausesAfter(64 * kib, room);
    gathering.rest();
    gathering.rest();
    expect(sleeps.mock.results).toEqual(Array(2).fill({ type: 'return', value: 'timed-out' }));
  });
});
