// Signatures: signs with a private key that is in memory, in the form RFC 4253 6.6, 5656 3.1.2, 8332 and 8709 ask for.
import { sign, type KeyObject, type SignKeyObjectInput } from 'node:crypto';
import { promisify } from 'node:util';
import { wireMpint, wireString } from './wire.ts';

const signInPool = promisify(
  (
    digest: string | null,
    bytes: Buffer,
    key: SignKeyObjectInput,
    done: (error: Error | null, signature: Buffer) => void,
  ) => sign(digest, bytes, key, done),
);

const digests: Readonly<Record<string, string | null>> = {
  'ssh-ed25519': null,
  'ssh-rsa': 'sha1',
  'rsa-sha2-256': 'sha256',
  'rsa-sha2-512': 'sha512',
  'ecdsa-sha2-nistp256': 'sha256',
  'ecdsa-sha2-nistp384': 'sha384',
  'ecdsa-sha2-nistp521': 'sha512',
};

/**
 * A signature blob: string algorithm, string signature. `algorithm` is a plain one, never a certificate's.
 * Runs in the thread pool: a large RSA key takes milliseconds. Throws RangeError for an unknown algorithm.
 */
export async function signWith(key: KeyObject, algorithm: string, bytes: Buffer): Promise<Buffer> {
  const digest = digests[algorithm];
  if (digest === undefined) throw new RangeError(`cannot sign with ${algorithm}`);
  const raw = await signInPool(digest, bytes, { key, dsaEncoding: 'ieee-p1363' });
  return Buffer.concat([wireString(algorithm), wireString(algorithm.startsWith('ecdsa-') ? pair(raw) : raw)]);
}

/** ECDSA: r and s as mpints; P1363 has them side by side, equally long. */
function pair(raw: Buffer): Buffer {
  const half = raw.length / 2;
  return Buffer.concat([wireMpint(raw.subarray(0, half)), wireMpint(raw.subarray(half))]);
}
