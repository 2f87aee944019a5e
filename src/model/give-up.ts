// Giving up: whoever waited has gone, and work for them ends. An AbortSignal says the same; each connection has one of these instead,
// which costs a fraction of an AbortSignal.
import type { Cancel } from './clock.ts';

/** The part of AbortSignal that those who work for somebody look at. */
export interface GiveUpSignal {
  readonly aborted: boolean;
  addEventListener(type: 'abort', listener: () => void): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/** Listeners are called once, in order, in the turn of `abort`. One that is added later is never called: see `onAbort`. */
export class GiveUp implements GiveUpSignal {
  #listeners: (() => void)[] | null = null;
  #aborted = false;

  get aborted(): boolean {
    return this.#aborted;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    if (this.#aborted) return;
    this.#listeners ??= [];
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const at = this.#listeners?.indexOf(listener) ?? -1;
    if (at >= 0) this.#listeners?.splice(at, 1);
  }

  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    const listeners = this.#listeners ?? [];
    this.#listeners = null;
    for (const listener of listeners) listener();
  }
}

/** Calls `listener` once: at once when the signal has been aborted already, else when it is, unless cancelled before. */
export function onAbort(signal: GiveUpSignal | undefined, listener: () => void): Cancel {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  const called = (): void => {
    cancel();
    listener();
  };
  const cancel = (): void => signal.removeEventListener('abort', called);
  signal.addEventListener('abort', called);
  return cancel;
}

/** Rejects with the signal's reason as soon as it is aborted. */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => void = () => {},
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let over = false;
    const cancel = onAbort(signal, () => {
      over = true;
      reject(signal.reason as Error);
    });
    work.then(
      (value) => {
        cancel();
        if (over) late(value);
        else resolve(value);
      },
      (error: unknown) => {
        cancel();
        reject(error as Error);
      },
    );
  });
}
