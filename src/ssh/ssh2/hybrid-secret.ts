// The hybrid secret of mlkem768x25519-sha256 (draft-ietf-sshm-mlkem-hybrid-kex 2.1 to 2.4), the client's side.
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';

export const hybridKex = 'mlkem768x25519-sha256';

/** FIPS 203, table 3: bytes of a key and of a ciphertext of ML-KEM-768; X25519 keys have 32. */
const kemCiphertext = 1088;
const curveKey = 32;

/** One exchange: fresh keys, used once. */
export interface HybridExchange {
  /** C_INIT: the ML-KEM key (1184 bytes), then the X25519 key. */
  readonly init: Buffer;
  /**
   * K from S_REPLY (the ML-KEM ciphertext, then the server's X25519 key): SHA-256 over both secrets, to be hashed as a
   * string. Throws RangeError for a reply of another length, and as node:crypto does for an X25519 key of low order.
   */
  secret(reply: Buffer): Buffer;
}

/** SubjectPublicKeyInfo of an X25519 key (RFC 8410 4) up to the key itself. */
const spkiHead = Buffer.from('302a300506032b656e032100', 'hex');

export function startHybridExchange(): HybridExchange {
  const kem = ml_kem768.keygen();
  const curve = generateKeyPairSync('x25519');
  const ownPoint = curve.publicKey.export({ type: 'spki', format: 'der' }).subarray(spkiHead.length);
  return {
    init: Buffer.concat([kem.publicKey, ownPoint]),
    secret(reply) {
      if (reply.length !== kemCiphertext + curveKey)
        throw new RangeError(`the server's key exchange reply has ${reply.length} bytes, not 1120`);
      const quantum = ml_kem768.decapsulate(reply.subarray(0, kemCiphertext), kem.secretKey);
      const point = Buffer.concat([spkiHead, reply.subarray(kemCiphertext)]);
      const theirs = createPublicKey({ key: point, format: 'der', type: 'spki' });
      const classical = diffieHellman({ privateKey: curve.privateKey, publicKey: theirs });
      const secret = createHash('sha256').update(quantum).update(classical).digest();
      for (const spent of [kem.secretKey, quantum, classical]) spent.fill(0);
      return secret;
    },
  };
}
