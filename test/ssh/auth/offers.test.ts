// The order of offers: what a login presents first, and what it never presents.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { AgentKey } from '../../../src/keys/agent-messages.ts';
import { parseCertificate, validityAt } from '../../../src/keys/certificate.ts';
import { plainKeyType, signatureChoices } from '../../../src/keys/algorithms.ts';
import { parsePublicLine, publicKeyOf, shortTypeName } from '../../../src/keys/public-key.ts';
import type { KeyFile } from '../../../src/ssh/auth/key-files.ts';
import { orderOffers, type OfferParts } from '../../../src/ssh/auth/offers.ts';
import { fingerprint } from '../../../src/keys/fingerprint.ts';

const freshKey = (comment: string): AgentKey => ({
  ...publicKeyOf(generateKeyPairSync('ed25519').publicKey),
  comment,
});
const file = (path: string, key: AgentKey | null, locked = false): KeyFile => ({
  path,
  secret: { text: '', key: locked ? null : (generateKeyPairSync('ed25519').privateKey as never), stamp: '' },
  publicKey: key === null ? null : { type: key.type, blob: key.blob },
  comment: '',
  certificates: [],
});
const order = (over: Partial<OfferParts>): string[] => {
  const { agent, files } = orderOffers({
    identities: [],
    identitiesOnly: false,
    certificates: [],
    agentKeys: [],
    proven: () => false,
    nowMs: 0,
    user: 'root',
    shown: (path) => path,
    ...over,
  });
  return [...agent, ...files].map(({ words }) => words.replace(/(ED25519 )?SHA256:\S+ /, ''));
};

const [a, b, c] = [freshKey('a'), freshKey('b'), freshKey('c')] as const;

describe('offers', () => {
  test('without identities are all the agent has, then the files, the locked last', () => {
    expect(
      order({ agentKeys: [a, b], identities: [file('/k1', freshKey(''), true), file('/k2', freshKey(''))] }),
    ).toEqual(['agent key (a)', 'agent key (b)', 'key (/k2)', 'key (/k1)']);
  });

  test('begin with what logged in before, then with what a default file names', () => {
    const known = fingerprint(c.blob);
    expect(
      order({ agentKeys: [a, b, c], identities: [file('/b', b)], proven: (name) => name === known }),
    ).toEqual(['agent key (c)', 'agent key (b)', 'agent key (a)', 'key (/b)']);
  });

  test('with identities are only those, in their order, through the agent where it holds them', () => {
    expect(
      order({
        identitiesOnly: true,
        agentKeys: [a, b, c],
        identities: [file('/new', freshKey('')), file('/c', c), file('/a', a)],
      }),
    ).toEqual(['agent key (c)', 'agent key (a)', 'key (/new)', 'key (/c)', 'key (/a)']);
  });

  test('of a file whose public half is locked away have no name yet', () => {
    expect(order({ identitiesOnly: true, identities: [file('/locked', null, true)] })).toEqual([
      'key /locked',
    ]);
  });

  test('never repeat a key that the agent lists twice', () => {
    expect(order({ agentKeys: [a, { ...a, comment: 'again' }] })).toEqual(['agent key (a)']);
  });
});

describe('signature algorithms', () => {
  const names = (...args: Parameters<typeof signatureChoices>): string[] =>
    signatureChoices(...args).map(({ requested, signature }) =>
      requested === signature ? signature : `${requested} by ${signature}`,
    );

  test.each<[string, string[] | null, string[] | null, string[]]>([
    ['ssh-ed25519', null, null, ['ssh-ed25519']],
    ['ssh-rsa', null, null, ['rsa-sha2-512']],
    ['ssh-rsa', null, ['rsa-sha2-256'], ['rsa-sha2-256']],
    ['ssh-rsa', null, ['ssh-rsa'], []],
    ['ssh-rsa', ['ssh-rsa'], ['ssh-rsa'], ['ssh-rsa']],
    ['ssh-rsa', ['rsa-sha2-256', 'ssh-rsa'], null, ['rsa-sha2-256', 'ssh-rsa']],
    ['ssh-rsa', ['ssh-ed25519'], null, []],
    ['ssh-dss', null, null, []],
    ['ssh-ed25519', ['rsa-sha2-512'], null, []],
    ['ssh-rsa-cert-v01@openssh.com', null, null, ['rsa-sha2-512-cert-v01@openssh.com by rsa-sha2-512']],
    ['ssh-ed25519-cert-v01@openssh.com', null, null, ['ssh-ed25519-cert-v01@openssh.com by ssh-ed25519']],
    ['sk-ssh-ed25519@openssh.com', null, null, ['sk-ssh-ed25519@openssh.com']],
    [
      'sk-ssh-ed25519-cert-v01@openssh.com',
      null,
      null,
      ['sk-ssh-ed25519-cert-v01@openssh.com by sk-ssh-ed25519@openssh.com'],
    ],
  ])('%s, configured %j, offered %j: %j', (type, configured, offered, expected) => {
    expect(names(type, configured, offered)).toEqual(expected);
  });
});

describe('public keys', () => {
  test.each([
    ['ssh-ed25519', 'ED25519'],
    ['ssh-rsa-cert-v01@openssh.com', 'RSA-CERT'],
    ['ecdsa-sha2-nistp384', 'ECDSA'],
    ['sk-ecdsa-sha2-nistp256@openssh.com', 'ECDSA-SK'],
    ['sk-ssh-ed25519-cert-v01@openssh.com', 'ED25519-SK-CERT'],
  ])('%s is called %s', (type, word) => {
    expect(shortTypeName(type)).toBe(word);
  });

  test('lines that hold no key are none', () => {
    for (const text of [
      '',
      '# a comment',
      'ssh-ed25519',
      'ssh-ed25519 !!!',
      `ssh-rsa ${a.blob.toString('base64')}`,
    ])
      expect(parsePublicLine(text)).toBeNull();
    expect(parsePublicLine(`ssh-ed25519 ${a.blob.toString('base64')} me@here too`)?.comment).toBe(
      'me@here too',
    );
  });

  test('random bytes are no certificate', () => {
    for (let round = 0; round < 200; round += 1) expect(parseCertificate(randomBytes(round))).toBeNull();
    expect(plainKeyType('sk-ecdsa-sha2-nistp256-cert-v01@openssh.com')).toBe(
      'sk-ecdsa-sha2-nistp256@openssh.com',
    );
  });

  test('a certificate’s time has both ends', () => {
    const times = { validAfter: 10n, validBefore: 20n } as never;
    expect([9_999, 10_000, 19_999, 20_000].map((now) => validityAt(times, now))).toEqual([
      'not-yet',
      'valid',
      'valid',
      'expired',
    ]);
  });
});
