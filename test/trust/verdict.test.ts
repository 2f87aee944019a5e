// Verdicts on plain keys, as tables of known_hosts text.
import { describe, expect, test } from 'vitest';
import { knownTypes, orderHostKeyAlgorithms, judge, judgePresented } from '../../src/trust/verdict.ts';
import { fingerprint } from '../../src/keys/fingerprint.ts';
import { parseKnownHosts } from '../../src/trust/known-hosts.ts';
import { testKey } from './keys.ts';

const key = testKey();
const other = testKey();
const rsa = testKey(['-t', 'rsa', '-b', '2048']);
const ecdsa = testKey(['-t', 'ecdsa']);
const entries = (...lines: string[]) => parseKnownHosts(lines.join('\n'), '/kh').entries;
const verdict = (name: string, blob: Buffer, ...lines: string[]) => judge(entries(...lines), name, blob);

describe('a key', () => {
  test('that stands under the name is trusted, with its line', () => {
    expect(verdict('katie', key.blob, `robin ${other.line}`, `katie ${key.line}`)).toMatchObject({
      kind: 'trusted',
      at: { file: '/kh', line: 2 },
      exact: true,
    });
  });

  test('that stands there by a pattern is trusted, but not exactly', () => {
    expect(verdict('katie', key.blob, `k* ${key.line}`)).toMatchObject({ kind: 'trusted', exact: false });
  });

  test('is trusted when any of several lines has it', () => {
    const lines = [`katie ${other.line}`, `* ${rsa.line}`, `katie ${key.line}`];
    expect(verdict('katie', key.blob, ...lines)).toMatchObject({ kind: 'trusted', at: { line: 3 } });
  });

  test('of a host nothing is known of is unknown', () => {
    expect(verdict('katie', key.blob, `robin ${key.line}`)).toEqual({ kind: 'unknown' });
    expect(verdict('katie', key.blob)).toEqual({ kind: 'unknown' });
  });

  test('is unknown when only a CA or a revocation of another key stands there', () => {
    const lines = [`@cert-authority katie ${other.line}`, `@revoked katie ${other.line}`];
    expect(verdict('katie', key.blob, ...lines)).toEqual({ kind: 'unknown' });
  });

  test('has changed when another one is known, whatever its type', () => {
    expect(verdict('katie', key.blob, `katie ${rsa.line}`, `k* ${other.line}`)).toEqual({
      kind: 'changed',
      known: [
        { type: 'ssh-rsa', fingerprint: fingerprint(rsa.blob), file: '/kh', line: 1 },
        { type: 'ssh-ed25519', fingerprint: fingerprint(other.blob), file: '/kh', line: 2 },
      ],
    });
  });

  test.each(['katie', 'k*', '*'])('that is revoked for %s is refused, wherever it is trusted', (hosts) => {
    const lines = [`katie ${key.line}`, `@revoked ${hosts} ${key.line}`];
    expect(verdict('katie', key.blob, ...lines)).toEqual({
      kind: 'revoked',
      at: { file: '/kh', line: 2 },
      what: 'key',
    });
  });

  test('of a CA is no key of the host', () => {
    expect(verdict('katie', key.blob, `@cert-authority katie ${key.line}`)).toEqual({ kind: 'unknown' });
  });

  test('on another port is found under the bare name too, where a mismatch does not count', () => {
    expect(verdict('[katie]:2222', key.blob, `katie ${key.line}`)).toMatchObject({
      kind: 'trusted',
      exact: false,
    });
    expect(verdict('[katie]:2222', key.blob, `katie ${other.line}`)).toEqual({ kind: 'unknown' });
    expect(verdict('[katie]:2222', key.blob, `@revoked katie ${key.line}`)).toMatchObject({
      kind: 'revoked',
    });
    expect(
      verdict('[katie]:2222', key.blob, `[katie]:2222 ${other.line}`, `katie ${key.line}`),
    ).toMatchObject({ kind: 'changed' });
    expect(verdict('katie', key.blob, `[katie]:2222 ${key.line}`)).toEqual({ kind: 'unknown' });
  });

  test('that is none, or an RSA one too short, is unusable', () => {
    expect(verdict('katie', Buffer.from('junk'), `* ${key.line}`)).toMatchObject({ kind: 'unusable' });
    const short = Buffer.concat([
      Buffer.from('\0\0\0\x07ssh-rsa\0\0\0\x01\x03\0\0\0\x40', 'latin1'),
      Buffer.alloc(64, 0x41),
    ]);
    expect(verdict('katie', short)).toEqual({
      kind: 'unusable',
      reason: 'an RSA key of 511 bits is too short',
    });
  });

  test('that calls itself a certificate and is none is unusable', () => {
    const name = 'ssh-ed25519-cert-v01@openssh.com';
    const blob = Buffer.concat([Buffer.from([0, 0, 0, name.length]), Buffer.from(name), Buffer.alloc(40)]);
    expect(judgePresented([], 'katie', blob, 0).verdict.kind).toBe('unusable');
  });
});

describe('host key algorithms', () => {
  const all = [
    'ssh-ed25519-cert-v01@openssh.com',
    'rsa-sha2-512-cert-v01@openssh.com',
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ];
  const order = (name: string, ...lines: string[]) =>
    orderHostKeyAlgorithms(all, knownTypes(entries(...lines), name));

  test('of known keys come first, RSA under both its names, certificates last', () => {
    expect(order('katie', `katie ${rsa.line}`)).toEqual([
      'rsa-sha2-512',
      'rsa-sha2-256',
      'ssh-ed25519',
      'ecdsa-sha2-nistp256',
      'ssh-ed25519-cert-v01@openssh.com',
      'rsa-sha2-512-cert-v01@openssh.com',
    ]);
  });

  test('of certificates come first when a CA is known', () => {
    const ordered = order('katie', `@cert-authority * ${key.line}`, `katie ${ecdsa.line}`);
    expect(ordered.slice(0, 3)).toEqual([all[0], all[1], 'ecdsa-sha2-nistp256']);
  });

  test('keep their order for a host that is new, or known by revoked keys only', () => {
    const plain = [...all.slice(2), ...all.slice(0, 2)];
    expect(order('katie')).toEqual(plain);
    expect(order('katie', `@revoked katie ${rsa.line}`, `katie ${rsa.line}`)).toEqual(plain);
  });

  test('follow the bare name when nothing stands under the one with a port', () => {
    expect(order('[katie]:2222', `katie ${rsa.line}`)[0]).toBe('rsa-sha2-512');
    expect(order('[katie]:2222', `katie ${rsa.line}`, `[katie]:2222 ${ecdsa.line}`)[0]).toBe(
      'ecdsa-sha2-nistp256',
    );
  });
});
