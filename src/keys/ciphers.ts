// Ciphers of key files: every one ssh-keygen -Z offers, for bytes that are encrypted once and whole.
import { createDecipheriv, timingSafeEqual } from 'node:crypto';
import { poly1305 } from '@noble/ciphers/_poly1305.js';
import { KeyError } from './private-key.ts';

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
export function keyCipher(name: string): KeyCipher {
  const cipher = ciphers[name];
  if (cipher === undefined) throw new KeyError('unsupported', `its cipher ${name} is not known`);
  return cipher;
}
