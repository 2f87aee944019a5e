// Crumbs: small pieces that come faster than their reader lets go of them, put together. A window counts bytes, but
// each piece costs memory of its own: two million of one byte fill a window of 2 MiB, and 600 MiB of ours.

/** Smaller pieces than this cost more than they hold. */
const small = 4096;
/** So many may be on their way through a reader before small ones are put together. */
const mostPieces = 1024;
const roomFor = 32 * 1024;

export class Crumbs {
  /** Delivered and not consumed: an estimate, since bytes are what readers count. */
  #pieces = 0;
  #gathered: Buffer | null = null;
  #length = 0;

  get waiting(): boolean {
    return this.#length > 0;
  }

  get full(): boolean {
    return this.#length > roomFor - small;
  }

  /** True: it was copied, and is delivered later. What is gathered is delivered before anything else is. */
  keep(chunk: Buffer): boolean {
    if (chunk.length >= small || this.#pieces < mostPieces) return false;
    this.#gathered ??= Buffer.allocUnsafeSlow(roomFor);
    chunk.copy(this.#gathered, this.#length);
    this.#length += chunk.length;
    return true;
  }

  delivered(): void {
    this.#pieces += 1;
  }

  /** `buffered`: what was received and not consumed before these bytes were. */
  consumed(bytes: number, buffered: number): void {
    const before = buffered - this.#length;
    const left = before - bytes;
    this.#pieces = left <= 0 ? 0 : Math.ceil((this.#pieces * left) / before);
  }

  take(): Buffer | null {
    const gathered = this.#gathered;
    const length = this.#length;
    if (gathered === null || length === 0) return null;
    this.#length = 0;
    // a copy where it is less than half: the reader may keep it
    if (length < roomFor / 2) return Buffer.from(gathered.subarray(0, length));
    this.#gathered = null;
    return gathered.subarray(0, length);
  }
}
