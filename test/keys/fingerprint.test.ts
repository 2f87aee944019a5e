// Fingerprints, sizes and randomart, compared with what ssh-keygen prints.
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { fingerprint, randomart, readFingerprint } from '../../src/keys/fingerprint.ts';
import { certify, testKey } from '../trust/keys.ts';
import { keyBits, keyType, keyWeakness, shortTypeName } from '../../src/keys/public-key.ts';

const kinds = [
  ['-t', 'ed25519'],
  ['-t', 'ecdsa', '-b', '256'],
  ['-t', 'ecdsa', '-b', '384'],
  ['-t', 'ecdsa', '-b', '521'],
  ['-t', 'rsa', '-b', '2048'],
  ['-t', 'rsa', '-b', '3072'],
];

describe('a fingerprint', () => {
  test.each(kinds.map((kind) => [kind]))('of %j is drawn exactly as ssh-keygen -lv draws it', (kind) => {
    for (let round = 0; round < (kind[1] === 'ed25519' ? 12 : 2); round++) {
      const key = testKey(kind);
      const said = execFileSync('ssh-keygen', ['-lv', '-f', `${key.path}.pub`], { encoding: 'utf8' });
      const [summary = '', ...art] = said.trimEnd().split('\n');
      expect(randomart(key.blob)).toEqual(art);
      expect(`${keyBits(key.blob)} ${fingerprint(key.blob)}`).toBe(summary.split(' ').slice(0, 2).join(' '));
      expect(summary).toContain(`(${shortTypeName(key.type)})`);
    }
  });

  test('of a certificate carries its own name, and the size of the key inside', () => {
    const certificate = certify(testKey(), testKey(['-t', 'rsa', '-b', '2048']), [
      '-I',
      'x',
      '-h',
      '-n',
      'h',
    ]);
    expect(shortTypeName(certificate.type)).toBe('RSA-CERT');
    expect(keyBits(certificate.blob)).toBe(2048);
    expect(randomart(certificate.blob)[0]).toBe('+-[RSA-CERT 2048]-+');
  });

  test('is read as people paste it', () => {
    const key = testKey();
    const print = fingerprint(key.blob);
    for (const pasted of [print, ` ${print}\n`, print.slice(7), `${print}=`])
      expect(readFingerprint(pasted)).toBe(print);
    for (const other of ['yes', '', 'SHA256:abc', 'MD5:00:11', `${print}x`])
      expect(readFingerprint(other)).toBeNull();
  });
});

describe('bytes that are no key', () => {
  test.each([Buffer.alloc(0), Buffer.from('00', 'hex'), Buffer.from('ffffffff61', 'hex'), Buffer.alloc(64)])(
    '%# have no type, no size, and are a weakness',
    (bytes) => {
      expect(keyType(bytes)).toBe('');
      expect(keyBits(bytes)).toBe(0);
      expect(keyWeakness(bytes)).not.toBeNull();
      expect(randomart(bytes)).toHaveLength(11);
    },
  );
});
