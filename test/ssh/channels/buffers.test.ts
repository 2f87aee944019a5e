// Slabs: memory comes back only when nobody can look at it any more.
import { describe, expect, test } from 'vitest';
import { DeliveredMemory, ReadSlabs } from '../../../src/ssh/channels/buffers.ts';

/** Reads that are parsed by `use`; `again` is true when the next read gets the same memory. */
function reads(pending: () => ArrayBufferLike | null | undefined = () => null): {
  slabs: ReadSlabs;
  read: (use?: (chunk: Buffer) => void) => ArrayBufferLike;
} {
  const slabs = new ReadSlabs();
  slabs.recycle(pending);
  return {
    slabs,
    read(use = () => undefined) {
      const { buffer } = slabs.next();
      slabs.arrived(1000, use);
      return buffer;
    },
  };
}

describe('a read buffer', () => {
  test('is used again at once when nothing of it is kept', () => {
    const { read } = reads();
    const first = read();
    expect(read()).toBe(first);
  });

  test('is never used again before the login', () => {
    const slabs = new ReadSlabs();
    const { buffer } = slabs.next();
    slabs.arrived(10, () => undefined);
    expect(slabs.next().buffer).not.toBe(buffer);
  });

  test('is used again when its last view was given back, not before', () => {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    const first = read((chunk) => {
      memory.delivered(chunk.subarray(0, 300));
      memory.delivered(chunk.subarray(300, 600));
    });
    expect(read()).not.toBe(first);
    memory.consumed(300);
    expect(read()).not.toBe(first);
    memory.consumed(299);
    expect(read()).not.toBe(first);
    memory.consumed(1);
    expect(read()).toBe(first);
  });

  test('is given back in the order of its bytes, over several reads', () => {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    const all = Array.from({ length: 5 }, () => read((chunk) => memory.delivered(chunk)));
    expect(new Set(all).size).toBe(5);
    memory.consumed(2500);
    const again = [slabs.next().buffer, slabs.next().buffer, slabs.next().buffer];
    expect(again).toContain(all[0]);
    expect(again).toContain(all[1]);
    for (const held of all.slice(2)) expect(again).not.toContain(held);
  });

  test('is left alone when somebody may keep a view of it', () => {
    const { slabs, read } = reads();
    expect(read((chunk) => slabs.spoil(chunk.subarray(5)))).not.toBe(read());
    const memory = new DeliveredMemory(slabs);
    memory.readerKeeps();
    expect(read((chunk) => memory.delivered(chunk))).not.toBe(read());
    const early = new DeliveredMemory(slabs);
    const kept = read((chunk) => early.waits(chunk));
    early.consumed(1000);
    expect(read()).not.toBe(kept);
  });

  test('waits for a packet in it that is not complete yet', () => {
    let pending: ArrayBufferLike | null = null;
    const { slabs, read } = reads(() => pending);
    const first = read((chunk) => (pending = chunk.buffer));
    const second = read();
    expect(second).not.toBe(first);
    pending = null;
    const third = read(() => undefined);
    expect(third).not.toBe(first);
    expect([slabs.next().buffer === first, slabs.next().buffer === first]).toContain(true);
  });

  test('is left alone while a decipher is in use that we do not know, or its parsing threw', () => {
    const { read } = reads(() => undefined);
    expect(read()).not.toBe(read());
    const good = reads();
    let buffer: ArrayBufferLike | null = null;
    expect(() =>
      good.read((chunk) => {
        ({ buffer } = chunk);
        throw new Error('a bug');
      }),
    ).toThrow('a bug');
    expect(good.read()).not.toBe(buffer);
  });

  test('is left alone when it was parsed, in part, while nobody could know: in a key exchange', () => {
    let pending: ArrayBufferLike | null | undefined = null;
    const { read } = reads(() => pending);
    const carrying = read((chunk) => (pending = chunk.buffer));
    const begun = read(() => (pending = undefined));
    const whole = read();
    const ended = read(() => (pending = null));
    const seen = [carrying, begun, whole, ended];
    for (let after = 0; after < 4; after += 1) expect(seen).not.toContain(read());
  });

  test('of memory that is no slab is nobody’s business', () => {
    const { slabs } = reads();
    expect(slabs.hold(Buffer.from('x'))).toBeNull();
    slabs.spoil(Buffer.from('x'));
    const none = new DeliveredMemory(null);
    none.delivered(Buffer.from('x'));
    none.consumed(1);
  });
});
