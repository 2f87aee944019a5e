// Fingerprints: what a person compares. SHA256 as OpenSSH prints it, its randomart, and a key's type and size. Pure.
import { createHash } from 'node:crypto';
import { magnitude, readWire } from './wire.ts';

/** "ssh-ed25519": the type a public key blob names itself; '' for bytes that are no key. */
export function keyType(blob: Buffer): string {
  try {
    const type = readWire(blob).string().toString('latin1');
    return /^[\x21-\x7e]+$/.test(type) ? type : '';
  } catch {
    return ''; // too short to be a key
  }
}

/** SHA256:… without padding, as ssh-keygen prints it. */
export function fingerprint(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** What a person pasted as a fingerprint, in our form; null when it is none. Takes it with or without "SHA256:" and padding. */
export function readFingerprint(text: string): string | null {
  const match = /^(?:SHA256:)?([A-Za-z0-9+/]{43})=?$/.exec(text.trim());
  return match === null ? null : `SHA256:${match[1]}`;
}

/** Size in bits as ssh-keygen -l prints it; 0 for types we do not know. */
export function keyBits(blob: Buffer): number {
  try {
    return bitsOf(blob);
  } catch {
    return 0; // cut short: it is no key
  }
}

/** OpenSSH refuses shorter RSA keys since 7.6 (SSH_RSA_MINIMUM_MODULUS_SIZE in sshkey.h). */
const smallestRsaBits = 1024;

/** Why no trust can rest on the key, null when it can. */
export function keyWeakness(blob: Buffer): string | null {
  const type = keyType(blob);
  if (type === '') return 'these bytes are no public key';
  const bits = keyBits(blob);
  return type === 'ssh-rsa' && bits < smallestRsaBits ? `an RSA key of ${bits} bits is too short` : null;
}

function bitsOf(blob: Buffer): number {
  const type = keyType(blob);
  const reader = readWire(blob);
  reader.string();
  if (type.includes('-cert-v01@')) reader.string(); // the nonce stands before the key's own fields
  if (type.includes('ed25519')) return 256;
  const curve = /nistp(\d+)/.exec(type);
  if (curve !== null) return Number(curve[1]);
  if (type.startsWith('ssh-rsa')) {
    reader.string(); // the exponent
    return bitLength(magnitude(reader.string()));
  }
  if (type.startsWith('ssh-dss')) return bitLength(magnitude(reader.string()));
  return 0;
}

function bitLength(bytes: Buffer): number {
  const first = bytes[0];
  return first === undefined ? 0 : (bytes.length - 1) * 8 + (32 - Math.clz32(first));
}

/** The short name people know a key type by: "ED25519", "RSA", "ECDSA-SK", "ED25519-CERT" (sshkey.c). */
export function shortTypeName(type: string): string {
  const family = type.includes('ed25519')
    ? 'ED25519'
    : type.includes('ecdsa')
      ? 'ECDSA'
      : type.includes('rsa')
        ? 'RSA'
        : type === 'ssh-dss'
          ? 'DSA'
          : type.toUpperCase();
  return `${family}${type.startsWith('sk-') ? '-SK' : ''}${type.includes('-cert-v01@') ? '-CERT' : ''}`;
}

const columns = 17;
const rows = 9;
/** What a field shows after being visited that often; the last two are the start and the end. */
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
