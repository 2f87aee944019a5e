// Decryption of key files with a passphrase, by every cipher ssh-keygen -Z offers. Runs in the key thread, since every derivation is slow.
import { type KeyObject, createDecipheriv, timingSafeEqual } from 'node:crypto';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import bcrypt from 'bcrypt-pbkdf';
import { openPem, outlineKey } from './key-file.ts';
import { parseOpensshEnvelope, parseOpensshSecret, type OpensshEnvelope } from './openssh-file.ts';
import { KeyError } from './private-key.ts';
import { openPutty, parsePutty } from './putty-file.ts';

/** Throws KeyError: passphrase-wrong, damaged or unsupported. */
export function unlockKey(text: string, passphrase: string): KeyObject {
  const outline = outlineKey(text);
  if (outline.key !== null) return outline.key;
  const envelope = parseOpensshEnvelope(text);
  if (envelope !== null) return unlockOpenssh(envelope, passphrase);
  const putty = parsePutty(text);
  if (putty !== null) return openPutty(putty, passphrase);
  return openPem(text, passphrase);
}

function unlockOpenssh(envelope: OpensshEnvelope, passphrase: string): KeyObject {
  const cipher = keyCipher(envelope.cipher);
  if (envelope.kdf !== 'bcrypt')
    throw new KeyError('unsupported', `its derivation ${envelope.kdf} is not known`);
  // bcrypt_pbkdf takes no empty passphrase, and ssh-keygen writes no such file
  if (passphrase === '') throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
  if (envelope.tag.length !== cipher.tagLength || envelope.locked.length % cipher.blockSize !== 0)
    throw new KeyError('damaged', 'it is cut short or damaged');
  if (envelope.rounds < 1 || envelope.rounds > 1_000_000)
    throw new KeyError('damaged', 'its number of rounds is absurd');
  const secret = Buffer.from(passphrase, 'utf8');
  const derived = Buffer.alloc(cipher.keyLength + cipher.ivLength);
  const failed = bcrypt.pbkdf(
    secret,
    secret.length,
    envelope.salt,
    envelope.salt.length,
    derived,
    derived.length,
    envelope.rounds,
  );
  if (failed !== 0) throw new KeyError('damaged', 'its salt is damaged');
  const bytes = cipher.decrypt(
    derived.subarray(0, cipher.keyLength),
    derived.subarray(cipher.keyLength),
    envelope.locked,
    envelope.tag,
  );
  return parseOpensshSecret(bytes, true);
}

interface KeyCipher {
  readonly keyLength: number;
  readonly ivLength: number;
  readonly tagLength: number;
  readonly blockSize: number;
  /** Throws KeyError passphrase-wrong when a tag says so. */
  decrypt(key: Buffer, iv: Buffer, encrypted: Buffer, tag: Buffer): Buffer;
}

function plain(name: string, keyLength: number, blockSize = 16): KeyCipher {
  return {
    keyLength,
    ivLength: blockSize,
    tagLength: 0,
    blockSize,
    decrypt(key, iv, encrypted) {
      const decipher = createDecipheriv(name, key, iv).setAutoPadding(false);
      return Buffer.concat([decipher.update(encrypted), decipher.final()]);
    },
  };
}

function gcm(name: 'aes-128-gcm' | 'aes-256-gcm', keyLength: number): KeyCipher {
  return {
    keyLength,
    ivLength: 12,
    tagLength: 16,
    blockSize: 16,
    decrypt(key, iv, encrypted, tag) {
      const decipher = createDecipheriv(name, key, iv).setAuthTag(tag);
      try {
        return Buffer.concat([decipher.update(encrypted), decipher.final()]);
      } catch {
        throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
      }
    },
  };
}

/** PROTOCOL.chacha20poly1305 of OpenSSH with sequence number 0 and no additional data: only the main key is used. */
const chacha20Poly1305: KeyCipher = {
  keyLength: 64,
  ivLength: 0,
  tagLength: 16,
  blockSize: 8,
  decrypt(key, _iv, encrypted, tag) {
    const main = key.subarray(0, 32);
    // OpenSSL's iv: a 64-bit block counter, little endian, then the nonce (the sequence number)
    const stream = (counter: number): Buffer => Buffer.concat([Buffer.from([counter]), Buffer.alloc(15)]);
    const polyKey = createDecipheriv('chacha20', main, stream(0)).update(Buffer.alloc(32));
    const expected = poly1305(encrypted, polyKey);
    if (!timingSafeEqual(expected, tag)) throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
    return createDecipheriv('chacha20', main, stream(1)).update(encrypted);
  },
};

const ciphers: Readonly<Record<string, KeyCipher>> = {
  'aes128-ctr': plain('aes-128-ctr', 16),
  'aes192-ctr': plain('aes-192-ctr', 24),
  'aes256-ctr': plain('aes-256-ctr', 32),
  'aes128-cbc': plain('aes-128-cbc', 16),
  'aes192-cbc': plain('aes-192-cbc', 24),
  'aes256-cbc': plain('aes-256-cbc', 32),
  'rijndael-cbc@lysator.liu.se': plain('aes-256-cbc', 32),
  '3des-cbc': plain('des-ede3-cbc', 24, 8),
  'aes128-gcm@openssh.com': gcm('aes-128-gcm', 16),
  'aes256-gcm@openssh.com': gcm('aes-256-gcm', 32),
  'chacha20-poly1305@openssh.com': chacha20Poly1305,
};

/** Throws KeyError unsupported for a name we do not know. */
function keyCipher(name: string): KeyCipher {
  const cipher = Object.hasOwn(ciphers, name) ? ciphers[name] : undefined;
  if (cipher === undefined) throw new KeyError('unsupported', `its cipher ${name} is not known`);
  return cipher;
}
