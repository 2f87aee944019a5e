// Public keys: SSH blobs (RFC 4253 6.6, 5656, 8709) from node keys and back, what they say of themselves, and lines of .pub files. Pure.
import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { magnitude, wireMpint, wireReader, wireString } from './wire.ts';

/** A public key as SSH names it. `blob` of a certificate is the whole certificate. */
export interface PublicKey {
  /** The type inside the blob: "ssh-ed25519", "ssh-rsa-cert-v01@openssh.com", … */
  readonly type: string;
  readonly blob: Buffer;
}

const curves: Readonly<Record<string, string>> = {
  'P-256': 'nistp256',
  'P-384': 'nistp384',
  'P-521': 'nistp521',
};

const base64url = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
const toBase64url = (bytes: Buffer): string => bytes.toString('base64url');

/** The SSH form of a node key (its public half). Throws RangeError for a type SSH does not have. */
export function publicKeyOf(key: KeyObject): PublicKey {
  const half = key.type === 'private' ? createPublicKey(key) : key;
  const jwk: JsonWebKey = half.asymmetricKeyType === 'dsa' ? {} : half.export({ format: 'jwk' });
  if (jwk.kty === 'RSA') {
    const blob = Buffer.concat([
      wireString('ssh-rsa'),
      wireMpint(base64url(jwk.e)),
      wireMpint(base64url(jwk.n)),
    ]);
    return { type: 'ssh-rsa', blob };
  }
  if (jwk.kty === 'OKP' && jwk.crv === 'Ed25519') {
    return {
      type: 'ssh-ed25519',
      blob: Buffer.concat([wireString('ssh-ed25519'), wireString(base64url(jwk.x))]),
    };
  }
  const curve = jwk.kty === 'EC' ? curves[jwk.crv ?? ''] : undefined;
  if (curve === undefined)
    throw new RangeError(`no SSH key type for ${half.asymmetricKeyType ?? 'this key'}`);
  const type = `ecdsa-sha2-${curve}`;
  const point = Buffer.concat([Buffer.from([4]), base64url(jwk.x), base64url(jwk.y)]);
  return { type, blob: Buffer.concat([wireString(type), wireString(curve), wireString(point)]) };
}

/** The type named at the start of a blob. Throws RangeError when there is none. */
export function publicKeyFromBlob(blob: Buffer): PublicKey {
  const type = wireReader(blob).text();
  if (!/^[\x21-\x7e]{1,64}$/.test(type)) throw new RangeError('not a public key');
  return { type, blob };
}

/** "TYPE BASE64 comment", as in a .pub file; null when the text is none. */
export function parsePublicLine(text: string): (PublicKey & { readonly comment: string }) | null {
  const line = text.split('\n').find((candidate) => candidate.trim() !== '' && !candidate.startsWith('#'));
  const [type, base64, ...comment] = (line ?? '').trim().split(/\s+/);
  if (type === undefined || base64 === undefined || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return null;
  try {
    const key = publicKeyFromBlob(Buffer.from(base64, 'base64'));
    return key.type === type ? { ...key, comment: comment.join(' ') } : null;
  } catch {
    return null; // the base64 holds no key: then it is no public key file
  }
}

/** "ssh-ed25519": the type a public key blob names itself; '' for bytes that are no key. */
export function keyType(blob: Buffer): string {
  try {
    const type = wireReader(blob).string().toString('latin1');
    return /^[\x21-\x7e]+$/.test(type) ? type : '';
  } catch {
    return ''; // too short to be a key
  }
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
  const reader = wireReader(blob);
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

/** A public key blob as node:crypto takes it; null for types it cannot hold. Throws on malformed ones. */
export function nodeKeyOf(keyBlob: Buffer): KeyObject | null {
  const reader = wireReader(keyBlob);
  const type = reader.text();
  if (type === 'ssh-rsa') {
    const exponent = magnitude(reader.string());
    return jwk({ kty: 'RSA', e: toBase64url(exponent), n: toBase64url(magnitude(reader.string())) });
  }
  if (type === 'ssh-ed25519' || type === 'sk-ssh-ed25519@openssh.com')
    return jwk({ kty: 'OKP', crv: 'Ed25519', x: toBase64url(reader.string()) });
  const curve = /^(?:sk-)?ecdsa-sha2-nistp(256|384|521)(?:@openssh\.com)?$/.exec(type)?.[1];
  if (curve === undefined) return null;
  const named = reader.text();
  const point = reader.string();
  const width = Math.ceil(Number(curve) / 8);
  if (named !== `nistp${curve}` || point[0] !== 4 || point.length !== 1 + 2 * width) return null;
  return jwk({
    kty: 'EC',
    crv: `P-${curve}`,
    x: toBase64url(point.subarray(1, 1 + width)),
    y: toBase64url(point.subarray(1 + width)),
  });
}

function jwk(key: Record<string, string>): KeyObject {
  return createPublicKey({ key, format: 'jwk' });
}
