// OpenSSH certificates (PROTOCOL.certkeys), of users and of hosts: what one says, whether its CA signed it, and for whom it speaks now. Pure.
import { cleanText } from '../model/clean.ts';
import { isCertificateType, keyAlgorithm, plainKeyType } from './algorithms.ts';
import { fingerprint } from './fingerprint.ts';
import { keyType, shortTypeName, type PublicKey } from './public-key.ts';
import { signatureAlgorithm, verifySignature } from './sign.ts';
import { wireReader, wireString, wireStrings, type WireReader } from './wire.ts';

/** `type` is "ssh-ed25519-cert-v01@openssh.com" and its kin, `blob` the whole certificate. */
export interface Certificate extends PublicKey {
  readonly use: 'user' | 'host' | 'unknown';
  readonly keyId: string;
  readonly serial: bigint;
  readonly principals: readonly string[];
  /** Seconds since 1970; the last second is `validBefore - 1`. 2^64-1 in `validBefore` means for ever. */
  readonly validAfter: bigint;
  readonly validBefore: bigint;
  readonly criticalOptions: readonly string[];
  readonly extensions: readonly string[];
  /** The plain key that is certified. */
  readonly key: PublicKey;
  readonly caKey: Buffer;
  readonly caFingerprint: string;
  /** The part that is signed, and the signature over it. */
  readonly signed: Buffer;
  readonly signature: Buffer;
}

/** Null when the blob is no well-formed certificate of a known key type. Nothing is verified here. */
export function parseCertificate(blob: Buffer): Certificate | null {
  try {
    return readCertificate(blob);
  } catch {
    return null; // RangeError: cut short or malformed
  }
}

/** The plain key that a blob is about: of a certificate the one in it. */
export function plainKey(blob: Buffer): Buffer {
  return isCertificateType(keyType(blob)) ? (parseCertificate(blob)?.key.blob ?? blob) : blob;
}

function readCertificate(blob: Buffer): Certificate | null {
  const reader = wireReader(blob);
  const type = reader.text();
  const plain = plainKeyType(type);
  const fields = keyAlgorithm(plain)?.fields;
  if (fields === undefined || plain === type) return null;
  reader.string(); // the nonce
  const own = Array.from({ length: fields }, () => wireString(reader.string()));
  const claims = readClaims(reader);
  const caKey = reader.string();
  const signed = blob.subarray(0, reader.position);
  const signature = reader.string();
  if (reader.left > 0) return null;
  const caFingerprint = fingerprint(caKey);
  const key = { type: plain, blob: Buffer.concat([wireString(plain), ...own]) };
  return { type, blob, ...claims, key, caKey, caFingerprint, signed, signature };
}

function readClaims(
  reader: WireReader,
): Omit<Certificate, keyof PublicKey | 'key' | 'caKey' | 'caFingerprint' | 'signed' | 'signature'> {
  const serial = reader.uint64();
  const use = reader.uint32();
  const keyId = reader.text();
  const principals = wireStrings(reader.string());
  const validAfter = reader.uint64();
  const validBefore = reader.uint64();
  const criticalOptions = optionNames(reader.string());
  const extensions = optionNames(reader.string());
  reader.string(); // reserved
  return {
    use: use === 1 ? 'user' : use === 2 ? 'host' : 'unknown',
    serial,
    keyId,
    principals,
    validAfter,
    validBefore,
    criticalOptions,
    extensions,
  };
}

/** Options are pairs of a name and its packed value. RangeError for a name without. */
function optionNames(bytes: Buffer): string[] {
  const strings = wireStrings(bytes);
  if (strings.length % 2 !== 0) throw new RangeError('an option has no value');
  return strings.filter((_, index) => index % 2 === 0);
}

/** OpenSSH reads no more names from one certificate (SSHKEY_CERT_MAX_PRINCIPALS in sshkey.h). */
const mostPrincipals = 256;

/**
 * Why OpenSSH would not even read the certificate, null when it would (cert_parse in sshkey.c): then nothing that it
 * brings counts, its plain key neither. A signature with SHA-1 it reads, and believes nothing of.
 */
export function certificateDamage(certificate: Certificate): string | null {
  const { use, principals, caKey, signed, signature } = certificate;
  if (use === 'unknown') return 'its kind is neither user nor host';
  if (principals.length > mostPrincipals) return `it has ${principals.length} principals`;
  if (isCertificateType(keyType(caKey))) return 'it was signed by another certificate';
  if (isSha1(signature)) return null;
  return verifySignature(caKey, signed, signature) ? null : "its CA's signature is wrong";
}

const isSha1 = (signature: Buffer): boolean => ['ssh-rsa', 'ssh-dss'].includes(signatureAlgorithm(signature));

/**
 * Why the certificate does not speak for a host, null when it does. Same checks as sshkey_cert_check_host in OpenSSH 10:
 * principals are compared letter by letter without wildcards, there must be one (older ones took none for any host),
 * and every critical option is one too many, since no option for hosts is defined. `host` is the name without port, or
 * the alias.
 */
export function certificateProblem(certificate: Certificate, host: string, nowMs: number): string | null {
  if (certificate.use !== 'host') return 'it is not a host certificate';
  const now = BigInt(Math.floor(nowMs / 1000));
  if (now < certificate.validAfter) return `it is not valid before ${formatTime(certificate.validAfter)}`;
  if (now >= certificate.validBefore) return `it expired ${formatTime(certificate.validBefore)}`;
  const { principals, criticalOptions } = certificate;
  if (principals.length === 0) return 'it names no host (it has no principals)';
  if (!principals.includes(host)) return `it is for ${principals.join(', ')}, not for ${host}`;
  if (criticalOptions.length > 0)
    return `it has critical options that are not known here: ${criticalOptions.join(', ')}`;
  return isSha1(certificate.signature)
    ? "its CA's signature is made with SHA-1"
    : certificateDamage(certificate);
}

/** ISO 8601, "never" for the largest number and "the beginning" for zero. */
export function formatTime(seconds: bigint): string {
  if (seconds === 0n) return 'the beginning';
  const milliseconds = seconds * 1000n;
  if (milliseconds > 8_640_000_000_000_000n) return 'never';
  return new Date(Number(milliseconds)).toISOString().replace('.000Z', 'Z');
}

/** When it is no longer valid, milliseconds since 1970; null for a certificate that is valid for ever. */
export function endOf({ validBefore }: Certificate): number | null {
  return validBefore > 8_640_000_000_000n ? null : Number(validBefore) * 1000;
}

/** Where a moment lies in a certificate's time. */
export function validityAt(certificate: Certificate, nowMs: number): 'valid' | 'expired' | 'not-yet' {
  const now = BigInt(Math.floor(nowMs / 1000));
  if (now >= certificate.validBefore) return 'expired';
  return now < certificate.validAfter ? 'not-yet' : 'valid';
}

/** "ED25519-CERT SHA256:…": the fingerprint is the key's, as ssh-keygen -L shows it. */
export function certificateWords(certificate: Certificate): string {
  return `${shortTypeName(certificate.type)} ${fingerprint(certificate.key.blob)}`;
}

/** Likely faults of a certificate, for the words of a refusal; empty when none shows. */
export function certificateDoubts(certificate: Certificate, user: string, nowMs: number): string {
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
