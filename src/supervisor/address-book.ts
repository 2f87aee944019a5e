// Addresses held here, by port or path: who holds what a listener asks for is found without a look at every tunnel.
import type { Cancel } from '../model/clock.ts';
import { collide, placeOf, type Endpoint } from '../model/endpoint.ts';

interface Held {
  readonly listen: Endpoint;
  /** Asked each time: a tunnel may be renamed while it runs. */
  readonly tunnel: () => string;
}

export class AddressBook {
  readonly #held = new Map<number | string, Set<Held>>();

  /** Until it is given back. Idempotent. */
  hold(listen: Endpoint, tunnel: () => string): Cancel {
    const key = placeOf(listen);
    const held = { listen, tunnel };
    const page = this.#held.get(key) ?? new Set();
    this.#held.set(key, page.add(held));
    return () => {
      if (page.delete(held) && page.size === 0 && this.#held.get(key) === page) this.#held.delete(key);
    };
  }

  /** Another tunnel that holds an address in the way of this one; null for none. */
  holderOf(listen: Endpoint, asker: string): string | null {
    for (const held of this.#held.get(placeOf(listen)) ?? [])
      if (held.tunnel() !== asker && collide(held.listen, listen)) return held.tunnel();
    return null;
  }
}
