// Damaged key files: whatever is in them, the answer is a key or a KeyError, never anything else.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { outlineKey } from '../../src/keys/key-file.ts';
import { KeyError } from '../../src/keys/private-key.ts';
import { parsePublicLine } from '../../src/keys/public-key.ts';
import { parseCertificate } from '../../src/keys/certificate.ts';
import { unlockKey } from '../../src/keys/decrypt.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { makeKey } from '../helpers/sshd.ts';

const folder = temporaryFolder('fuzz');
const openssh = (name: string, args: readonly string[], passphrase = ''): string =>
  readFileSync(makeKey(join(folder, name), args, passphrase), 'utf8');
const putty = (name: string): string =>
  readFileSync(join(import.meta.dirname, `../fixtures/putty/${name}.ppk`), 'utf8');

const texts: [string, string][] = [
  ['an OpenSSH ed25519 file', openssh('ed', ['-t', 'ed25519'])],
  ['an OpenSSH RSA file', openssh('rsa', ['-t', 'rsa', '-b', '1024'])],
  ['an OpenSSH ECDSA file', openssh('ec', ['-t', 'ecdsa'])],
  ['a PEM file', openssh('pem', ['-t', 'ecdsa', '-m', 'PEM'])],
  ['a PuTTY file of version 2', putty('rsa-v2')],
  ['a locked PuTTY file of version 2', putty('ed25519-v2-locked')],
];

function keyOrKeyError(act: () => unknown): void {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(KeyError);
  }
}

/** The armoured bytes of an OpenSSH file with some of them replaced. */
function spoilBytes(text: string, changes: readonly (readonly [number, number])[]): string {
  const body = text
    .split('\n')
    .filter((line) => !line.startsWith('-----'))
    .join('');
  const bytes = Buffer.from(body, 'base64');
  for (const [at, value] of changes) bytes[at % bytes.length] = value;
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

const changes = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { minLength: 1, maxLength: 4 });

test.each(texts)('%s with characters replaced', (_what, text) => {
  fc.assert(
    fc.property(changes, (list) => {
      const spoilt = Buffer.from(text);
      for (const [at, value] of list) spoilt[at % spoilt.length] = value;
      keyOrKeyError(() => unlockKey(spoilt.toString('latin1'), 'x'));
    }),
    { numRuns: 150 },
  );
});

test.each(texts.slice(0, 3))('%s with bytes inside replaced', (_what, text) => {
  fc.assert(
    fc.property(changes, (list) => keyOrKeyError(() => outlineKey(spoilBytes(text, list)))),
    { numRuns: 150 },
  );
});

test('any text at all', () => {
  fc.assert(fc.property(fc.string(), (text) => keyOrKeyError(() => outlineKey(text))));
  fc.assert(fc.property(fc.string(), (text) => void parsePublicLine(text)));
});

test('a certificate with bytes replaced is one or none', () => {
  const ca = makeKey(join(folder, 'ca'));
  const key = makeKey(join(folder, 'certified'));
  execFileSync('ssh-keygen', ['-q', '-s', ca, '-I', 'me', '-n', 'root', `${key}.pub`]);
  const blob = parsePublicLine(readFileSync(`${key}-cert.pub`, 'utf8'))?.blob ?? Buffer.alloc(0);
  expect(parseCertificate(blob)).toMatchObject({ keyId: 'me', principals: ['root'], use: 'user' });
  fc.assert(
    fc.property(changes, (list) => {
      const spoilt = Buffer.from(blob);
      for (const [at, value] of list) spoilt[at % spoilt.length] = value;
      void parseCertificate(spoilt);
    }),
  );
});
