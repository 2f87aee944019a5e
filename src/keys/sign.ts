// Signatures (RFC 4253 6.6, 5656 3.1.2, 8332, 8709, PROTOCOL.u2f): made with a private key that is in memory, and verified.
import { createHash, sign, verify, type KeyObject, type SignKeyObjectInput } from 'node:crypto';
import { promisify } from 'node:util';
import { keyAlgorithm } from './algorithms.ts';
import { keyBits, keyWeakness, nodeKeyOf } from './public-key.ts';
import { magnitude, wireMpint, wireReader, wireString } from './wire.ts';

const signInPool = promisify(
  (
    digest: string | null,
    bytes: Buffer,
    key: SignKeyObjectInput,
    done: (error: Error | null, signature: Buffer) => void,
  ) => sign(digest, bytes, key, done),
);

/**
 * A signature blob: string algorithm, string signature. `algorithm` is a plain one, never a certificate's.
 * Runs in the thread pool: a large RSA key takes milliseconds. Throws RangeError for an unknown algorithm.
 */
export async function signWith(key: KeyObject, algorithm: string, bytes: Buffer): Promise<Buffer> {
  const { digest, keyType = '' } = keyAlgorithm(algorithm) ?? {};
  // Signatures of security keys are made by agents.
  if (digest === undefined || keyType.startsWith('sk-'))
    throw new RangeError(`cannot sign with ${algorithm}`);
  const raw = await signInPool(digest, bytes, { key, dsaEncoding: 'ieee-p1363' });
  return Buffer.concat([wireString(algorithm), wireString(algorithm.startsWith('ecdsa-') ? pair(raw) : raw)]);
}

/** ECDSA: r and s as mpints; P1363 has them side by side, equally long. */
function pair(raw: Buffer): Buffer {
  const half = raw.length / 2;
  return Buffer.concat([wireMpint(raw.subarray(0, half)), wireMpint(raw.subarray(half))]);
}

/**
 * False for anything but a right signature in an accepted algorithm that fits the key (OpenSSH's CASignatureAlgorithms
 * by default; SHA-1 is none). Never throws.
 */
export function verifySignature(keyBlob: Buffer, message: Buffer, signatureBlob: Buffer): boolean {
  try {
    return verifyParts(keyBlob, message, signatureBlob);
  } catch {
    return false; // malformed key or signature
  }
}

function verifyParts(keyBlob: Buffer, message: Buffer, signatureBlob: Buffer): boolean {
  const reader = wireReader(signatureBlob);
  const algorithm = reader.text();
  const signature = reader.string();
  const keyType = wireReader(keyBlob).text();
  const known = keyAlgorithm(algorithm);
  const hash = known?.off === true ? undefined : known?.digest; // SHA-1 is never believed
  if (known?.keyType !== keyType || hash === undefined || keyWeakness(keyBlob) !== null) return false;
  const key = nodeKeyOf(keyBlob);
  if (key === null) return false;
  const data = keyType.startsWith('sk-')
    ? tokenMessage(keyBlob, message, reader.uint8(), reader.uint32())
    : message;
  if (reader.left > 0) return false;
  if (!keyType.includes('ecdsa')) return verify(hash, data, key, signature);
  const width = Math.ceil(keyBits(keyBlob) / 8);
  return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, pairOfNumbers(signature, width));
}

/**
 * What a security key signs: hashes of its application and the message, with its flags and counter. That somebody touched
 * it is not asked of a CA, as in OpenSSH: one that signs by itself is made with `-O no-touch-required`.
 */
function tokenMessage(keyBlob: Buffer, message: Buffer, flags: number, counter: number): Buffer {
  const reader = wireReader(keyBlob);
  const type = reader.text();
  reader.string();
  if (type.includes('ecdsa')) reader.string();
  const application = reader.string();
  const middle = Buffer.alloc(5);
  middle.writeUInt8(flags);
  middle.writeUInt32BE(counter, 1);
  const digest = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest();
  return Buffer.concat([digest(application), middle, digest(message)]);
}

/** r and s as two numbers of equal width (IEEE P1363), from the two mpints of RFC 5656. */
function pairOfNumbers(signature: Buffer, width: number): Buffer {
  const reader = wireReader(signature);
  const padded = [reader.string(), reader.string()].map((mpint) => {
    const bytes = magnitude(mpint);
    if (bytes.length > width) throw new RangeError('number too large');
    return Buffer.concat([Buffer.alloc(width - bytes.length), bytes]);
  });
  return Buffer.concat(padded);
}

/** A signature blob's algorithm: "rsa-sha2-512"; '' when malformed. */
export function signatureAlgorithm(signatureBlob: Buffer): string {
  try {
    return wireReader(signatureBlob).text();
  } catch {
    return ''; // cut short
  }
}
