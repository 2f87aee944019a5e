// PuTTY key files (PPK versions 2 and 3), after the appendix "PPK file format" of the PuTTY manual.
import { createDecipheriv, createHash, createHmac, timingSafeEqual, type KeyObject } from 'node:crypto';
import { argon2d, argon2i, argon2id } from '@noble/hashes/argon2.js';
import { publicKeyFromBlob, type PublicKey } from './public-key.ts';
import {
  dsaUnsupported,
  ecdsaPrivateKey,
  ed25519PrivateKey,
  KeyError,
  rsaPrivateKey,
} from './private-key.ts';
import { wireReader, wireString } from './wire.ts';

export interface PuttyFile {
  readonly version: 2 | 3;
  readonly type: string;
  readonly encryption: string;
  readonly comment: string;
  readonly publicKey: PublicKey;
  readonly locked: Buffer;
  readonly mac: Buffer;
  readonly fields: ReadonlyMap<string, string>;
}

/** The file without opening it; null when the text is no PPK. Throws KeyError damaged or unsupported. */
export function parsePutty(text: string): PuttyFile | null {
  const version = /^PuTTY-User-Key-File-(\d+):/.exec(text)?.[1];
  if (version === undefined) return null;
  if (version !== '2' && version !== '3')
    throw new KeyError(
      'unsupported',
      `PPK version ${version}; puttygen FILE -O private-openssh -o NEW makes one we read`,
    );
  const { fields, blocks } = readFields(text.split(/\r\n|\r|\n/));
  const publicBlob = blocks.get('Public-Lines');
  const locked = blocks.get('Private-Lines');
  const mac = fields.get('Private-MAC');
  if (publicBlob === undefined || locked === undefined || mac === undefined)
    throw new KeyError('damaged', 'it is cut short or damaged');
  return {
    version: version === '2' ? 2 : 3,
    type: fields.get(`PuTTY-User-Key-File-${version}`) ?? '',
    encryption: fields.get('Encryption') ?? '',
    comment: fields.get('Comment') ?? '',
    publicKey: readPublic(publicBlob),
    locked,
    mac: Buffer.from(mac, 'hex'),
    fields,
  };
}

function readPublic(blob: Buffer): PublicKey {
  try {
    return publicKeyFromBlob(blob);
  } catch {
    throw new KeyError('damaged', 'it is cut short or damaged');
  }
}

function readFields(lines: readonly string[]): { fields: Map<string, string>; blocks: Map<string, Buffer> } {
  const fields = new Map<string, string>();
  const blocks = new Map<string, Buffer>();
  for (let index = 0; index < lines.length; index += 1) {
    const match = /^([A-Za-z0-9-]+): ?(.*)$/.exec(lines[index] ?? '');
    if (match === null) continue;
    const [, name = '', value = ''] = match;
    fields.set(name, value);
    if (!name.endsWith('-Lines')) continue;
    // A count below zero would lead back to this very line, for ever.
    const count = /^\d{1,9}$/.test(value) ? Number(value) : 0;
    blocks.set(name, Buffer.from(lines.slice(index + 1, index + 1 + count).join(''), 'base64'));
    index += count;
  }
  return { fields, blocks };
}

export function puttyLocked(file: PuttyFile): boolean {
  return file.encryption !== 'none';
}

/** The private key. Throws KeyError passphrase-wrong when the MAC does not fit. Slow (Argon2): not for the main thread. */
export function openPutty(file: PuttyFile, passphrase: string): KeyObject {
  if (file.encryption !== 'none' && file.encryption !== 'aes256-cbc')
    throw new KeyError('unsupported', `its cipher ${file.encryption} is not known`);
  const keys = file.version === 2 ? keysOfVersion2(passphrase) : keysOfVersion3(file, passphrase);
  let secret = file.locked;
  if (secret.length % (puttyLocked(file) ? 16 : 1) !== 0) throw new KeyError('damaged', 'it is damaged');
  if (puttyLocked(file)) {
    const decipher = createDecipheriv('aes-256-cbc', keys.key, keys.iv).setAutoPadding(false);
    secret = Buffer.concat([decipher.update(file.locked), decipher.final()]);
  }
  const covered = [file.type, file.encryption, file.comment].map((text) => wireString(text));
  const mac = createHmac(file.version === 2 ? 'sha1' : 'sha256', keys.mac)
    .update(Buffer.concat([...covered, wireString(file.publicKey.blob), wireString(secret)]))
    .digest();
  if (mac.length !== file.mac.length || !timingSafeEqual(mac, file.mac)) {
    if (puttyLocked(file)) throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
    throw new KeyError('damaged', 'it is damaged');
  }
  return readKey(file, secret);
}

interface PuttyKeys {
  readonly key: Buffer;
  readonly iv: Buffer;
  readonly mac: Buffer;
}

function keysOfVersion2(passphrase: string): PuttyKeys {
  const part = (counter: number): Buffer =>
    createHash('sha1')
      .update(Buffer.from([0, 0, 0, counter]))
      .update(passphrase)
      .digest();
  return {
    key: Buffer.concat([part(0), part(1)]).subarray(0, 32),
    iv: Buffer.alloc(16),
    mac: createHash('sha1').update('putty-private-key-file-mac-key').update(passphrase).digest(),
  };
}

const derivations = new Map([
  ['Argon2id', argon2id],
  ['Argon2i', argon2i],
  ['Argon2d', argon2d],
]);

function keysOfVersion3(file: PuttyFile, passphrase: string): PuttyKeys {
  if (!puttyLocked(file)) return { key: Buffer.alloc(0), iv: Buffer.alloc(0), mac: Buffer.alloc(0) };
  const number = (name: string): number => Number.parseInt(file.fields.get(name) ?? '', 10);
  const derive = derivations.get(file.fields.get('Key-Derivation') ?? '');
  if (derive === undefined) throw new KeyError('unsupported', 'its key derivation is not known');
  const salt = Buffer.from(file.fields.get('Argon2-Salt') ?? '', 'hex');
  const cost = { m: number('Argon2-Memory'), t: number('Argon2-Passes'), p: number('Argon2-Parallelism') };
  if (!(cost.m <= 1_048_576 && cost.t <= 10_000 && cost.p <= 256))
    throw new KeyError('damaged', 'its key derivation asks for absurd effort');
  let bytes: Buffer;
  try {
    bytes = Buffer.from(derive(Buffer.from(passphrase, 'utf8'), salt, { ...cost, dkLen: 80 }));
  } catch {
    throw new KeyError('damaged', 'its key derivation is damaged'); // Argon2 has no such salt, passes or memory
  }
  return { key: bytes.subarray(0, 32), iv: bytes.subarray(32, 48), mac: bytes.subarray(48) };
}

function readKey(file: PuttyFile, secret: Buffer): KeyObject {
  try {
    const open = wireReader(file.publicKey.blob);
    const type = open.text();
    const hidden = wireReader(secret);
    if (type === 'ssh-ed25519') {
      // an mpint in little endian: a short one lost its trailing zeros
      const seed = Buffer.alloc(32);
      hidden.string().copy(seed);
      return ed25519PrivateKey(open.string(), seed);
    }
    if (type.startsWith('ecdsa-sha2-')) return ecdsaPrivateKey(open.text(), open.string(), hidden.mpint());
    if (type === 'ssh-rsa') {
      const [e, n] = [open.mpint(), open.mpint()];
      const [d, p, q, inverse] = [hidden.mpint(), hidden.mpint(), hidden.mpint(), hidden.mpint()];
      return rsaPrivateKey({ n, e, d, p, q, inverse });
    }
    throw new KeyError('unsupported', type === 'ssh-dss' ? dsaUnsupported : `its type ${type} is not known`);
  } catch (error) {
    if (error instanceof KeyError) throw error;
    throw new KeyError('damaged', 'it is damaged');
  }
}
