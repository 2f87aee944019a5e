// Host certificates made by ssh-keygen: parsed, verified, judged; and every way one can be wrong.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certificateProblem, parseCertificate } from '../../src/keys/certificate.ts';
import { plainKeyType } from '../../src/keys/algorithms.ts';
import { knownTypes, judgePresented } from '../../src/trust/verdict.ts';
import { parseKnownHosts } from '../../src/trust/known-hosts.ts';
import { verifySignature } from '../../src/keys/sign.ts';
import { wireString } from '../../src/keys/wire.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { certify, testKey, type TestKey } from '../trust/keys.ts';

const now = Date.now();
const ca = testKey();
const hostKey = testKey();
const host = (...args: string[]) => ['-h', '-I', 'katie host key', '-n', 'katie,katie.example', ...args];
const judged = (blob: Buffer, name: string, ...lines: string[]) =>
  judgePresented(parseKnownHosts(lines.join('\n'), '/kh').entries, name, blob, now);
const caLine = `@cert-authority * ${ca.line}`;

describe('a certificate', () => {
  test('is read with all it says', () => {
    const { blob } = certify(ca, hostKey, host('-z', '77', '-V', '20260101000000:20270101000000'));
    expect(parseCertificate(blob)).toMatchObject({
      type: 'ssh-ed25519-cert-v01@openssh.com',
      use: 'host',
      keyId: 'katie host key',
      serial: 77n,
      principals: ['katie', 'katie.example'],
      validAfter: 1767225600n,
      validBefore: 1798761600n,
      criticalOptions: [],
      key: { blob: hostKey.blob },
      caKey: ca.blob,
    });
  });

  test('for a user shows its options', () => {
    const options = ['-O', 'force-command=/bin/true', '-O', 'source-address=10.0.0.0/8'];
    const certificate = parseCertificate(certify(ca, testKey(), ['-I', 'me', '-n', 'root', ...options]).blob);
    expect(certificate).toMatchObject({ use: 'user', criticalOptions: ['force-command', 'source-address'] });
    expect(certificate?.extensions).toContain('permit-port-forwarding');
  });

  const keys: [string, string[]][] = [
    ['ed25519', ['-t', 'ed25519']],
    ['ecdsa 256', ['-t', 'ecdsa', '-b', '256']],
    ['ecdsa 384', ['-t', 'ecdsa', '-b', '384']],
    ['ecdsa 521', ['-t', 'ecdsa', '-b', '521']],
    ['rsa', ['-t', 'rsa', '-b', '2048']],
  ];

  test.each(keys)('signed by an %s CA is verified, and any bit changed in it is seen', (_, args) => {
    const authority = testKey(args);
    for (let round = 0; round < 4; round++) {
      const { blob } = certify(authority, testKey(), host());
      const certificate = parseCertificate(blob);
      expect(certificate && certificateProblem(certificate, 'katie', now)).toBeNull();
      for (let at = 40; at < blob.length; at += 37) {
        const mangled = Buffer.from(blob);
        mangled.writeUInt8(mangled.readUInt8(at) ^ 1, at);
        const other = parseCertificate(mangled);
        if (other !== null) expect(certificateProblem(other, 'katie', now), `byte ${at}`).not.toBeNull();
      }
    }
  });

  test.each(keys)('of an %s key names the plain key in it', (_, args) => {
    const key = testKey(args);
    const { blob, type } = certify(ca, key, host());
    expect(parseCertificate(blob)?.key.blob.equals(key.blob)).toBe(true);
    expect(plainKeyType(type)).toBe(key.type);
  });

  test('cut short anywhere is no certificate', () => {
    const { blob } = certify(ca, hostKey, host());
    for (let length = 0; length < blob.length; length++)
      expect(parseCertificate(blob.subarray(0, length))).toBeNull();
    expect(parseCertificate(Buffer.concat([blob, Buffer.alloc(1)]))).toBeNull();
  });

  test('signed by RSA with SHA-1 is refused', () => {
    const rsa = testKey(['-t', 'rsa', '-b', '2048']);
    const { blob } = certify(rsa, testKey(), host('-t', 'ssh-rsa'));
    const certificate = parseCertificate(blob);
    expect(certificate && certificateProblem(certificate, 'katie', now)).toMatch(/signature/);
  });
});

describe('a presented certificate', () => {
  test('of a known CA is trusted, not exactly, whatever the port', () => {
    const { blob } = certify(ca, hostKey, host());
    for (const name of ['katie', 'katie.example', '[katie]:2222']) {
      expect(judged(blob, name, caLine), name).toMatchObject({
        verdict: { kind: 'trusted', exact: false, at: { line: 1 } },
        certificateProblem: null,
        key: hostKey.blob,
      });
    }
  });

  const wrong: [string, string[], RegExp][] = [
    ['for another name', ['-h', '-I', 'x', '-n', 'robin'], /robin, not for katie/],
    ['without principals', ['-h', '-I', 'x'], /names no host/],
    ['for names by a wildcard', ['-h', '-I', 'x', '-n', '*'], /not for katie/],
    ['that has expired', host('-V', '20200101:20210101'), /expired 2021/],
    ['that is not valid yet', host('-V', '20400101:20410101'), /not valid before 20/],
    ['for a user', ['-I', 'x', '-n', 'katie'], /not a host certificate/],
    ['with a critical option', host('-O', 'critical:new@example=1'), /critical options.*new@example/],
  ];

  test.each(wrong)('%s counts as the plain key in it, as with ssh', (_, args, reason) => {
    const { blob } = certify(ca, hostKey, args);
    expect(judged(blob, 'katie', caLine)).toMatchObject({
      verdict: { kind: 'unknown' },
      certificateProblem: expect.stringMatching(reason) as string,
      key: hostKey.blob,
    });
    expect(judged(blob, 'katie', caLine, `katie ${hostKey.line}`).verdict).toMatchObject({
      kind: 'trusted',
      exact: true,
    });
    expect(judged(blob, 'katie', caLine, `katie ${testKey().line}`).verdict.kind).toBe('changed');
  });

  test('of an unknown CA, or of one for other hosts, counts as its plain key', () => {
    const { blob } = certify(ca, hostKey, host());
    expect(judged(blob, 'katie').certificateProblem).toMatch(/not known/);
    expect(judged(blob, 'katie', `@cert-authority *.example ${ca.line}`).verdict.kind).toBe('unknown');
    expect(judged(blob, 'katie', `katie ${ca.line}`).verdict.kind).toBe('changed');
  });

  const revoked: [string, TestKey, string][] = [
    ['CA', ca, 'certificate authority'],
    ['key', hostKey, 'key'],
  ];
  test.each(revoked)(
    'whose %s is revoked is refused, with no second look at its plain key',
    (_, key, what) => {
      const { blob } = certify(ca, hostKey, host());
      const lines = [caLine, `katie ${hostKey.line}`, `@revoked * ${key.line}`];
      expect(judged(blob, 'katie', ...lines).verdict).toMatchObject({
        kind: 'revoked',
        at: { line: 3 },
        what,
      });
      expect(judged(blob, '[katie]:2222', ...lines).verdict.kind).toBe('revoked');
    },
  );

  test('that is itself revoked takes its key and all its certificates with it, wherever they are looked at', async () => {
    const old = certify(ca, hostKey, host('-z', '1'));
    const renewed = certify(ca, hostKey, host('-z', '2'));
    const lines = [caLine, `katie ${hostKey.line}`, `@revoked katie ${old.line}`];
    for (const blob of [old.blob, renewed.blob, hostKey.blob])
      expect(judged(blob, 'katie', ...lines).verdict).toMatchObject({
        kind: 'revoked',
        at: { line: 3 },
        what: 'key',
      });
    expect(judged(old.blob, 'katie.example', ...lines).verdict.kind).toBe('trusted');
    expect(knownTypes(parseKnownHosts(lines.join('\n'), '/kh').entries, 'katie').keyTypes).toEqual([]);
  });

  test('whose CA is revoked by a certificate of the CA is refused', () => {
    const { blob } = certify(ca, hostKey, host());
    const authority = certify(testKey(), ca, host());
    expect(judged(blob, 'katie', caLine, `@revoked * ${authority.line}`).verdict).toMatchObject({
      kind: 'revoked',
      what: 'certificate authority',
    });
  });
});

/** A host certificate for `hostKey`, made by hand, so that it may say what ssh-keygen would not write. */
function forge(change: Forgery = {}): Buffer {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const authority = change.authority ?? Buffer.concat([wireString('ssh-ed25519'), wireString(raw)]);
  const uint32 = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
  const signed = Buffer.concat([
    wireString('ssh-ed25519-cert-v01@openssh.com'),
    wireString('nonce'),
    wireString(hostKey.blob.subarray(-32)),
    Buffer.alloc(8),
    uint32(change.kind ?? 2),
    wireString('id'),
    wireString(Buffer.concat((change.principals ?? ['katie']).map(wireString))),
    Buffer.alloc(8),
    Buffer.alloc(8, 0xff),
    wireString(change.options ?? Buffer.alloc(0)),
    wireString(change.extensions ?? Buffer.alloc(0)),
    wireString(change.reserved ?? ''),
    wireString(authority),
  ]);
  const by = change.signedBy ?? privateKey;
  const signature = Buffer.concat([wireString('ssh-ed25519'), wireString(sign(null, signed, by))]);
  return Buffer.concat([signed, wireString(change.signature?.(signature) ?? signature)]);
}

interface Forgery {
  readonly kind?: number;
  readonly principals?: readonly string[];
  readonly options?: Buffer;
  readonly extensions?: Buffer;
  readonly reserved?: string;
  readonly authority?: Buffer;
  readonly signedBy?: KeyObject;
  readonly signature?: (made: Buffer) => Buffer;
}

describe('a forged certificate', () => {
  const shorter = (): Buffer =>
    Buffer.concat([
      wireString('ssh-rsa'),
      wireString(Buffer.from([1, 0, 1])),
      wireString(Buffer.alloc(65, 1)),
    ]);
  const rows: [string, Forgery, boolean][] = [
    ['nothing', {}, true],
    ['another signer', { signedBy: generateKeyPairSync('ed25519').privateKey }, false],
    ['another CA than the one that signed', { authority: ca.blob }, false],
    ['a certificate for a CA', { authority: certify(ca, testKey(), host()).blob }, false],
    ['a CA that is too short', { authority: shorter() }, false],
    ['a CA that is no key', { authority: Buffer.from('nonsense') }, false],
    ['a third kind', { kind: 3 }, false],
    ['no kind', { kind: 0 }, false],
    ['256 principals', { principals: Array.from({ length: 256 }, String) }, true],
    ['257 principals', { principals: Array.from({ length: 257 }, String) }, false],
    ['a principal that is empty', { principals: ['', 'katie'] }, true],
    ['an option without a value', { options: wireString('force-command') }, false],
    ['an extension without a value', { extensions: wireString('x') }, false],
    ['options that are cut short', { options: Buffer.from([0, 0, 0, 9, 1]) }, false],
    ['something reserved', { reserved: 'later' }, true],
    ['more behind the signature', { signature: (made) => Buffer.concat([made, Buffer.alloc(1)]) }, false],
    ['no signature', { signature: () => Buffer.alloc(0) }, false],
    [
      'a signature of another algorithm',
      { signature: () => Buffer.concat([wireString('none'), wireString('')]) },
      false,
    ],
  ];

  test.each(rows)(
    'with %s is read or refused as ssh-keygen does, the plain key in it too',
    (_, change, readable) => {
      const blob = forge(change);
      const path = join(temporaryFolder('forged'), 'cert.pub');
      writeFileSync(path, `ssh-ed25519-cert-v01@openssh.com ${blob.toString('base64')}\n`);
      expect(spawnSync('ssh-keygen', ['-L', '-f', path], { stdio: 'ignore' }).status === 0).toBe(readable);
      const { verdict } = judged(blob, 'katie', `katie ${hostKey.line}`);
      expect(verdict.kind).toBe(readable ? 'trusted' : 'unusable');
    },
  );
});

describe('a signature', () => {
  test('made by ssh-keygen over a file is verified in every algorithm', () => {
    for (const args of [
      ['-t', 'ed25519'],
      ['-t', 'ecdsa', '-b', '521'],
      ['-t', 'rsa', '-b', '2048'],
    ]) {
      const key = testKey(args);
      const armored = execFileSync('ssh-keygen', ['-Y', 'sign', '-n', 'test', '-f', key.path], {
        input: 'hello',
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'ignore'],
      });
      const { signed, signature } = readSshsig(armored, 'hello');
      expect(verifySignature(key.blob, signed, signature), args.join(' ')).toBe(true);
      expect(verifySignature(testKey(args).blob, signed, signature)).toBe(false);
    }
  });

  test('made by a security key counts, touched or not, as in OpenSSH', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
    const type = 'sk-ssh-ed25519@openssh.com';
    const blob = Buffer.concat([wireString(type), wireString(raw), wireString('ssh:')]);
    const sha256 = (bytes: string): Buffer => createHash('sha256').update(bytes).digest();
    const signature = (flags: number): Buffer => {
      const middle = Buffer.from([flags, 0, 0, 0, 9]);
      const signed = sign(null, Buffer.concat([sha256('ssh:'), middle, sha256('hello')]), privateKey);
      return Buffer.concat([wireString(type), wireString(signed), middle]);
    };
    const flagged = (bytes: Buffer): Buffer =>
      Buffer.from(bytes.map((b, i) => (i === bytes.length - 5 ? b ^ 4 : b)));
    expect(verifySignature(blob, Buffer.from('hello'), signature(1))).toBe(true);
    expect(verifySignature(blob, Buffer.from('hello'), signature(0))).toBe(true);
    expect(verifySignature(blob, Buffer.from('hello'), flagged(signature(1)))).toBe(false);
    expect(verifySignature(blob, Buffer.from('other'), signature(1))).toBe(false);
  });

  test('that is malformed is false, never an exception', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(3), wireString('ssh-ed25519'), hostKey.blob])
      expect(verifySignature(hostKey.blob, Buffer.from('x'), bytes)).toBe(false);
    expect(verifySignature(Buffer.alloc(7), Buffer.from('x'), Buffer.alloc(9))).toBe(false);
  });
});

/** PROTOCOL.sshsig: what was signed, and the signature blob. */
function readSshsig(armored: string, message: string): { signed: Buffer; signature: Buffer } {
  const bytes = Buffer.from(armored.replace(/-----[^-]+-----/g, ''), 'base64');
  let at = 6 + 4; // magic and version
  const strings: Buffer[] = [];
  while (at < bytes.length) {
    const length = bytes.readUInt32BE(at);
    strings.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  const [, namespace, reserved, hash, signature] = strings as [Buffer, Buffer, Buffer, Buffer, Buffer];
  const digest = createHash(hash.toString()).update(message).digest();
  const signed = [namespace, reserved, hash, digest].map((part) => wireString(part));
  return { signed: Buffer.concat([Buffer.from('SSHSIG'), ...signed]), signature };
}
