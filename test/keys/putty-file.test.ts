// PuTTY's key files, as puttygen 0.78 wrote them: read with their passphrase, and never with another.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { outlineKey } from '../../src/keys/key-file.ts';
import { KeyError } from '../../src/keys/private-key.ts';
import { publicKeyOf } from '../../src/keys/public-key.ts';
import { unlockKey } from '../../src/keys/decrypt.ts';

const folder = join(import.meta.dirname, '../fixtures/putty');
const files = readdirSync(folder).filter((name) => name.endsWith('.ppk'));
const textOf = (name: string): string => readFileSync(join(folder, name), 'utf8');
const publicOf = (name: string): string =>
  readFileSync(join(folder, name.replace(/(-locked)?\.ppk$/, '.pub')), 'utf8').split(' ')[1] ?? '';

describe('a PuTTY key file', () => {
  test.each(files)('%s is read', (name) => {
    const outline = outlineKey(textOf(name));
    expect(outline.format).toBe('putty');
    expect(outline.locked).toBe(name.includes('locked'));
    expect(outline.publicKey?.blob.toString('base64')).toBe(publicOf(name));
    const key = outline.key ?? unlockKey(textOf(name), 'correct horse');
    expect(publicKeyOf(key).blob.toString('base64')).toBe(publicOf(name));
  });

  test.each(files.filter((name) => name.includes('locked')))(
    '%s is not read with a wrong passphrase',
    (name) => {
      expect(() => unlockKey(textOf(name), 'wrong')).toThrow('the passphrase is wrong');
    },
  );

  test('that was altered is not believed', () => {
    const text = textOf('ed25519-v3.ppk').replace('Comment: test key', 'Comment: best key');
    expect(() => outlineKey(text)).toThrow('it is damaged');
  });

  test('with Windows line ends is read', () => {
    expect(outlineKey(textOf('ed25519-v2.ppk').replaceAll('\n', '\r\n')).key).not.toBeNull();
  });

  test.each([
    ['Argon2-Memory: 8192', 'Argon2-Memory: 0'],
    ['Argon2-Parallelism: 1', 'Argon2-Parallelism: 0'],
    ['Argon2-Passes: ', 'Argon2-Passes: -'],
    ['Key-Derivation: Argon2id', 'Key-Derivation: toString'],
    ['Key-Derivation: Argon2id', 'Key-Derivation: constructor'],
  ])('whose key derivation cannot be is told as such: %s as %s', (written, instead) => {
    const text = textOf('ed25519-v3-locked.ppk');
    expect(text).toContain(written);
    const unlock = (): unknown => unlockKey(text.replace(written, instead), 'correct horse');
    expect(unlock).toThrow(KeyError);
    expect(unlock).toThrow(/derivation/);
  });

  test('cut short anywhere is told so', () => {
    const text = textOf('ed25519-v3-locked.ppk');
    for (let length = 30; length < text.length - 70; length += 40)
      expect(() => unlockKey(text.slice(0, length), 'correct horse')).toThrow(/damaged|not known/);
  });
});
