// Key files, public keys and certificates: a key or a KeyError, and what can be printed is read back as the same.
import assert from 'node:assert/strict';
import { certificateDoubts, certificateProblem, parseCertificate } from '../../src/keys/certificate.ts';
import { unlockKey } from '../../src/keys/decrypt.ts';
import { fingerprint } from '../../src/keys/fingerprint.ts';
import { parseOpensshEnvelope } from '../../src/keys/openssh-file.ts';
import { KeyError } from '../../src/keys/private-key.ts';
import {
  keyBits,
  keyType,
  keyWeakness,
  nodeKeyOf,
  parsePublicLine,
  publicKeyOf,
} from '../../src/keys/public-key.ts';
import { corpusOf, inherited, typed, type Target } from '../target.ts';

const keyFailure = (thrown: unknown): string | null =>
  thrown instanceof KeyError ? `${thrown.problem} ${thrown.message.slice(0, 30)}` : null;

/** Derivations that take long on purpose take it in a thread of their own; here they would only take the time. */
function isCheap(text: string): boolean {
  const envelope = typed(() => parseOpensshEnvelope(text), keyFailure);
  if (envelope !== null && typeof envelope !== 'string' && envelope.rounds > 2) return false;
  const cost = (name: string): number => Number(new RegExp(`^${name}: *(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  if (cost('Argon2-Memory') * cost('Argon2-Passes') > 64) return false;
  return !/ENCRYPTED PRIVATE KEY/.test(text); // PBKDF2 and scrypt, in OpenSSL
}

function checkFile(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  if (!isCheap(text)) return 'slow on purpose';
  const key = typed(() => unlockKey(text, 'secret'), keyFailure);
  if (typeof key === 'string') return key;
  const { blob, type } = publicKeyOf(key);
  const again = nodeKeyOf(blob);
  assert(again !== null && publicKeyOf(again).blob.equals(blob));
  return type;
}

export const keyFileTarget: Target = {
  name: 'key-file',
  corpus: corpusOf('fuzz/key-file', 'putty'),
  words: [
    ...inherited.flatMap((name) => [`Key-Derivation: ${name}\n`, `${name}: 1\n`]),
    'Private-Lines: -1\n',
    'Public-Lines: 0\n',
    'Argon2-Memory: 8\n',
    'Argon2-Passes: 1\n',
    'Encryption: none\n',
    'Argon2-Parallelism: 0\n',
    'Argon2-Salt: 00\n',
    'PuTTY-User-Key-File-3: ssh-ed25519\n',
    'Proc-Type: 4,ENCRYPTED\n',
    '-----BEGIN OPENSSH PRIVATE KEY-----\n',
    '-----END OPENSSH PRIVATE KEY-----\n',
    '-----BEGIN EC PRIVATE KEY-----\n',
    'AAAA',
    '====',
    'b3BlbnNzaC1rZXktdjEA',
  ],
  check: checkFile,
};

export const publicKeyTarget: Target = {
  name: 'public-key',
  corpus: corpusOf('fuzz/public-key'),
  words: [...inherited, 'ssh-rsa ', 'ssh-ed25519 ', 'AAAA', '==', ' ', '\n', '#', 'ecdsa-sha2-nistp256 '],
  check(bytes) {
    const key = parsePublicLine(bytes.toString('utf8'));
    if (key === null) return 'none';
    assert.deepEqual(parsePublicLine(`${key.type} ${key.blob.toString('base64')}`), { ...key, comment: '' });
    assert.match(fingerprint(key.blob), /^SHA256:/);
    assert(keyBits(key.blob) >= 0);
    return `${key.type} ${keyBits(key.blob)} ${keyWeakness(key.blob)}`;
  },
};

export const certificateTarget: Target = {
  name: 'certificate',
  corpus: corpusOf('fuzz/certificate'),
  words: [...inherited, '\0\0\0\0', '\0\0\0\x01', '\0\0\0\x04root', 'ssh-ed25519', 'ssh-rsa'],
  check(bytes) {
    const certificate = parseCertificate(bytes);
    if (certificate === null) return 'none';
    assert.equal(keyType(bytes), certificate.type);
    assert(certificate.signed.length < bytes.length);
    const problem =
      certificateProblem(certificate, 'host.example', Date.UTC(2026, 0)) ?? 'speaks for the host';
    certificateDoubts(certificate, 'root', Date.UTC(2026, 0));
    return `${certificate.use} ${problem.slice(0, 24)} ${certificate.principals.length}`;
  },
};
