// Slabs: memory comes back only when nobody can look at it any more.
import { describe, expect, test } from 'vitest';
import { DeliveredMemory, ReadSlabs, type PacketFrames } from '../../../src/ssh/channels/buffers.ts';

type Pending = ArrayBufferLike | null | undefined;
const slabSize = 256 * 1024;
/** A read after which a slab has no room for another one. */
const most = slabSize - 64 * 1024 + 1;

/** Reads that are parsed by `use`; each answers where in which memory it lay. */
function reads(frames: Partial<PacketFrames> = {}): {
  slabs: ReadSlabs;
  read: (length: number, use?: (chunk: Buffer) => void) => { buffer: ArrayBufferLike; at: number };
} {
  const slabs = new ReadSlabs();
  slabs.recycle({ pending: () => null, whole: (bytes) => bytes.length, ...frames });
  return {
    slabs,
    read(length, use = () => undefined) {
      const { buffer, byteOffset: at } = slabs.next();
      slabs.arrived(length, (chunk) => slabs.parse(chunk, use));
      return { buffer, at };
    },
  };
}

describe('a read buffer', () => {
  test('is used again from its beginning when nothing of it is kept', () => {
    const { read } = reads();
    const first = read(1000);
    expect(read(1000)).toEqual(first);
  });

  test('goes on behind what a reader still has, and begins again when that was given back', () => {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    const first = read(3000, (chunk) => {
      memory.delivered(chunk.subarray(0, 1500));
      memory.delivered(chunk.subarray(1500));
    });
    const second = read(1000);
    expect(second.buffer).toBe(first.buffer);
    expect(second.at).toBe(first.at + 3000);
    memory.consumed(2999);
    expect(read(1000).at).toBe(first.at + 4000);
    memory.consumed(1);
    expect(read(1000)).toEqual(first);
  });

  test('that is full comes back when its last view was given back, not before', () => {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    const first = read(most, (chunk) => memory.delivered(chunk));
    const second = read(most, (chunk) => memory.delivered(chunk));
    expect(second.buffer).not.toBe(first.buffer);
    memory.consumed(most - 1);
    const third = read(most, (chunk) => memory.delivered(chunk));
    expect([first.buffer, second.buffer]).not.toContain(third.buffer);
    memory.consumed(1);
    expect(read(1).buffer).toBe(first.buffer);
  });

  test('is never used again before the login', () => {
    const slabs = new ReadSlabs();
    const first = slabs.next();
    slabs.arrived(10, () => undefined);
    const second = slabs.next();
    expect(second.byteOffset).toBe(first.byteOffset + 10);
    slabs.arrived(most, () => undefined);
    const others = [slabs.next()];
    for (let full = 0; full < 20; full += 1) {
      slabs.arrived(most, () => undefined);
      others.push(slabs.next());
    }
    for (const other of others) expect(other.buffer).not.toBe(first.buffer);
  });

  test('waits for a packet in it that is not complete yet', () => {
    let pending: Pending = null;
    const { read } = reads({ pending: () => pending });
    const first = read(1000, (chunk) => (pending = chunk.buffer));
    expect(read(1000).at).toBe(first.at + 1000);
    pending = null;
    read(1000);
    expect(read(1000)).toEqual(first);
  });

  test('is left alone while a decipher is in use that we do not know, or its parsing threw', () => {
    const unknown = reads({ pending: () => undefined });
    const first = unknown.read(1000);
    expect(unknown.read(1000).at).toBe(first.at + 1000);
    const good = reads();
    const begun = good.slabs.next().byteOffset;
    expect(() =>
      good.read(1000, () => {
        throw new Error('a bug');
      }),
    ).toThrow('a bug');
    expect(good.read(1000).at).toBe(begun + 1000);
  });

  test('is left alone when it was parsed, in part, while nobody could know: in a key exchange', () => {
    let pending: Pending = null;
    const { read } = reads({ pending: () => pending });
    const carrying = read(most, (chunk) => (pending = chunk.buffer));
    const begun = read(most, () => (pending = undefined));
    const whole = read(most);
    const ended = read(most, () => (pending = null));
    const seen = [carrying, begun, whole, ended].map(({ buffer }) => buffer);
    for (let after = 0; after < 4; after += 1) expect(seen).not.toContain(read(most).buffer);
  });

  test('gives its parser whole packets, and keeps the beginning of the next one for the next read', () => {
    const parsed: number[] = [];
    const { read } = reads({ whole: (bytes) => bytes.length - (bytes.length % 100) });
    const use = (chunk: Buffer): void => void parsed.push(chunk.length);
    read(250, use);
    read(30, use);
    read(30, use);
    expect(parsed).toEqual([200, 100]);
  });

  test('moves the beginning of a packet on when it is full', () => {
    let whole = true;
    const { slabs, read } = reads({ whole: (bytes) => (whole ? bytes.length : 0) });
    const memory = new DeliveredMemory(slabs);
    read(most - 2, (chunk) => memory.delivered(chunk));
    whole = false;
    const room = slabs.next();
    room.write('abc');
    read(3);
    whole = true;
    const moved = slabs.next();
    expect(moved.buffer).not.toBe(room.buffer);
    moved.write('def');
    let got = '';
    slabs.arrived(3, (chunk) => slabs.parse(chunk, (bytes) => (got = bytes.toString())));
    expect(got).toBe('abcdef');
  });
});

describe('what a reader gets', () => {
  const bytes = Buffer.alloc(4000, 'x');

  /** What a delivered chunk is afterwards, when its memory was used again. */
  function afterwards(deliver: (memory: DeliveredMemory, chunk: Buffer) => Buffer): string {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    let got: Buffer = Buffer.alloc(0);
    bytes.copy(slabs.next());
    read(4000, (chunk) => (got = deliver(memory, chunk)));
    memory.consumed(got.length);
    slabs.next().fill('y');
    return got.toString('latin1', 0, 1);
  }

  test('is the read buffer itself where the reader has promised to let go', () => {
    expect(afterwards((memory, chunk) => memory.delivered(chunk))).toBe('y');
  });

  test('is a copy for a reader that keeps, for one that is not there yet, and of what is small', () => {
    const keeps = (memory: DeliveredMemory, chunk: Buffer): Buffer => {
      memory.readerKeeps();
      return memory.delivered(chunk);
    };
    expect(afterwards(keeps)).toBe('x');
    expect(afterwards((memory, chunk) => memory.waits(chunk))).toBe('x');
    expect(afterwards((memory, chunk) => memory.delivered(chunk.subarray(0, 1000)))).toBe('x');
  });

  test('is a copy when readers have views of very many buffers: one view holds a whole one', () => {
    const { slabs, read } = reads();
    const memory = new DeliveredMemory(slabs);
    let views = 0;
    for (let full = 0; full < 200; full += 1)
      read(most, (chunk) => {
        if (memory.delivered(chunk).buffer === chunk.buffer) views += 1;
      });
    expect(views).toBeGreaterThan(10);
    expect(views).toBeLessThan(70);
    memory.consumed(200 * most);
    read(most, (chunk) => expect(memory.delivered(chunk).buffer).toBe(chunk.buffer));
  });

  test('is what came, where that is memory of its own: unpacked, or decrypted into it', () => {
    const { slabs } = reads();
    const memory = new DeliveredMemory(slabs);
    expect(memory.delivered(bytes)).toBe(bytes);
    expect(memory.waits(bytes)).toBe(bytes);
    memory.readerKeeps();
    expect(memory.delivered(bytes)).toBe(bytes);
  });

  test('is what came, where memory is not used again', () => {
    expect(reads().slabs.hold(bytes)).toBeNull();
    const none = new DeliveredMemory(null);
    expect(none.delivered(bytes)).toBe(bytes);
    expect(none.waits(bytes)).toBe(bytes);
    none.consumed(1);
  });
});
