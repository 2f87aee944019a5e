// Public keys: SSH blobs (RFC 4253 6.6, 5656, 8709) made from and turned into words; no file is touched here.
import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { wireMpint, wireReader, wireString } from './wire.ts';

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

/** SHA256:… without padding, as ssh-keygen -l prints it. */
export function fingerprintOf(blob: Buffer): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;
}

/** ED25519, RSA, ECDSA, ED25519-SK, ECDSA-SK, DSA, with -CERT for certificates: ssh-keygen's words. */
export function typeWord(type: string): string {
  const certificate = type.includes('-cert-v0') ? '-CERT' : '';
  const plain = type.replace(/-cert-v0\d@openssh\.com$/, '').replace(/@openssh\.com$/, '');
  const words: Readonly<Record<string, string>> = {
    'ssh-ed25519': 'ED25519',
    'ssh-rsa': 'RSA',
    'ssh-dss': 'DSA',
    'sk-ssh-ed25519': 'ED25519-SK',
    'sk-ecdsa-sha2-nistp256': 'ECDSA-SK',
  };
  return `${words[plain] ?? (plain.startsWith('ecdsa-sha2-') ? 'ECDSA' : plain)}${certificate}`;
}

/** Security keys answer only to a touch, through the agent. */
export function isSecurityKey(type: string): boolean {
  return type.startsWith('sk-');
}
