// Numbered, hashed blocks: whatever happens to a byte of them is seen by whoever reads them.
import { describe, expect, test } from 'vitest';
import { BlockReader, connectionOf, makeBlock } from '../../chaos/blocks.ts';
import { createRandom } from '../../chaos/random.ts';

const lengths = [0, 1, 100, 5000, 65_536];
const blocks = lengths.map((length, number) => makeBlock(42, 'client', number, length));
const stream = Buffer.concat(blocks);

/** Reads a stream in pieces; what was wrong with it. */
function read(bytes: Buffer, largest = 4096): BlockReader {
  const reader = new BlockReader(42, 'client');
  const random = createRandom(largest);
  for (let at = 0; at < bytes.length;) {
    const size = random.integer(1, largest);
    reader.push(bytes.subarray(at, at + size));
    at += size;
  }
  return reader;
}

describe('a reader of blocks', () => {
  test.each([1, 3, 1000, 200_000])('takes a stream in pieces of up to %i bytes', (largest) => {
    const reader = read(largest < 3 ? stream.subarray(0, 6000) : stream, largest);
    expect(reader.wrong).toBeNull();
    if (largest >= 3) expect(reader).toMatchObject({ blocks: 5, bytes: stream.length, pending: 0 });
  });

  test('sees each single byte that was changed', () => {
    const random = createRandom('flip');
    for (let round = 0; round < 200; round += 1) {
      const changed = Buffer.from(stream);
      const at = random.integer(0, stream.length - 1);
      changed[at] = (changed[at] ?? 0) ^ (1 << random.integer(0, 7));
      // a length that was changed makes the rest of the stream one block that never comes to its end
      const { wrong, pending } = read(changed);
      expect(wrong !== null || pending > 0, `byte ${at}`).toBe(true);
    }
  });

  test('tells a block that is missing, repeated, of another connection, or of the wrong end', () => {
    const [first, second, third] = blocks as [Buffer, Buffer, Buffer];
    expect(read(Buffer.concat([first, third])).wrong).toMatch(/^missing: block 2/);
    expect(read(Buffer.concat([first, second, second])).wrong).toMatch(/^repeated: block 1/);
    expect(read(Buffer.concat([first, makeBlock(43, 'client', 1, 5)])).wrong).toMatch(/connection 43/);
    expect(read(Buffer.concat([first, makeBlock(42, 'target', 1, 5)])).wrong).toMatch(/sent by the target/);
  });

  test('learns from the first bytes whose they are', () => {
    expect(connectionOf(stream.subarray(0, 8))).toBe(42);
    expect(connectionOf(Buffer.from('GET / HT'))).toBeNull();
  });
});
