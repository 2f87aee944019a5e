// Host certificates: ssh2 knows none, but hashes and checks what it is shown (SSH2.md 4). Their type is let through
// its lists, the certificate is judged by us, and its plain key is what ssh2 then checks the signature with.
import type { Client } from 'ssh2';
import { isCertificateType } from '../../keys/algorithms.ts';
import { hostKeyTypeList, privateParts } from './internals.ts';

/** Offered where a CA is known for the host, best first. */
export const certificateTypes: readonly string[] = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
];

/** What an RSA certificate calls itself, whatever it is negotiated and signed as (PROTOCOL.certkeys). */
const rsaCertificate = 'ssh-rsa-cert-v01@openssh.com';

const supported = hostKeyTypeList();
for (const type of certificateTypes) if (!supported.includes(type)) supported.push(type);

export interface HostCertificates {
  /** Before ssh2 sees a chunk: an RSA certificate has another name than its algorithm, which ssh2 compares. */
  expect(): void;
  /** In the verifier: from here on ssh2 checks the signature with `plainKey`. On every key exchange. */
  unwrap(plainKey: Buffer): void;
}

export function hostCertificates(client: Client): HostCertificates {
  const protocol = privateParts(client)._protocol;
  /** The signature algorithm that the negotiated certificate type stands for. */
  let signedAs = '';
  return {
    expect() {
      const negotiated = protocol._kex?.negotiated;
      if (negotiated === undefined || !isCertificateType(negotiated.serverHostKey)) return;
      if (negotiated.serverHostKey === rsaCertificate) return;
      signedAs = negotiated.serverHostKey.replace('-cert-v01@openssh.com', '');
      if (signedAs.startsWith('rsa-')) negotiated.serverHostKey = rsaCertificate;
    },
    unwrap(plainKey) {
      const kex = protocol._kex;
      const presented = kex?._hostKey;
      if (kex === undefined || presented === undefined) return;
      const typeLength = plainKey.readUInt32BE(0);
      const type = plainKey.toString('latin1', 4, 4 + typeLength);
      const fields = plainKey.subarray(4 + typeLength);
      kex.negotiated.serverHostKey = signedAs;
      // kex.js reads the type with utf8Slice and the rest with slice; the exchange hash takes the bytes themselves
      Object.assign(presented, { utf8Slice: () => type, slice: () => fields });
    },
  };
}
