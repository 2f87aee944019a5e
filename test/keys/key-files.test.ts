// Key files: everything ssh-keygen and openssl write is read, and the right word is said about what is not.
import { execFileSync } from 'node:child_process';
import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../src/model/secret.ts';
import { outlineKey } from '../../src/keys/key-file.ts';
import { publicKeyOf } from '../../src/keys/public-key.ts';
import { unlockInThread } from '../../src/keys/unlock.ts';
import { unlockKey } from '../../src/keys/decrypt.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { makeKey } from '../helpers/sshd.ts';

const folder = temporaryFolder('keys');
const passphrase = 'correct horse';
let counter = 0;
const fresh = (): string => join(folder, `key${(counter += 1)}`);

function publicBlob(path: string): string {
  return readFileSync(`${path}.pub`, 'utf8').split(' ')[1] ?? '';
}

function proves(key: KeyObject): boolean {
  const bytes = Buffer.from('x');
  const digest = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  return verify(digest, bytes, createPublicKey(key), sign(digest, bytes, key));
}

const types: [string, string[]][] = [
  ['ed25519', ['-t', 'ed25519']],
  ['RSA', ['-t', 'rsa', '-b', '2048']],
  ['ECDSA 256', ['-t', 'ecdsa', '-b', '256']],
  ['ECDSA 384', ['-t', 'ecdsa', '-b', '384']],
  ['ECDSA 521', ['-t', 'ecdsa', '-b', '521']],
];
const formats: [string, string[]][] = [
  ['OpenSSH', []],
  ['PEM', ['-m', 'PEM']],
  ['PKCS#8', ['-m', 'PKCS8']],
];

describe('a key file of ssh-keygen', () => {
  const rows = types.flatMap(([type, typeArgs]) =>
    formats.map(([format, formatArgs]) => [type, format, [...typeArgs, ...formatArgs]] as const),
  );

  test.each(rows)('%s in the %s format is read plain', (_type, _format, args) => {
    const path = makeKey(fresh(), args);
    const outline = outlineKey(readFileSync(path, 'utf8'));
    expect(outline.locked).toBe(false);
    expect(outline.publicKey?.blob.toString('base64')).toBe(publicBlob(path));
    expect(outline.key !== null && proves(outline.key)).toBe(true);
  });

  test.each(rows)('%s in the %s format is read with its passphrase', (_type, _format, args) => {
    const path = makeKey(fresh(), [...args, '-a', '2'], passphrase);
    const text = readFileSync(path, 'utf8');
    expect(outlineKey(text).locked).toBe(true);
    const key = unlockKey(text, passphrase);
    expect(publicKeyOf(key).blob.toString('base64')).toBe(publicBlob(path));
    expect(proves(key)).toBe(true);
    expect(() => unlockKey(text, 'wrong')).toThrow('the passphrase is wrong');
  });

  test.each([
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
    'aes128-cbc',
    'aes192-cbc',
    'aes256-cbc',
    '3des-cbc',
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
  ])('encrypted with %s is read', (cipher) => {
    const path = makeKey(fresh(), ['-t', 'ed25519', '-Z', cipher, '-a', '2'], passphrase);
    const text = readFileSync(path, 'utf8');
    expect(publicKeyOf(unlockKey(text, passphrase)).blob.toString('base64')).toBe(publicBlob(path));
    expect(outlineKey(text).publicKey?.blob.toString('base64')).toBe(publicBlob(path));
    expect(() => unlockKey(text, `${passphrase}!`)).toThrow('the passphrase is wrong');
  });

  // one of 300 wrong passphrases gets so far; each does for its key
  test.each([
    ['ecdsa-521-pkcs8', 'wrong308', 'secret', 'ecdsa-sha2-nistp521'],
    ['ecdsa-256-pem', 'wrong 607', 'correct horse', 'ecdsa-sha2-nistp256'],
  ])(
    'tells a wrong passphrase as that, also where nonsense comes out with a padding by chance: %s',
    (file, wrong, right, type) => {
      const text = readFileSync(join(import.meta.dirname, '../fixtures/keys', file), 'utf8');
      expect(() => unlockKey(text, wrong)).toThrow('the passphrase is wrong');
      expect(publicKeyOf(unlockKey(text, right)).type).toBe(type);
    },
  );

  test('with an RSA key of 4096 bits signs', () => {
    const path = makeKey(fresh(), ['-t', 'rsa', '-b', '4096']);
    expect(proves(outlineKey(readFileSync(path, 'utf8')).key as KeyObject)).toBe(true);
  });
});

test('an ed25519 key of openssl in PKCS#8 is read, plain and encrypted', () => {
  const plain = fresh();
  execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', plain]);
  const outline = outlineKey(readFileSync(plain, 'utf8'));
  expect(outline.publicKey?.type).toBe('ssh-ed25519');
  const locked = fresh();
  execFileSync('openssl', [
    'pkcs8',
    '-topk8',
    '-in',
    plain,
    '-out',
    locked,
    '-passout',
    `pass:${passphrase}`,
  ]);
  const text = readFileSync(locked, 'utf8');
  expect(outlineKey(text)).toEqual({ format: 'pem', locked: true, publicKey: null, key: null });
  expect(publicKeyOf(unlockKey(text, passphrase)).blob).toEqual(outline.publicKey?.blob);
});

describe('what cannot be used is told apart', () => {
  test('a DSA key', () => {
    const parameters = fresh();
    const path = fresh();
    execFileSync(
      'openssl',
      [
        'genpkey',
        '-genparam',
        '-algorithm',
        'DSA',
        '-pkeyopt',
        'dsa_paramgen_bits:1024',
        '-pkeyopt',
        'dsa_paramgen_q_bits:160',
        '-out',
        parameters,
      ],
      { stdio: 'ignore' },
    );
    execFileSync('openssl', ['genpkey', '-paramfile', parameters, '-out', path], { stdio: 'ignore' });
    expect(() => outlineKey(readFileSync(path, 'utf8'))).toThrow('DSA keys are no longer taken');
  });

  test('an X25519 key', () => {
    const path = fresh();
    execFileSync('openssl', ['genpkey', '-algorithm', 'x25519', '-out', path]);
    expect(() => outlineKey(readFileSync(path, 'utf8'))).toThrow('SSH has no keys of type x25519');
  });

  test.each(['', 'ssh-ed25519 AAAA', '-----BEGIN CERTIFICATE-----', 'PuTTY-User-Key-File-1: ssh-rsa\n'])(
    'the text %j',
    (text) => {
      expect(() => outlineKey(text)).toThrow(/not a private key file|PPK version 1/);
    },
  );

  test('a key file cut short at any place', () => {
    const text = readFileSync(makeKey(fresh(), ['-t', 'ed25519']), 'utf8');
    const body = text.split('\n').slice(1, -2).join('');
    const bytes = Buffer.from(body, 'base64');
    for (let length = 0; length < bytes.length - 8; length += 7) {
      const cut = `-----BEGIN OPENSSH PRIVATE KEY-----\n${bytes.subarray(0, length).toString('base64')}=\n-----END OPENSSH PRIVATE KEY-----\n`;
      expect(() => outlineKey(cut)).toThrow(/damaged|private key file/);
    }
  });
});

describe('the key thread', () => {
  test('opens keys in another thread, and several at once', async () => {
    const path = makeKey(fresh(), ['-t', 'ed25519', '-a', '16'], passphrase);
    const text = readFileSync(path, 'utf8');
    let turns = 0;
    let running = true;
    const spin = (): void => {
      turns += 1;
      if (running) setImmediate(spin);
    };
    spin();
    const [first, second, wrong] = await Promise.allSettled([
      unlockInThread(text, new Secret(passphrase)),
      unlockInThread(text, new Secret(passphrase)),
      unlockInThread(text, new Secret('wrong')),
    ]);
    running = false;
    // three derivations of half a second: in this thread the loop would have turned a handful of times
    expect(turns).toBeGreaterThan(100);
    expect(first.status === 'fulfilled' && publicKeyOf(first.value).blob.toString('base64')).toBe(
      publicBlob(path),
    );
    expect(second.status).toBe('fulfilled');
    expect(wrong).toMatchObject({ status: 'rejected', reason: { problem: 'passphrase-wrong' } });
  });

  test('starts from the built program too', async () => {
    writeFileSync(join(folder, 'built.txt'), '');
    const { build } = await import('esbuild');
    const out = join(folder, 'dist');
    await build({
      stdin: {
        contents: `export { unlockInThread } from './src/keys/unlock.ts'; export { Secret } from './src/model/secret.ts';`,
        resolveDir: join(import.meta.dirname, '../..'),
        loader: 'ts',
      },
      bundle: true,
      format: 'esm',
      platform: 'node',
      outfile: join(out, 'cli.mjs'),
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
      },
    });
    await build({
      entryPoints: { 'unlock-worker': join(import.meta.dirname, '../../src/keys/unlock-worker.ts') },
      outdir: out,
      outExtension: { '.js': '.cjs' },
      bundle: true,
      format: 'cjs',
      platform: 'node',
    });
    writeFileSync(join(out, 'package.json'), '{"type":"module"}');
    const path = makeKey(fresh(), ['-t', 'ed25519', '-a', '2'], passphrase);
    const program = `import { unlockInThread, Secret } from ${JSON.stringify(join(out, 'cli.mjs'))}; import { readFileSync } from 'node:fs';
      const key = await unlockInThread(readFileSync(${JSON.stringify(path)}, 'utf8'), new Secret(${JSON.stringify(passphrase)})); console.log(key.asymmetricKeyType);`;
    const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
    });
    expect(printed.trim()).toBe('ed25519');
  });
});
