// OpenSSH private key files (PROTOCOL.key): the envelope, readable without a passphrase, and what is locked inside.
import type { KeyObject } from 'node:crypto';
import { publicKeyFromBlob, type PublicKey } from './public-key.ts';
import {
  dsaUnsupported,
  ecdsaPrivateKey,
  ed25519PrivateKey,
  KeyError,
  rsaPrivateKey,
} from './private-key.ts';
import { wireReader, type WireReader } from './wire.ts';

const magic = 'openssh-key-v1\0';
const frame = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END OPENSSH PRIVATE KEY-----/;

export interface OpensshEnvelope {
  readonly cipher: string;
  readonly kdf: string;
  readonly salt: Buffer;
  readonly rounds: number;
  readonly publicKey: PublicKey;
  readonly locked: Buffer;
  readonly tag: Buffer;
}

/** The outer layer of an OpenSSH key file; null when the text is none. Throws KeyError damaged or unsupported. */
export function parseOpensshEnvelope(text: string): OpensshEnvelope | null {
  const match = frame.exec(text);
  if (match === null) return null;
  try {
    const reader = wireReader(Buffer.from(match[1] ?? '', 'base64'));
    if (reader.bytes(magic.length).toString('latin1') !== magic)
      throw new KeyError('damaged', 'it is not an OpenSSH key inside');
    const cipher = reader.text();
    const kdf = reader.text();
    const options = reader.string();
    if (reader.uint32() !== 1) throw new KeyError('unsupported', 'it holds several keys');
    const publicKey = publicKeyFromBlob(reader.string());
    const locked = reader.string();
    const { salt, rounds } = kdf === 'bcrypt' ? bcryptOptions(options) : { salt: Buffer.alloc(0), rounds: 0 };
    return { cipher, kdf, salt, rounds, publicKey, locked, tag: reader.rest() };
  } catch (error) {
    if (error instanceof KeyError) throw error;
    throw new KeyError('damaged', 'it is cut short or damaged');
  }
}

function bcryptOptions(options: Buffer): { salt: Buffer; rounds: number } {
  const reader = wireReader(options);
  return { salt: reader.string(), rounds: reader.uint32() };
}

/** The private key in the decrypted part. Check numbers that differ mean a wrong passphrase. */
export function parseOpensshSecret(bytes: Buffer, encrypted: boolean): KeyObject {
  try {
    const reader = wireReader(bytes);
    if (reader.uint32() !== reader.uint32()) {
      if (encrypted) throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
      throw new KeyError('damaged', 'it is cut short or damaged');
    }
    return readKey(reader.text(), reader);
  } catch (error) {
    if (error instanceof KeyError) throw error;
    throw new KeyError('damaged', 'it is cut short or damaged');
  }
}

function readKey(type: string, reader: WireReader): KeyObject {
  if (type === 'ssh-ed25519') {
    const publicHalf = reader.string();
    return ed25519PrivateKey(publicHalf, reader.string().subarray(0, 32));
  }
  if (type.startsWith('ecdsa-sha2-')) {
    const curve = reader.text();
    const point = reader.string();
    return ecdsaPrivateKey(curve, point, reader.mpint());
  }
  if (type === 'ssh-rsa') {
    const [n, e, d, inverse, p, q] = [
      reader.mpint(),
      reader.mpint(),
      reader.mpint(),
      reader.mpint(),
      reader.mpint(),
      reader.mpint(),
    ];
    return rsaPrivateKey({ n, e, d, p, q, inverse });
  }
  if (type === 'ssh-dss') throw new KeyError('unsupported', dsaUnsupported);
  if (type.startsWith('sk-'))
    throw new KeyError('unsupported', 'a security key is used through the agent: ssh-add FILE');
  throw new KeyError('unsupported', `its type ${type} is not known`);
}
