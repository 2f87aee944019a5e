// Turns to log in: of links that would log in the same way at the same moment (`share: false`), one goes ahead, and its
// failure is the failure of all: a server counts refused logins by their address (sshd_config(5), PerSourcePenalties).
import { asTunnelError, type TunnelError } from '../errors.ts';
import { abortable, onAbort } from '../model/give-up.ts';
import type { Person } from './engine.ts';

type End =
  | { readonly kind: 'worked' }
  | { readonly kind: 'given-up' }
  | { readonly kind: 'failed'; readonly error: TunnelError };

/** Who logs in, as the others see it. */
export interface Attended {
  readonly persons: () => readonly Person[];
}

interface Ahead<W extends Attended> {
  readonly who: W;
  readonly end: Promise<End>;
}

export interface Turn<W extends Attended, T> {
  /** Logins with equal keys would get the same answer. */
  readonly key: string;
  readonly who: W;
  readonly signal: AbortSignal;
  readonly dial: () => Promise<T>;
  /** The one ahead failed, and this one fails with it. */
  readonly failedWith: (ahead: W) => void;
}

export class LoginTurns<W extends Attended> {
  readonly #ahead = new Map<string, Ahead<W>>();

  /**
   * Dials, after the one ahead where there is one. Rejects with the failure of either, or with the signal's reason. A
   * login with a person at hand whom the one ahead has not does not wait: that person may answer its questions.
   */
  async run<T>(turn: Turn<W, T>): Promise<T> {
    const { key, who, signal, dial, failedWith } = turn;
    for (let ahead = this.#ahead.get(key); ahead !== undefined; ahead = this.#ahead.get(key)) {
      const there = ahead.who.persons();
      if (who.persons().some((person) => !there.includes(person))) return dial();
      const end = await abortable(ahead.end, signal);
      if (end.kind === 'worked') return dial();
      if (end.kind === 'given-up') continue;
      failedWith(ahead.who);
      throw end.error;
    }
    return this.#goAhead(turn);
  }

  async #goAhead<T>({ key, who, signal, dial }: Turn<W, T>): Promise<T> {
    let tell = (_end: End): void => {};
    let cancel = (): void => {};
    const ahead: Ahead<W> = { who, end: new Promise((resolve) => (tell = resolve)) };
    const end = (how: End): void => {
      if (this.#ahead.get(key) === ahead) this.#ahead.delete(key);
      cancel();
      tell(how);
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
