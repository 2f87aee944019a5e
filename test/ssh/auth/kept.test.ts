// What is kept between logins: typed secrets until they are forgotten, proven keys across restarts, and codes handed out once:
// among links, among processes, and to the process that comes next.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/model/secret.ts';
import { parseTotp, type TotpParameters } from '../../../src/secrets/totp.ts';
import { openProven, openSpentCodes, Remembered, spentInMemory } from '../../../src/ssh/auth/kept.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { bareHost } from '../../helpers/login.ts';

const one = bareHost(22, { hostname: 'one' });
const two = bareHost(22, { hostname: 'two' });

describe('remembered secrets', () => {
  test('a password belongs to a login and its source', () => {
    const remembered = new Remembered();
    remembered.keepPassword(one, new Secret('x'));
    expect(remembered.password(one)?.reveal()).toBe('x');
    expect(remembered.password(two)).toBeNull();
    expect(remembered.password({ ...one, password: { from: 'keychain' } })).toBeNull();
    remembered.forgetAllBut([{ ...one, identities: ['/other'] }]);
    expect(remembered.password(one)?.reveal()).toBe('x');
    remembered.forgetAllBut([two, { ...one, password: { from: 'keychain' } }]);
    expect(remembered.password(one)).toBeNull();
  });

  test('a passphrase goes with the last login that uses its file', () => {
    const remembered = new Remembered();
    const [mine, other] = [one, two].map((host) => ({ ...host, identities: ['/key.pub'] }));
    if (mine === undefined || other === undefined) throw new Error('two hosts');
    remembered.keepPassphrase(mine, '/key', new Secret('x'));
    remembered.keepOpened(other, '/key', 'stamp', {} as never);
    remembered.forgetAllBut([{ ...mine, identities: ['/new'] }, other]);
    expect(remembered.passphrase('/key')).not.toBeNull();
    expect(remembered.opened('/key', 'stamp')).not.toBeNull();
    expect(remembered.opened('/key', 'other')).toBeNull();
    remembered.forgetAllBut([mine, { ...other, identities: ['/key2'] }]);
    expect(remembered.passphrase('/key')).toBeNull();
  });

  test('questions of one name take turns, also after one that failed', async () => {
    const remembered = new Remembered();
    const order: string[] = [];
    const turn = (name: string) => async (): Promise<void> => {
      order.push(`${name} begins`);
      await Promise.resolve();
      order.push(`${name} ends`);
      if (name === 'first') throw new Error('declined');
    };
    const results = await Promise.allSettled([
      remembered.inTurn('key', turn('first')),
      remembered.inTurn('key', turn('second')),
    ]);
    expect(order).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });
});

describe('proven keys', () => {
  test('are there after a restart, 0600, fingerprints only, newest first and not without end', async () => {
    const file = join(temporaryFolder('proven'), 'state', 'proven.json');
    const problems: string[] = [];
    const first = openProven(file, (why) => problems.push(why));
    for (let index = 0; index < 30; index += 1) first.add('root@one:22', `SHA256:${index}`);
    await first.written();
    const second = openProven(file, (why) => problems.push(why));
    expect(second.has('root@one:22', 'SHA256:29')).toBe(true);
    expect(second.has('root@one:22', 'SHA256:0')).toBe(false);
    expect(second.has('root@two:22', 'SHA256:29')).toBe(false);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ version: 1 });
    expect(problems).toEqual([]);
  });

  test('of several supervisors are all kept, whoever writes when, and known to each from its next one on', async () => {
    const file = join(temporaryFolder('proven'), 'proven.json');
    const writers = [1, 2, 3].map(() => openProven(file, (why) => expect.fail(why)));
    for (let index = 0; index < 5; index += 1)
      for (const [at, writer] of writers.entries()) {
        writer.add(`root@own${at}:22`, `SHA256:${index}`);
        writer.add('root@shared:22', `SHA256:${at} ${index}`);
      }
    await Promise.all(writers.map((writer) => writer.written()));
    const third = openProven(file, (why) => expect.fail(why));
    for (let index = 0; index < 5; index += 1)
      for (const at of [0, 1, 2]) {
        expect(third.has(`root@own${at}:22`, `SHA256:${index}`)).toBe(true);
        expect(third.has('root@shared:22', `SHA256:${at} ${index}`)).toBe(true);
      }
    writers[0]?.add('root@new:22', 'SHA256:new');
    await writers[0]?.written();
    expect(writers[0]?.has('root@own2:22', 'SHA256:4')).toBe(true);
  });

  test('are none when the file is damaged, and a folder that cannot be written is told', async () => {
    const folder = temporaryFolder('proven');
    writeFileSync(join(folder, 'bad.json'), '{"logins": {"a": 3');
    expect(openProven(join(folder, 'bad.json'), () => undefined).has('a', 'SHA256:0')).toBe(false);
    writeFileSync(join(folder, 'file'), '');
    const problems: string[] = [];
    const unwritable = openProven(join(folder, 'file', 'proven.json'), (why) => problems.push(why));
    unwritable.add('a', 'SHA256:x');
    await unwritable.written();
    expect(problems).toHaveLength(1);
  });
});

describe('a one-time code', () => {
  const seed = 'JBSWY3DPEHPK3PXP';
  const one = parseTotp(new Secret(seed));
  const shared = (period: number): TotpParameters =>
    parseTotp(new Secret(`otpauth://totp/x?secret=${seed}&period=${period}`));
  const other = parseTotp(new Secret('GEZDGNBVGY3TQOJQ'));
  const fail = (why: string): never => expect.fail(why);

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
