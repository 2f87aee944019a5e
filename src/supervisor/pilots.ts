// Pilots: of links that would log in the same way at the same moment (`share: false`), one goes ahead, and what it is told,
// all are told. A server counts refused logins by the address they come from (sshd_config(5), PerSourcePenalties).
import { asTunnelError } from '../errors.ts';
import type { TunnelError } from '../errors.ts';
import { abortable } from '../model/abortable.ts';
import { onAbort } from '../model/give-up.ts';
import type { Person } from './engine.ts';

type End =
  | { readonly kind: 'worked' }
  | { readonly kind: 'given-up' }
  | { readonly kind: 'failed'; readonly error: TunnelError };

/** A login as the others see it. */
export interface Pilot {
  readonly persons: () => readonly Person[];
}

interface Ahead<P extends Pilot> {
  readonly pilot: P;
  readonly end: Promise<End>;
}

export interface Flight<P extends Pilot, T> {
  /** Equal keys: what one is told, the other would be told. */
  readonly key: string;
  readonly pilot: P;
  readonly signal: AbortSignal;
  readonly dial: () => Promise<T>;
  /** The one ahead failed, and this one fails with it. */
  readonly failedWith: (ahead: P) => void;
}

export class Pilots<P extends Pilot> {
  readonly #ahead = new Map<string, Ahead<P>>();

  /**
   * Dials, after the one ahead where there is one. Rejects with the failure of either, or with the signal's reason. Who
   * has a person at hand that the one ahead has not does not wait: they may answer what nobody answers there.
   */
  async run<T>(flight: Flight<P, T>): Promise<T> {
    const { key, pilot, signal, dial, failedWith } = flight;
    for (let ahead = this.#ahead.get(key); ahead !== undefined; ahead = this.#ahead.get(key)) {
      const there = ahead.pilot.persons();
      if (pilot.persons().some((person) => !there.includes(person))) return dial();
      const end = await abortable(ahead.end, signal);
      if (end.kind === 'worked') return dial();
      if (end.kind === 'given-up') continue;
      failedWith(ahead.pilot);
      throw end.error;
    }
    return this.#lead(key, pilot, signal, dial);
  }

  async #lead<T>(key: string, pilot: P, signal: AbortSignal, dial: () => Promise<T>): Promise<T> {
    let land = (_end: End): void => {};
    let cancel = (): void => {};
    const ahead: Ahead<P> = { pilot, end: new Promise((resolve) => (land = resolve)) };
    const end = (how: End): void => {
      if (this.#ahead.get(key) === ahead) this.#ahead.delete(key);
      cancel();
      land(how);
    };
    this.#ahead.set(key, ahead);
    cancel = onAbort(signal, () => end({ kind: 'given-up' }));
    try {
      const dialled = await dial();
      end({ kind: 'worked' });
      return dialled;
    } catch (thrown) {
      end(signal.aborted ? { kind: 'given-up' } : { kind: 'failed', error: asTunnelError(thrown) });
      throw thrown;
    }
  }
}
