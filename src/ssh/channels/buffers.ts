// Slabs: read buffers of a server's connection, used again. Made anew for each read they are 100 MB of garbage for 100 MB
// of download, and collecting it was a third of the work.
//
// Reads go one behind the other into a slab. Where the frames of packets can be seen, ssh2 is given whole packets only: of
// one whose end has not come ssh2 would make a copy. A slab is used again only when nobody can still look at it: every view of
// it that was handed out as channel data went to a reader that promised to let go (`ChannelReader.letsGo`) and has consumed it;
// it was not parsed, in part, before the login or in a key exchange; and no packet in it is still waiting for its tag. In
// every other case it is left to the collector.
import { letGoOf } from '../../model/reused-memory.ts';

export interface Slab {
  readonly bytes: Buffer;
  /** Reasons not to use it again yet; being read into is one. */
  holds: number;
  /** Somebody may keep a view of it for ever. */
  spoiled: boolean;
}

/** Several reads of eight packets. */
const slabSize = 256 * 1024;
/** A slab with less room than this is full: what it has of a packet moves on. */
const leastRoom = 64 * 1024;
/** Shared by all connections: 4 MiB. */
const mostFree = 16;
/** Views of more slabs than these at readers, and a reader gets copies: one view of a packet holds a whole slab. */
const mostOut = 64;
/** A view smaller than this would hold a whole slab for nothing. */
const smallView = 1024;
const free: Slab[] = [];

/** What the parser of a connection tells of the packets that it is given. */
export interface PacketFrames {
  /** Memory that a packet still to be completed lies in; null: in none of ours; undefined: that cannot be known. */
  pending(): ArrayBufferLike | null | undefined;
  /** How much of `bytes` is to be parsed now: whole packets, or all of it. */
  whole(bytes: Buffer): number;
}

export class ReadSlabs {
  readonly #known = new WeakMap<ArrayBufferLike, Slab>();
  #frames: PacketFrames | null = null;
  /** Read into now; `#start` to `#end` is what has come and was not parsed yet. */
  #current: Slab | null = null;
  #start = 0;
  #end = 0;
  /** Holds a packet whose tag has not come yet. */
  #carried: Slab | null = null;
  /** Slabs that are full, and that readers hold views of. */
  #out = 0;

  /** From now on slabs are used again: before the login, parts of them are kept here and there. */
  recycle(frames: PacketFrames): void {
    this.#frames = frames;
  }

  /** Where the next read goes (`onread.buffer` of node:net). */
  readonly next = (): Buffer => {
    const slab = this.#roomy();
    return slab.bytes.subarray(this.#end);
  };

  #roomy(): Slab {
    const current = this.#current;
    if (current !== null) {
      if (this.#start === this.#end && current.holds === 1 && !current.spoiled) this.#rewind(current);
      if (slabSize - this.#end >= leastRoom) return current;
    }
    const slab = free.pop() ?? { bytes: Buffer.allocUnsafeSlow(slabSize), holds: 0, spoiled: false };
    slab.holds = 1;
    this.#known.set(slab.bytes.buffer, slab);
    const begun = current?.bytes.copy(slab.bytes, 0, this.#start, this.#end) ?? 0;
    this.#start = 0;
    this.#end = begun;
    this.#current = slab;
    if (current !== null) {
      this.#out += 1;
      this.release(current);
    }
    return slab;
  }

  #rewind(slab: Slab): void {
    letGoOf(slab.bytes.subarray(0, this.#end));
    this.#start = 0;
    this.#end = 0;
  }

  /** `length` bytes were read to where `next` said; `use` gets them, and is to come to `parse` with them. */
  arrived(length: number, use: (chunk: Buffer) => void): void {
    const slab = this.#current;
    if (slab === null) return;
    const from = this.#end;
    this.#end += length;
    if (this.#frames?.pending() === undefined) slab.spoiled = true;
    try {
      use(slab.bytes.subarray(from, this.#end));
    } catch (thrown) {
      slab.spoiled = true;
      throw thrown;
    }
    if (this.#frames === null) this.#start = this.#end;
    this.#carry(slab);
  }

  /** Gives what can be parsed of a chunk that arrived, and of what was left before it. */
  parse(chunk: Buffer, parse: (bytes: Buffer) => void): void {
    const slab = this.#current;
    if (this.#frames === null || slab === null || chunk.buffer !== slab.bytes.buffer) return parse(chunk);
    const bytes = slab.bytes.subarray(this.#start, this.#end);
    const whole = this.#frames.whole(bytes);
    this.#start += whole;
    if (whole > 0) parse(whole === bytes.length ? bytes : bytes.subarray(0, whole));
  }

  #carry(slab: Slab): void {
    const pending = this.#frames?.pending();
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

  /** False: memory of somebody else's, made for it alone, as what is unpacked or decrypted into new memory. */
  owns(view: Buffer): boolean {
    return this.#known.has(view.buffer);
  }

  /** The slab that a view lies in, held until `release`; null: it lies in none, or is to be copied to be kept. */
  hold(view: Buffer): Slab | null {
    const slab = this.#known.get(view.buffer);
    if (slab === undefined || slab.spoiled || view.length < smallView || this.#out >= mostOut) return null;
    slab.holds += 1;
    return slab;
  }

  release(slab: Slab): void {
    slab.holds -= 1;
    if (slab.holds > 0) return;
    this.#out -= 1;
    this.#known.delete(slab.bytes.buffer); // the next connection that gets it makes it its own
    if (slab.spoiled) return;
    letGoOf(slab.bytes);
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
  /** Null: the reader gets copies, or memory that is not used again. */
  #out: Delivered[] | null;

  constructor(slabs: ReadSlabs | null) {
    this.#slabs = slabs;
    this.#out = slabs === null ? null : [];
  }

  /** The reader did not promise to let go. */
  readerKeeps(): void {
    this.#out = null;
  }

  /** What the reader is to get for the chunk: itself, or a copy. */
  delivered(chunk: Buffer): Buffer {
    if (this.#slabs === null) return chunk;
    if (!this.#slabs.owns(chunk)) {
      this.#add(null, chunk.length);
      return chunk;
    }
    if (this.#out === null) return Buffer.from(chunk);
    const slab = this.#slabs.hold(chunk);
    this.#add(slab, chunk.length);
    return slab === null ? Buffer.from(chunk) : chunk;
  }

  /** The chunk waits until there is a reader: what is kept of it. */
  waits(chunk: Buffer): Buffer {
    if (this.#slabs === null) return chunk;
    this.#add(null, chunk.length);
    return this.#slabs.owns(chunk) ? Buffer.from(chunk) : chunk;
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
