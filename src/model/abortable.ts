// A promise that ends with its signal: what arrives after that is handed to `late`, never lost.
import { onAbort } from './give-up.ts';

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
