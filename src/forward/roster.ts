// A roster: who is here, where they come and go by the thousand. An array, since a Set or Map that changes so often
// keeps what left it: each table it outgrew points at the next, and once one is old, only a full collection frees them.

/** Somebody on a roster; `place` is the roster's own. */
export interface Listed {
  place: number;
}

export class Roster<T extends Listed> {
  readonly #all: T[] = [];

  add(one: T): void {
    one.place = this.#all.length;
    this.#all.push(one);
  }

  /** No fault when it is not there. */
  remove(one: T): void {
    if (this.#all[one.place] !== one) return;
    const last = this.#all.pop();
    if (last === undefined || last === one) return;
    this.#all[one.place] = last;
    last.place = one.place;
  }

  /** Who is here now, in no order; they may leave meanwhile. */
  all(): T[] {
    return this.#all.slice();
  }
}
