// Private keys: the numbers of an SSH private key as a node key, and the error every key parser throws.
import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** Why a key file gives no key: needs a (another) passphrase, is damaged, or is of a kind we cannot use. */
export type KeyProblem = 'passphrase-needed' | 'passphrase-wrong' | 'damaged' | 'unsupported';

/** Thrown by the key parsers. The message ends a sentence; it holds nothing of the key. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
  readonly problem: KeyProblem;

  constructor(problem: KeyProblem, message: string) {
    super(message);
    this.problem = problem;
  }
}

const url = (bytes: Buffer): string => bytes.toString('base64url');
const toBigInt = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex') || '0'}`);

function fromBigInt(value: bigint): Buffer {
  const hex = value.toString(16);
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
}

function fromJwk(jwk: JsonWebKey): KeyObject {
  try {
    return createPrivateKey({ key: jwk, format: 'jwk' });
  } catch {
    throw new KeyError('damaged', 'its numbers make no key');
  }
}

/** RSA from what the file formats of SSH keep; dp and dq are worked out. */
export function rsaPrivateKey(parts: {
  n: Buffer;
  e: Buffer;
  d: Buffer;
  p: Buffer;
  q: Buffer;
  inverse: Buffer;
}): KeyObject {
  const d = toBigInt(parts.d);
  const p = toBigInt(parts.p);
  const q = toBigInt(parts.q);
  if (p < 3n || q < 3n) throw new KeyError('damaged', 'its numbers make no key');
  return fromJwk({
    kty: 'RSA',
    n: url(parts.n),
    e: url(parts.e),
    d: url(parts.d),
    p: url(parts.p),
    q: url(parts.q),
    dp: url(fromBigInt(d % (p - 1n))),
    dq: url(fromBigInt(d % (q - 1n))),
    qi: url(parts.inverse),
  });
}

/** `seed`: the 32 bytes of RFC 8032. */
export function ed25519PrivateKey(publicHalf: Buffer, seed: Buffer): KeyObject {
  return fromJwk({ kty: 'OKP', crv: 'Ed25519', x: url(publicHalf), d: url(seed) });
}

const curves: Readonly<Record<string, { crv: string; size: number }>> = {
  nistp256: { crv: 'P-256', size: 32 },
  nistp384: { crv: 'P-384', size: 48 },
  nistp521: { crv: 'P-521', size: 66 },
};

/** `point`: uncompressed, 04 in front; `scalar`: the mpint's bytes. */
export function ecdsaPrivateKey(curveName: string, point: Buffer, scalar: Buffer): KeyObject {
  const curve = curves[curveName];
  if (curve === undefined) throw new KeyError('unsupported', `the curve ${curveName} is not known`);
  if (point[0] !== 4 || point.length !== 1 + 2 * curve.size || scalar.length > curve.size)
    throw new KeyError('damaged', 'its numbers make no key');
  const padded = Buffer.concat([Buffer.alloc(curve.size - scalar.length), scalar]);
  return fromJwk({
    kty: 'EC',
    crv: curve.crv,
    x: url(point.subarray(1, 1 + curve.size)),
    y: url(point.subarray(1 + curve.size)),
    d: url(padded),
  });
}

export const dsaUnsupported =
  'DSA keys are no longer taken by servers; make a new one: ssh-keygen -t ed25519';
