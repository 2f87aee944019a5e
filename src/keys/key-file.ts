// Key formats: tells what a private key file is and what can be read of it without a passphrase. Cheap: main thread.
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { parseOpensshEnvelope, parseOpensshSecret } from './openssh-file.ts';
import { publicKeyOf, type PublicKey } from './public-key.ts';
import { dsaUnsupported, KeyError } from './private-key.ts';
import { openPutty, parsePutty, puttyLocked } from './putty-file.ts';

/** The open facts of a key file. */
export interface KeyOutline {
  readonly format: 'openssh' | 'pem' | 'putty';
  readonly locked: boolean;
  /** Null when the public half is locked too (encrypted PEM and PKCS#8). */
  readonly publicKey: PublicKey | null;
  /** The key itself, when it is not locked. */
  readonly key: KeyObject | null;
}

const pemFrame = /-----BEGIN ((?:RSA |EC |DSA |ENCRYPTED )?PRIVATE KEY)-----/;

/** Throws KeyError damaged or unsupported; the message ends a sentence "FILE: …". */
export function outlineKey(text: string): KeyOutline {
  const envelope = parseOpensshEnvelope(text);
  if (envelope !== null) {
    const locked = envelope.cipher !== 'none';
    const { type } = envelope.publicKey;
    if (type === 'ssh-dss') throw new KeyError('unsupported', dsaUnsupported);
    const outside = type.startsWith('sk-'); // its private half is in the token: only an agent can use it
    const key = locked || outside ? null : parseOpensshSecret(envelope.locked, false);
    return { format: 'openssh', locked, publicKey: envelope.publicKey, key };
  }
  const putty = parsePutty(text);
  if (putty !== null) {
    if (putty.publicKey.type === 'ssh-dss') throw new KeyError('unsupported', dsaUnsupported);
    const locked = puttyLocked(putty);
    return { format: 'putty', locked, publicKey: putty.publicKey, key: locked ? null : openPutty(putty, '') };
  }
  const kind = pemFrame.exec(text)?.[1];
  if (kind === undefined) throw new KeyError('damaged', 'it is not a private key file');
  if (kind === 'DSA PRIVATE KEY') throw new KeyError('unsupported', dsaUnsupported);
  if (kind === 'ENCRYPTED PRIVATE KEY' || /^Proc-Type: 4,ENCRYPTED/m.test(text))
    return { format: 'pem', locked: true, publicKey: null, key: null };
  const key = openPem(text, null);
  return { format: 'pem', locked: false, publicKey: publicKeyOf(key), key };
}

/** PKCS#1, SEC1, PKCS#8, plain or encrypted. PBKDF2 and scrypt are slow: locked ones not on the main thread. */
export function openPem(text: string, passphrase: string | null): KeyObject {
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: 'pem', ...(passphrase === null ? {} : { passphrase }) });
  } catch (error) {
    throw pemProblem(error, passphrase === null ? null : text);
  }
  if (key.asymmetricKeyType === 'dsa') throw new KeyError('unsupported', dsaUnsupported);
  try {
    publicKeyOf(key);
  } catch {
    throw new KeyError('unsupported', `SSH has no keys of type ${key.asymmetricKeyType ?? 'unknown'}`);
  }
  return key;
}

/** Of PKCS#8: object identifiers of AES (NIST, 2.16.840.1.101.3.4.1) and of triple DES in CBC (RFC 8018 B.2.2), which OpenSSL 3 has. */
const knownCiphers = [Buffer.from('6086480165030401', 'hex'), Buffer.from('2a864886f70d0307', 'hex')];

/** By a cipher that is there: what cannot be decoded is nonsense, which a wrong passphrase makes of it (one in 300). */
function isByKnownCipher(text: string): boolean {
  if (/^DEK-Info: (AES-\d+|DES-EDE3)-CBC,/m.test(text)) return true; // the head of OpenSSL's own format (RFC 1421 4.6.1.3)
  const [, body = ''] = /-----BEGIN ENCRYPTED PRIVATE KEY-----([^-]*)-----END/.exec(text) ?? [];
  const der = Buffer.from(body, 'base64');
  return knownCiphers.some((cipher) => der.includes(cipher));
}

/** `locked`: the text that was to be unlocked; null for a plain one. */
function pemProblem(error: unknown, locked: string | null): KeyError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const unsupported = code === 'ERR_OSSL_EVP_UNSUPPORTED' || code === 'ERR_OSSL_UNSUPPORTED';
  if (unsupported && (locked === null || !isByKnownCipher(locked)))
    return new KeyError(
      'unsupported',
      'its encryption is too old for OpenSSL 3; ssh-keygen -p -f FILE renews it',
    );
  // A wrong passphrase shows as a bad padding, or, by chance, as nonsense inside.
  return locked !== null
    ? new KeyError('passphrase-wrong', 'the passphrase is wrong')
    : new KeyError('damaged', 'it is cut short or damaged');
}
