// One-time codes: the vectors of RFC 6238 appendix B, and the forms a secret comes in.
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../src/model/secret.ts';
import { parseTotp, totpCode } from '../../src/secrets/totp.ts';

const base32 = (text: string): string => {
  const bits = [...Buffer.from(text)].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five.padEnd(5, '0'), 2)])
    .join('');
};
const seed = '12345678901234567890';
const seeds = { sha1: seed, sha256: `${seed}123456789012`, sha512: `${seed}${seed}${seed}1234` } as const;

describe('a code', () => {
  test.each([
    [59, '94287082', '46119246', '90693936'],
    [1111111109, '07081804', '68084774', '25091201'],
    [1111111111, '14050471', '67062674', '99943326'],
    [1234567890, '89005924', '91819424', '93441116'],
    [2000000000, '69279037', '90698825', '38618901'],
    [20000000000, '65353130', '77737706', '47863826'],
  ])('at %i is what RFC 6238 says', (seconds, sha1, sha256, sha512) => {
    for (const [algorithm, expected] of Object.entries({ sha1, sha256, sha512 })) {
      const name = algorithm as keyof typeof seeds;
      const uri = `otpauth://totp/x?secret=${base32(seeds[name])}&digits=8&algorithm=${algorithm.toUpperCase()}`;
      expect(totpCode(parseTotp(new Secret(uri)), seconds * 1000).code).toBe(expected);
    }
  });

  test('tells how long it lives', () => {
    const parameters = parseTotp(new Secret(base32(seed)));
    expect(totpCode(parameters, 59_000)).toEqual({ code: '287082', step: 1, expiresInMs: 1000 });
    expect(totpCode(parameters, 60_000).expiresInMs).toBe(30_000);
  });

  test.skipIf(spawnSync('oathtool', ['--version']).status !== 0)('is what oathtool says', () => {
    const secret = base32('another secret!');
    const said = execFileSync('oathtool', ['--totp', '-b', secret, '--now', '@1700000000'], {
      encoding: 'utf8',
    });
    expect(totpCode(parseTotp(new Secret(secret)), 1_700_000_000_000).code).toBe(said.trim());
  });
});

describe('a secret', () => {
  const key = Buffer.from(seed);

  test.each([
    base32(seed),
    base32(seed).toLowerCase(),
    `${(base32(seed).match(/.{4}/g) ?? []).join(' ')}\n`,
    (base32(seed).match(/.{4}/g) ?? []).join('-'),
    `${base32(seed)}====`,
    `otpauth://totp/Example:me@example?secret=${base32(seed)}&issuer=Example`,
  ])('written as %j is understood', (written) => {
    expect(parseTotp(new Secret(written))).toEqual({ key, digits: 6, periodSeconds: 30, algorithm: 'sha1' });
  });

  test('in a URI brings its own digits, period and algorithm', () => {
    const uri = `otpauth://totp/x?secret=${base32(seed)}&digits=7&period=60&algorithm=SHA256`;
    expect(parseTotp(new Secret(uri))).toEqual({ key, digits: 7, periodSeconds: 60, algorithm: 'sha256' });
  });

  test.each([
    '',
    'A',
    'planted0189!',
    'otpauth://hotp/x?secret=PLANTEDA',
    'otpauth://totp/x?issuer=planted',
    'otpauth://totp/x?secret=PLANTEDA&digits=99',
    'otpauth://totp/x?secret=PLANTEDA&period=0',
    'otpauth://totp/x?secret=PLANTEDA&algorithm=MD5planted',
    'otpauth:// planted',
  ])('written as %j is refused, and not repeated', (written) => {
    let error: unknown;
    try {
      parseTotp(new Secret(written));
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toMatchObject({ code: 'SECRET_MISSING', hint: expect.any(String) as string });
    expect((error as Error).message).not.toMatch(/planted/i);
  });
});
