// Slabs: read buffers of a server's socket, used again. Made anew for each read they are 100 MB of garbage for 100 MB
// of download, and collecting it was a third of the work.
//
// A slab is used again only when nobody can still look at it: every view of it that was handed out as channel data
// went to a reader that promised to let go (`ChannelReader.letsGo`) and has consumed it; no other message was parsed
// out of it; and no packet in it is still waiting for its tag. In every other case it is left to the collector.

export interface Slab {
  readonly bytes: Buffer;
  /** Reasons not to use it again yet. */
  holds: number;
  /** Somebody may keep a view of it for ever. */
  spoiled: boolean;
}

/** Four packets and their frames: most are then whole in one read, and need no copy (crypto.js). */
const slabSize = 132 * 1024;
/** Shared by all sockets: 4 MiB. */
const mostFree = 32;
const free: Slab[] = [];

/** Memory that a packet still to be completed lies in; undefined when that cannot be known. */
export type PendingMemory = () => ArrayBufferLike | null | undefined;

export class ReadSlabs {
  readonly #known = new WeakMap<ArrayBufferLike, Slab>();
  #lent: Slab | null = null;
  /** Holds a packet whose tag has not come yet. */
  #carried: Slab | null = null;
  #pending: PendingMemory | null = null;

  /** From now on slabs are used again: before the login, parts of them are kept here and there. */
  recycle(pending: PendingMemory): void {
    this.#pending = pending;
  }

  /** The buffer of the next read (`onread.buffer` of node:net). */
  readonly next = (): Buffer => {
    const slab = free.pop() ?? { bytes: Buffer.allocUnsafeSlow(slabSize), holds: 0, spoiled: false };
    this.#known.set(slab.bytes.buffer, slab);
    this.#lent = slab;
    return slab.bytes;
  };

  /** `length` bytes were read into the last buffer; `use` parses them. */
  arrived(length: number, use: (chunk: Buffer) => void): void {
    const slab = this.#lent;
    if (slab === null) return;
    this.#lent = null;
    slab.holds = 1;
    slab.spoiled = this.#pending?.() === undefined;
    try {
      use(slab.bytes.subarray(0, length));
    } catch (thrown) {
      slab.spoiled = true;
      throw thrown;
    }
    this.#carry(slab);
    this.release(slab);
  }

  #carry(slab: Slab): void {
    const pending = this.#pending?.();
    if (pending === undefined) slab.spoiled = true;
    const carried = this.#carried;
    if (carried !== null && carried.bytes.buffer !== pending) {
      this.#carried = null;
      if (pending === undefined) carried.spoiled = true;
      this.release(carried);
    }
    if (pending !== slab.bytes.buffer || this.#carried === slab) return;
    slab.holds += 1;
    this.#carried = slab;
  }

  /** The slab that a view lies in, held until `release`; null when it lies in none. */
  hold(view: Buffer): Slab | null {
    const slab = this.#known.get(view.buffer);
    if (slab === undefined || slab.spoiled) return null;
    slab.holds += 1;
    return slab;
  }

  /** A view of it is somebody's for good. */
  spoil(view: Buffer): void {
    const slab = this.#known.get(view.buffer);
    if (slab !== undefined) slab.spoiled = true;
  }

  release(slab: Slab): void {
    slab.holds -= 1;
    if (slab.holds > 0 || slab.spoiled) return;
    this.#known.delete(slab.bytes.buffer); // the next socket that gets it makes it its own
    if (free.length < mostFree) free.push(slab);
  }
}

interface Delivered {
  /** Null: memory that is not used again. */
  readonly slab: Slab | null;
  left: number;
}

/** Which slabs the delivered bytes of one channel lie in, first in, first out, until its reader has let go of them. */
export class DeliveredMemory {
  readonly #slabs: ReadSlabs | null;
  /** Null once the reader did not promise to let go. */
  #out: Delivered[] | null;

  constructor(slabs: ReadSlabs | null) {
    this.#slabs = slabs;
    this.#out = slabs === null ? null : [];
  }

  /** The reader did not promise to let go. */
  readerKeeps(): void {
    this.#out = null;
  }

  /** The chunk went to the reader. */
  delivered(chunk: Buffer): void {
    if (this.#out === null) this.#slabs?.spoil(chunk);
    else this.#add(this.#slabs?.hold(chunk) ?? null, chunk.length);
  }

  /** The chunk waits until there is a reader: too long to know who looks at it. */
  waits(chunk: Buffer): void {
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
  consumed(bytes: number): void {
    if (this.#out === null) return;
    let left = bytes;
    for (let oldest = this.#out[0]; oldest !== undefined && left > 0; oldest = this.#out[0]) {
      const part = Math.min(left, oldest.left);
      oldest.left -= part;
      left -= part;
      if (oldest.left > 0) return;
      this.#out.shift();
      if (oldest.slab !== null) this.#slabs?.release(oldest.slab);
    }
  }
}
