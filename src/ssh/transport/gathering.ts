// Reads of a server's connection, gathered: fewer of them with more in each are less work for all four processes of a transfer.
//
// A read of much that emptied the socket is followed by another one in the next turn of the loop. A download that is faster than that
// is read packet by packet all the same, with a wake-up of everybody for each; so where it is alone, this process rests for a
// moment first, as a network card does before it interrupts (ethtool's rx-usecs). Node has no timer below a millisecond, and a
// millisecond is too long: it sleeps. A sender that fills the buffer in that time is never waited for.
import { mayRest, newReader, noteRead } from '../../model/reading.ts';
import { stopThread } from '../../model/stop-thread.ts';

/** So much in one read is a transfer. */
const gatheredFrom = 32 * 1024;
/** So many such reads before the first rest: an answer of 100 KiB does not wait for its end. */
const restsAfter = 8;
/** After so long without one, a transfer is over. */
const overMs = 10;
/** In milliseconds, as all of these: 0.1 to 0.4 do the same for a transfer. */
const restMs = 0.2;
/** A rest that took longer than this: other timers than Linux has, or a busy machine. */
const longRestMs = 1;
/** Then there is none for so long. */
const restlessMs = 20;

/** Of one connection. */
export class Gathering {
  readonly #sleep: (ms: number) => void;
  readonly #reader = newReader();
  #inRow = 0;
  #lastMs = Number.NEGATIVE_INFINITY;
  #noneUntilMs = Number.NEGATIVE_INFINITY;

  constructor(rest: (ms: number) => void = stopThread) {
    this.#sleep = rest;
  }

  /** `length` bytes were read into a buffer with room for `room`. True: the next read is for the next turn of the loop. */
  pausesAfter(length: number, room: number): boolean {
    if (length < gatheredFrom) return false;
    noteRead(this.#reader);
    const now = performance.now();
    this.#inRow = now - this.#lastMs > overMs ? 1 : this.#inRow + 1;
    this.#lastMs = now;
    return length < room;
  }

  /** Before the read that was put off. */
  rest(): void {
    if (this.#inRow < restsAfter || !mayRest()) return;
    const begun = performance.now();
    if (begun < this.#noneUntilMs) return;
    this.#sleep(restMs);
    const ended = performance.now();
    if (ended - begun > longRestMs) this.#noneUntilMs = ended + restlessMs;
  }
}
