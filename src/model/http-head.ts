// The head of an HTTP message in bytes that come in pieces: lines may end in a line feed alone (RFC 9112 2.2). Pure.

/** Where what follows the head begins: behind the first empty line; null while there is none. */
export function headEnd(bytes: Buffer): number | null {
  for (let from = 0; ;) {
    const end = bytes.indexOf('\n', from);
    if (end === -1) return null;
    const length = end - from;
    if (length === 0 || (length === 1 && bytes[from] === 0x0d)) return end + 1;
    from = end + 1;
  }
}

/** The lines of a head, without their ends and the empty one. */
export function headLines(head: Buffer): string[] {
  return head
    .toString('latin1')
    .split(/\r?\n/)
    .filter((line) => line !== '');
}
