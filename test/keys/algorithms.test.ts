// The table of algorithms: its lists agree with each other, and names lead to the keys behind them.
import { describe, expect, test } from 'vitest';
import {
  certificateName,
  isCertificateType,
  keyPatternOrder,
  keyTypeOf,
  knownAlgorithms,
  offeredByDefault,
  plainKeyType,
  provableKeyTypes,
  uselessList,
  usableAlgorithms,
} from '../../src/keys/algorithms.ts';

const kinds = ['kex', 'hostKey', 'cipher', 'mac'] as const;

describe('the table of algorithms', () => {
  test.each(kinds)('offers of %s only what can be used, and first what is offered', (kind) => {
    const offered = offeredByDefault[kind];
    expect(usableAlgorithms[kind].slice(0, offered.length)).toEqual(offered);
    expect(offered.filter((name) => /sha1$|cbc|md5|ssh-rsa|ssh-dss/.test(name))).toEqual(
      kind === 'mac' ? ['hmac-sha1'] : [],
    );
  });

  test.each([...kinds, 'pubkey'] as const)('names each of %s once', (kind) => {
    const names = knownAlgorithms(kind);
    expect(new Set(names).size).toBe(names.length);
    if (kind !== 'pubkey') expect(names).toEqual(expect.arrayContaining([...usableAlgorithms[kind]]));
  });

  test('has every key algorithm in the order of `ssh -Q sig`', () => {
    expect([...keyPatternOrder].sort()).toEqual([...knownAlgorithms('hostKey')].sort());
  });

  test('has the key types that a server can prove, neither DSA nor those of tokens', () => {
    expect([...new Set(provableKeyTypes)].sort()).toEqual([
      'ecdsa-sha2-nistp256',
      'ecdsa-sha2-nistp384',
      'ecdsa-sha2-nistp521',
      'ssh-ed25519',
      'ssh-rsa',
    ]);
  });

  test('says which list leaves nothing', () => {
    expect(uselessList('kex', ['sntrup761x25519-sha512'])).toMatch(
      /^nothing that can be used here, such as mlkem/,
    );
    expect(uselessList('kex', ['sntrup761x25519-sha512', 'curve25519-sha256'])).toBeNull();
  });

  test.each([
    ['ssh-ed25519', 'ssh-ed25519'],
    ['rsa-sha2-512', 'ssh-rsa'],
    ['rsa-sha2-256-cert-v01@openssh.com', 'ssh-rsa'],
    ['sk-ssh-ed25519-cert-v01@openssh.com', 'sk-ssh-ed25519@openssh.com'],
    ['of-tomorrow', 'of-tomorrow'],
  ])('finds the key type behind %s', (name, type) => expect(keyTypeOf(name)).toBe(type));

  test.each(knownAlgorithms('hostKey').filter((name) => !isCertificateType(name)))(
    'leads from %s to its certificate and back',
    (name) => {
      if (name.startsWith('webauthn-')) return;
      expect(plainKeyType(certificateName(name))).toBe(name);
    },
  );
});
