// Memory outside V8's heap that is garbage as soon as it has been used: ciphers of node:crypto make it anew for every packet. V8 frees it
// with the small object that stands for it, and as few of them fill no young generation, it comes to a full collection for every few dozen
// MiB: a third of the work of a transfer without native code. The young generation alone, collected early, frees the same for a tenth of that.

/** So much is left, in bytes, until the young generation is collected. */
const collectedBytes = 4 * 1024 * 1024;

let leftBytes = 0;

/** So many bytes are garbage now, or soon. Does nothing where Node runs without --expose-gc (control/launch-pipe). */
export function leaveBehind(bytes: number): void {
  leftBytes += bytes;
  if (leftBytes < collectedBytes) return;
  leftBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}
