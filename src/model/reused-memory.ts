// Memory that is used again, and the debug mode that proves nobody still looks at it: whatever is let go of is overwritten at once
// (TUNNEL_WIPE_MEMORY=1), so that a view that somebody kept shows as altered bytes in every test that compares them.

let wipes = false;

/** From now on, for the whole process. */
export function wipeReusedMemory(): void {
  wipes = true;
}

/** `bytes` will be used again: no view of them may be looked at from here on. */
export function letGoOf(bytes: Uint8Array): void {
  if (wipes) bytes.fill(0xdb);
}
