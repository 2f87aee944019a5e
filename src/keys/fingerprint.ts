// Fingerprints: what a person compares. SHA256 as OpenSSH prints it, and its randomart. Pure.
import { createHash } from 'node:crypto';
import { keyBits, keyType, shortTypeName } from './public-key.ts';

/** SHA256:… without padding, as ssh-keygen prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** A fingerprint that a person pasted, in our form; null for another text. Takes it with or without "SHA256:" and padding. */
export function readFingerprint(text: string): string | null {
  const match = /^(?:SHA256:)?([A-Za-z0-9+/]{43})=?$/.exec(text.trim());
  return match === null ? null : `SHA256:${match[1]}`;
}

const columns = 17;
const rows = 9;
/** Marks of a field by how often it was visited; the last two are the start and the end. */
const marks = ' .o+=*BOX@%&#/^SE';

/** The eleven lines `ssh-keygen -lv` draws (OpenSSH's "drunken bishop" walk over the SHA-256 digest). */
export function randomart(blob: Buffer): string[] {
  const digest = createHash('sha256').update(blob).digest();
  const field = Array.from({ length: rows }, () => Array.from({ length: columns }, () => 0));
  let x = 8;
  let y = 4;
  const visit = (step: number): void => {
    x = Math.min(columns - 1, Math.max(0, x + (step & 1 ? 1 : -1)));
    y = Math.min(rows - 1, Math.max(0, y + (step & 2 ? 1 : -1)));
    const row = field[y];
    const seen = row?.[x] ?? 0;
    if (row !== undefined && seen < marks.length - 3) row[x] = seen + 1;
  };
  for (const byte of digest) for (const shift of [0, 2, 4, 6]) visit((byte >> shift) & 3);
  const drawn = field.map((row) => row.map((seen) => marks[seen] ?? ' '));
  const middle = drawn[4];
  if (middle !== undefined) middle[8] = 'S';
  const last = drawn[y];
  if (last !== undefined) last[x] = 'E';
  return [border(title(blob)), ...drawn.map((row) => `|${row.join('')}|`), border('[SHA256]')];
}

/** OpenSSH keeps the title in a buffer as wide as the field, closing NUL included; without room the size goes. */
function title(blob: Buffer): string {
  const name = shortTypeName(keyType(blob));
  const whole = `[${name} ${keyBits(blob)}]`;
  return whole.length < columns ? whole : `[${name}]`.slice(0, columns - 1);
}

function border(label: string): string {
  const left = Math.floor((columns - label.length) / 2);
  return `+${'-'.repeat(left)}${label}${'-'.repeat(columns - left - label.length)}+`;
}
