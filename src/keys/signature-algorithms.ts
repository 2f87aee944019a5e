// Signature algorithms: which to sign with for a key on a server. SHA-1 never, unless the config names ssh-rsa. Pure.
import { isCertificateType, plainKeyType } from './certificate.ts';

export interface SignatureChoice {
  /** In the request: a certificate's own type, or the signature's for a plain key. */
  readonly requested: string;
  /** In the signature. */
  readonly signature: string;
}

/** What RSA keys sign with, best first (RFC 8332). */
const rsaHashes = ['rsa-sha2-512', 'rsa-sha2-256'] as const;
const insecure = ['ssh-rsa', 'ssh-dss'];

/**
 * Choices in order; empty when none is allowed on both sides. `configured`: pubkey_algorithms, null for our defaults.
 * `offered`: the server's server-sig-algs (RFC 8308), null when it sent none: such a server may well know SHA-2.
 */
export function signatureChoices(
  keyType: string,
  configured: readonly string[] | null,
  offered: readonly string[] | null,
): readonly SignatureChoice[] {
  const certificate = isCertificateType(keyType);
  const signatures =
    plainKeyType(keyType) === 'ssh-rsa' ? rsaSignatures(configured, offered) : [plainKeyType(keyType)];
  return signatures
    .map((signature) => ({
      requested: certificate ? `${signature.replace(/@openssh\.com$/, '')}-cert-v01@openssh.com` : signature,
      signature,
    }))
    .filter(({ requested }) =>
      configured === null ? !insecure.includes(plainKeyType(requested)) : configured.includes(requested),
    );
}

function rsaSignatures(
  configured: readonly string[] | null,
  offered: readonly string[] | null,
): readonly string[] {
  const sha1 =
    configured?.some((name) => name === 'ssh-rsa' || name === 'ssh-rsa-cert-v01@openssh.com') ?? false;
  const allowed = (name: string): boolean =>
    configured === null || configured.includes(name) || configured.includes(`${name}-cert-v01@openssh.com`);
  const modern = rsaHashes.find((name) => allowed(name) && (offered === null || offered.includes(name)));
  const old = sha1 && (offered === null || offered.includes('ssh-rsa')) ? ['ssh-rsa'] : [];
  return modern === undefined ? old : [modern, ...old];
}
