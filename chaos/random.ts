// Chance that can be had again: everything that a run decides by lot follows from its seed.

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform in [from, to], whole numbers. */
  integer(from: number, to: number): number;
  /** Between `from` and `to`, each order of magnitude as likely as the next: sizes and times. */
  scaled(from: number, to: number): number;
  pick<T>(list: readonly T[]): T;
  chance(probability: number): boolean;
  /** A sequence of its own for one part, so that what one part draws does not move what another one gets. */
  fork(part: string): Random;
}

/** FNV-1a: a name becomes a number. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

/** mulberry32 over the hash of a seed's text. */
export function createRandom(seed: string | number): Random {
  let state = hash(String(seed));
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    integer: (from, to) => from + Math.floor(next() * (to - from + 1)),
    scaled: (from, to) => Math.round(from * (to / from) ** next()),
    pick(list) {
      const found = list[Math.floor(next() * list.length)];
      if (found === undefined) throw new RangeError('there is nothing to pick from');
      return found;
    },
    chance: (probability) => next() < probability,
    fork: (part) => createRandom(`${seed}/${part}`),
  };
}
