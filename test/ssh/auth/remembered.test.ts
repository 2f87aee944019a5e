// What logins remember: typed secrets until they are forgotten, proven keys across restarts.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Secret } from '../../../src/model/secret.ts';
import { openProven } from '../../../src/ssh/auth/proven.ts';
import { createRemembered } from '../../../src/ssh/auth/remembered.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { bareHost } from '../../helpers/login.ts';

const one = bareHost(22, { hostname: 'one' });
const two = bareHost(22, { hostname: 'two' });

describe('remembered secrets', () => {
  test('a password belongs to a login and its source', () => {
    const remembered = createRemembered();
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
    const remembered = createRemembered();
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
    const remembered = createRemembered();
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
    expect(second.any('root@two:22')).toBe(false);
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
    expect(openProven(join(folder, 'bad.json'), () => undefined).any('a')).toBe(false);
    writeFileSync(join(folder, 'file'), '');
    const problems: string[] = [];
    const unwritable = openProven(join(folder, 'file', 'proven.json'), (why) => problems.push(why));
    unwritable.add('a', 'SHA256:x');
    await unwritable.written();
    expect(problems).toHaveLength(1);
  });
});
