// Inputs nobody thought of: real ones with bytes changed, cut, doubled, joined with others, and words of the format put in.
import type { Random } from '../chaos/random.ts';

const edges = [0, 1, 3, 4, 5, 0x0a, 0x0d, 0x20, 0x22, 0x25, 0x2c, 0x3a, 0x40, 0x7f, 0x80, 0xff];
/** Longer inputs take time and say nothing new. */
const longest = 4096;

type Change = (bytes: Buffer, random: Random, facts: Facts) => Buffer;

interface Facts {
  readonly words: readonly string[];
  readonly others: readonly Buffer[];
}

const place = (bytes: Buffer, random: Random): number => random.integer(0, bytes.length);

function replace(bytes: Buffer, from: number, to: number, by: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, from), by, bytes.subarray(to)]);
}

const changes: readonly Change[] = [
  (bytes, random) => {
    const at = place(bytes, random);
    return replace(bytes, at, at + 1, Buffer.of(random.integer(0, 255)));
  },
  (bytes, random) => {
    const at = place(bytes, random);
    return replace(bytes, at, at + random.integer(0, 1), Buffer.of(random.pick(edges)));
  },
  (bytes, random) => {
    const at = place(bytes, random);
    return replace(bytes, at, at + random.scaled(1, 64), Buffer.alloc(0));
  },
  (bytes, random) => {
    const from = place(bytes, random);
    const piece = bytes.subarray(from, from + random.scaled(1, 64));
    const at = place(bytes, random);
    return replace(bytes, at, at, Buffer.concat(Array<Buffer>(random.integer(1, 4)).fill(piece)));
  },
  (bytes, random, { words }) => {
    const at = place(bytes, random);
    return replace(bytes, at, at + random.pick([0, 0, 4, 8]), Buffer.from(random.pick(words)));
  },
  (bytes, random, { others }) => {
    const other = random.pick(others);
    return Buffer.concat([
      bytes.subarray(0, place(bytes, random)),
      other.subarray(random.integer(0, other.length)),
    ]);
  },
  // A length of the wire: four bytes, big endian.
  (bytes, random) => {
    const at = place(bytes, random);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(random.pick([0, 1, bytes.length, 0x7fffffff, 0xffffffff, 256 * 1024 + 1]));
    return replace(bytes, at, at + 4, length);
  },
  (bytes, random) => bytes.subarray(0, place(bytes, random)),
];

export function mutate(bytes: Buffer, random: Random, facts: Facts): Buffer {
  let changed = bytes;
  for (let left = random.scaled(1, 8); left > 0; left -= 1)
    changed = random.pick(changes)(changed, random, facts).subarray(0, longest);
  return changed;
}
