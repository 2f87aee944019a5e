// Loans: which slabs a channel's delivered bytes lie in, first in, first out, until its reader has let go of them.
import type { ReadSlabs, Slab } from './buffers.ts';

interface Loan {
  /** Null: memory that is not used again. */
  readonly slab: Slab | null;
  left: number;
}

export class Loans {
  readonly #slabs: ReadSlabs | null;
  /** Null once the reader did not promise to let go. */
  #out: Loan[] | null;

  constructor(slabs: ReadSlabs | null) {
    this.#slabs = slabs;
    this.#out = slabs === null ? null : [];
  }

  giveUp(): void {
    this.#out = null;
  }

  /** Delivered to a reader that promised. */
  lend(chunk: Buffer): void {
    if (this.#out === null) this.#slabs?.spoil(chunk);
    else this.#add(this.#slabs?.hold(chunk) ?? null, chunk.length);
  }

  /** Kept until somebody reads: too long to know who looks at it. */
  keep(chunk: Buffer): void {
    this.#slabs?.spoil(chunk);
    if (this.#out !== null) this.#add(null, chunk.length);
  }

  #add(slab: Slab | null, length: number): void {
    const last = this.#out?.at(-1);
    if (last === undefined || last.slab !== slab) this.#out?.push({ slab, left: length });
    else {
      last.left += length;
      if (slab !== null) this.#slabs?.release(slab); // one hold for both
    }
  }

  /** The reader has let go of the oldest `bytes`. */
  back(bytes: number): void {
    if (this.#out === null) return;
    let left = bytes;
    for (let loan = this.#out[0]; loan !== undefined && left > 0; loan = this.#out[0]) {
      const part = Math.min(left, loan.left);
      loan.left -= part;
      left -= part;
      if (loan.left > 0) return;
      this.#out.shift();
      if (loan.slab !== null) this.#slabs?.release(loan.slab);
    }
  }
}
