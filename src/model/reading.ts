// Who reads in this process. A flow that is alone may be read in large pieces and with rests: nobody waits behind it.

export interface Reader {
  /** When it read last, of `performance.now`. */
  lastMs: number;
}

/** So long one that has read counts as one that reads. */
const besideMs = 100;

let isOurs = false;
let last: Reader | null = null;
let besideUntilMs = Number.NEGATIVE_INFINITY;

export function newReader(): Reader {
  return { lastMs: Number.NEGATIVE_INFINITY };
}

/** One that comes back after another had its turn reads beside it: a question and the long answer to it are not two at once. */
export function noteRead(reader: Reader): void {
  const now = performance.now();
  if (last !== reader) {
    if (now - reader.lastMs < besideMs) besideUntilMs = now + besideMs;
    last = reader;
  }
  reader.lastMs = now;
}

/** From now on: this process does nothing but carry connections, and may stop for a moment. One that uses the library does other things. */
export function processIsOurs(): void {
  isOurs = true;
}

/** Nobody waits behind whoever reads now, in a process of our own. */
export function mayRest(): boolean {
  return isOurs && readsAlone();
}

/** Whoever reads now is the only one who does. */
export function readsAlone(): boolean {
  return performance.now() >= besideUntilMs;
}
