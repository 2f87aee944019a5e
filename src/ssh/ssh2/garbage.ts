// Memory outside V8's heap that is garbage as soon as it has been used: ciphers of node:crypto make it anew for every packet. V8 frees it
// with the small object that stands for it, and as few of them fill no young generation, it comes to a full collection for every few dozen
// MiB: a third of the work of a transfer without native code. The young generation alone, collected early, frees the same for a tenth of that.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** So much is left, in bytes, until the young generation is collected. */
const collectedBytes = 4 * 1024 * 1024;

let leftBytes = 0;
let collect: (() => void) | null = null;

/** So many bytes are garbage now, or soon. */
export function leaveBehind(bytes: number): void {
  leftBytes += bytes;
  if (leftBytes < collectedBytes) return;
  leftBytes = 0;
  collect ??= collectorOfYoung();
  collect();
}

/**
 * A context that is made under --expose-gc has V8's own function for it, and keeps it. Then the flag is as it was: V8 refuses code that was
 * kept under other flags (cli/start). Where there is no such function, V8 collects when it does.
 */
function collectorOfYoung(): () => void {
  try {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as (options: { readonly type: 'minor' }) => void;
    return () => gc({ type: 'minor' });
  } catch {
    return () => undefined;
  } finally {
    setFlagsFromString('--no-expose-gc');
  }
}
