// User certificates (PROTOCOL.certkeys of OpenSSH): what one says, and which key it belongs to. Pure.
import { cleanText } from '../model/clean.ts';
import { fingerprintOf, typeWord, type PublicKey } from './key-public.ts';
import { wireReader, wireString, type WireReader } from './wire.ts';

export interface UserCertificate extends PublicKey {
  /** The key it certifies, as a plain blob. */
  readonly key: PublicKey;
  /** False: it is a host's certificate, of no use for a login. */
  readonly forUsers: boolean;
  readonly keyId: string;
  readonly principals: readonly string[];
  /** Seconds since 1970. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
}

const suffix = /-cert-v01@openssh\.com$/;

export function isCertificateType(type: string): boolean {
  return suffix.test(type);
}

/** The plain type in a certificate's type: "ssh-ed25519-cert-v01@openssh.com" gives "ssh-ed25519". */
export function plainType(type: string): string {
  const plain = type.replace(suffix, '');
  return plain.startsWith('sk-') && plain !== type ? `${plain}@openssh.com` : plain;
}

/** How many fields of the key follow the nonce. */
const keyFields: Readonly<Record<string, number>> = {
  'ssh-rsa': 2,
  'ssh-ed25519': 1,
  'ecdsa-sha2-nistp256': 2,
  'ecdsa-sha2-nistp384': 2,
  'ecdsa-sha2-nistp521': 2,
  'sk-ssh-ed25519@openssh.com': 2,
  'sk-ecdsa-sha2-nistp256@openssh.com': 3,
};

/** Null when the blob is no certificate we can read. */
export function parseUserCertificate(blob: Buffer): UserCertificate | null {
  try {
    const reader = wireReader(blob);
    const type = reader.text();
    const plain = plainType(type);
    const count = keyFields[plain];
    if (!isCertificateType(type) || count === undefined) return null;
    reader.string(); // nonce
    const fields = Array.from({ length: count }, () => wireString(reader.string()));
    const key = { type: plain, blob: Buffer.concat([wireString(plain), ...fields]) };
    return { type, blob, key, ...readTerms(reader) };
  } catch {
    return null; // cut short: no certificate
  }
}

function readTerms(reader: WireReader): Omit<UserCertificate, 'type' | 'blob' | 'key'> {
  reader.uint64(); // serial
  const forUsers = reader.uint32() === 1;
  const keyId = reader.text();
  const list = wireReader(reader.string());
  const principals: string[] = [];
  while (list.left > 0) principals.push(list.text());
  return { forUsers, keyId, principals, validAfter: reader.uint64(), validBefore: reader.uint64() };
}

/** Where a moment lies in a certificate's time. */
export function validityAt(certificate: UserCertificate, nowMs: number): 'valid' | 'expired' | 'not-yet' {
  const now = BigInt(Math.floor(nowMs / 1000));
  if (now >= certificate.validBefore) return 'expired';
  return now < certificate.validAfter ? 'not-yet' : 'valid';
}

/** "ED25519-CERT SHA256:…": the fingerprint is the key's, as ssh-keygen -L shows it. */
export function certificateWords(certificate: UserCertificate): string {
  return `${typeWord(certificate.type)} ${fingerprintOf(certificate.key.blob)}`;
}

/** What may be wrong with it, for the words of a refusal; empty when nothing shows. */
export function certificateDoubts(certificate: UserCertificate, user: string, nowMs: number): string {
  const day = (seconds: bigint): string =>
    new Date(Math.min(Number(seconds), 253_402_300_799) * 1000).toISOString().replace(/:\d\d\.000Z$/, 'Z');
  const doubts: string[] = [];
  const validity = validityAt(certificate, nowMs);
  if (validity === 'expired') doubts.push(`expired ${day(certificate.validBefore)}`);
  if (validity === 'not-yet') doubts.push(`valid from ${day(certificate.validAfter)}`);
  const { principals } = certificate;
  if (principals.length > 0 && !principals.includes(user))
    doubts.push(`for ${principals.map(cleanText).join(', ')}`);
  return doubts.join(', ');
}
