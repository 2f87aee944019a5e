// Codes are handed out once: among links, among processes, and to the process that comes next.
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/model/secret.ts';
import { parseTotp, type TotpParameters } from '../../../src/secrets/totp.ts';
import { openSpentCodes, spentInMemory } from '../../../src/ssh/auth/spent-codes.ts';
import { temporaryFolder } from '../../helpers/folder.ts';

const seed = 'JBSWY3DPEHPK3PXP';
const one = parseTotp(new Secret(seed));
const shared = (period: number): TotpParameters =>
  parseTotp(new Secret(`otpauth://totp/x?secret=${seed}&period=${period}`));
const other = parseTotp(new Secret('GEZDGNBVGY3TQOJQ'));
const fail = (why: string): never => expect.fail(why);

describe('a one-time code', () => {
  test.each([
    ['in memory', () => spentInMemory()],
    ['in a folder', () => openSpentCodes(join(temporaryFolder('spent'), 'state', 'codes'), fail)],
  ])('is taken once for each seed, %s', (_, open) => {
    const codes = open();
    expect([10, 10, 11, 11, 10].map((step) => codes.take(one, step))).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(codes.take(shared(30), 11)).toBe(false); // the same seed, written as a URI
    expect(codes.take(shared(60), 11)).toBe(true); // other codes
    expect(codes.take(other, 11)).toBe(true);
  });

  test('is taken for other processes and for the next one too', () => {
    const folder = join(temporaryFolder('spent'), 'codes');
    const [first, second] = [openSpentCodes(folder, fail), openSpentCodes(folder, fail)];
    expect(first.take(one, 10)).toBe(true);
    expect(second.take(one, 10)).toBe(false);
    expect(second.take(one, 11)).toBe(true);
    expect(first.take(one, 11)).toBe(false);
    expect(openSpentCodes(folder, fail).take(one, 11)).toBe(false);
  });

  test('leaves next to nothing behind, and nothing of the seed', () => {
    const folder = join(temporaryFolder('spent'), 'codes');
    const codes = openSpentCodes(folder, fail);
    for (let step = 58_000_000; step < 58_000_050; step += 1) codes.take(one, step);
    codes.take(other, 58_000_049);
    const files = readdirSync(folder);
    expect(files).toHaveLength(3);
    for (const file of files) {
      expect(file).toMatch(/^[0-9a-f]{8}-580000\d\d$/);
      expect(statSync(join(folder, file))).toMatchObject({ size: 0 });
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    }
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  test('is to be had again after the clock was set back', () => {
    const codes = openSpentCodes(join(temporaryFolder('spent'), 'codes'), fail);
    codes.take(one, 1000);
    expect(codes.take(one, 10)).toBe(true);
    expect(codes.take(one, 10)).toBe(false);
    expect(codes.take(one, 11)).toBe(true);
  });

  test('is kept in memory where nothing can be written, which is told once', () => {
    const file = join(temporaryFolder('spent'), 'file');
    writeFileSync(file, '');
    const told: string[] = [];
    const codes = openSpentCodes(join(file, 'codes'), (why) => told.push(why));
    expect([10, 10, 11].map((step) => codes.take(one, step))).toEqual([true, false, true]);
    expect(told).toHaveLength(1);
  });
});
