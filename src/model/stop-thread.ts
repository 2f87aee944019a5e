// Stops this thread for a moment: Node's timers know nothing below a millisecond, and are nothing for code that cannot wait.

const never = new Int32Array(new SharedArrayBuffer(4));

/** Milliseconds, with a fraction. */
export function stopThread(ms: number): void {
  Atomics.wait(never, 0, 0, ms);
}
