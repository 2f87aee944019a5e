// SSH signatures (RFC 4253 6.6, RFC 5656, RFC 8332, RFC 8709, PROTOCOL.u2f), verified with node:crypto. SHA-1 is never accepted. Pure.
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto';
import { keyBits, keyWeakness } from './fingerprint.ts';
import { magnitude, readWire, wireString } from './wire.ts';

/** Signature algorithms taken as a CA's, each with its hash; OpenSSH's CASignatureAlgorithms by default. */
const hashes: Record<string, string | null> = {
  'ssh-ed25519': null,
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
  'sk-ssh-ed25519@openssh.com': null,
  'sk-ecdsa-sha2-nistp256@openssh.com': 'sha256',
};

/** False for anything but a right signature in an accepted algorithm that fits the key. Never throws. */
export function verifySignature(keyBlob: Buffer, message: Buffer, signatureBlob: Buffer): boolean {
  try {
    return verifyParts(keyBlob, message, signatureBlob);
  } catch {
    return false; // malformed key or signature
  }
}

function verifyParts(keyBlob: Buffer, message: Buffer, signatureBlob: Buffer): boolean {
  const reader = readWire(signatureBlob);
  const algorithm = reader.text();
  const signature = reader.string();
  const keyType = readWire(keyBlob).text();
  const fits = algorithm.startsWith('rsa-sha2-') ? keyType === 'ssh-rsa' : keyType === algorithm;
  const hash = hashes[algorithm];
  if (!fits || hash === undefined || keyWeakness(keyBlob) !== null) return false;
  const key = publicKey(keyBlob);
  if (key === null) return false;
  const data = keyType.startsWith('sk-')
    ? tokenMessage(keyBlob, message, reader.byte(), reader.uint32())
    : message;
  if (!reader.atEnd()) return false;
  if (!keyType.includes('ecdsa')) return verify(hash, data, key, signature);
  const width = Math.ceil(keyBits(keyBlob) / 8);
  return verify(hash, data, { key, dsaEncoding: 'ieee-p1363' }, pairOfNumbers(signature, width));
}

/**
 * What a security key signs: hashes of its application and the message, with its flags and counter. That somebody touched
 * it is not asked of a CA, as in OpenSSH: one that signs by itself is made with `-O no-touch-required`.
 */
function tokenMessage(keyBlob: Buffer, message: Buffer, flags: number, counter: number): Buffer {
  const reader = readWire(keyBlob);
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
  const reader = readWire(signature);
  const padded = [reader.string(), reader.string()].map((mpint) => {
    const bytes = magnitude(mpint);
    if (bytes.length > width) throw new RangeError('number too large');
    return Buffer.concat([Buffer.alloc(width - bytes.length), bytes]);
  });
  return Buffer.concat(padded);
}

/** A public key blob as node:crypto takes it; null for types it cannot hold. Throws on malformed ones. */
export function publicKey(keyBlob: Buffer): KeyObject | null {
  const reader = readWire(keyBlob);
  const type = reader.text();
  if (type === 'ssh-rsa') {
    const exponent = magnitude(reader.string());
    return jwk({ kty: 'RSA', e: url(exponent), n: url(magnitude(reader.string())) });
  }
  if (type === 'ssh-ed25519' || type === 'sk-ssh-ed25519@openssh.com')
    return jwk({ kty: 'OKP', crv: 'Ed25519', x: url(reader.string()) });
  const curve = /^(?:sk-)?ecdsa-sha2-nistp(256|384|521)(?:@openssh\.com)?$/.exec(type)?.[1];
  if (curve === undefined) return null;
  const named = reader.text();
  const point = reader.string();
  const width = Math.ceil(Number(curve) / 8);
  if (named !== `nistp${curve}` || point[0] !== 4 || point.length !== 1 + 2 * width) return null;
  return jwk({
    kty: 'EC',
    crv: `P-${curve}`,
    x: url(point.subarray(1, 1 + width)),
    y: url(point.subarray(1 + width)),
  });
}

function jwk(key: Record<string, string>): KeyObject {
  return createPublicKey({ key, format: 'jwk' });
}

function url(bytes: Buffer): string {
  return bytes.toString('base64url');
}

/** A signature blob's algorithm: "rsa-sha2-512"; '' when malformed. */
export function signatureAlgorithm(signatureBlob: Buffer): string {
  try {
    return readWire(signatureBlob).text();
  } catch {
    return ''; // cut short
  }
}

/** A signature blob from its parts. */
export function formatSignature(algorithm: string, signature: Buffer): Buffer {
  return Buffer.concat([wireString(algorithm), wireString(signature)]);
}
