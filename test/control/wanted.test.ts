// The wanted marks on disk: what a supervisor remembers for the next one.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { forgetWanted, openWanted, readWanted } from '../../src/control/wanted.ts';
import { takeLock } from '../../src/files/lock.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const shout = (why: unknown): never => {
  throw new Error(String(why));
};

describe('wanted marks', () => {
  test('come back as they were remembered, the newest last', async () => {
    const path = join(temporaryFolder('wanted'), 'wanted.json');
    const file = openWanted(path, readWanted(path, shout), shout);
    file.remember({ names: ['a'] });
    file.remember({ ports: { 'a/': 4000 } });
    file.remember({ names: ['a', 'b'] });
    await file.written();
    expect(readWanted(path, shout)).toEqual({ names: ['a', 'b'], ports: { 'a/': 4000 } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('that are damaged are put aside, and told', () => {
    const path = join(temporaryFolder('wanted'), 'wanted.json');
    writeFileSync(path, '{"names": [1');
    const told: string[] = [];
    expect(readWanted(path, (why) => told.push(why))).toEqual({ names: [], ports: {} });
    expect(told).toMatchObject([expect.stringContaining('damaged')]);
    expect(existsSync(`${path}.broken`)).toBe(true);
  });

  test('that cannot be written are complained of, and nobody waits for ever', async () => {
    const failures: unknown[] = [];
    const file = openWanted('/proc/no/wanted.json', { names: [], ports: {} }, (failure) =>
      failures.push(failure),
    );
    file.remember({ names: ['a'] });
    await file.written();
    expect(failures).toHaveLength(1);
  });

  test('are given up without a supervisor, those that are meant, and left alone where one has come', async () => {
    const folder = temporaryFolder('wanted');
    const at = { wanted: join(folder, 'wanted.json'), lock: join(folder, 'lock') };
    const forget = (...meant: string[]) => forgetWanted(at, process.platform, (name) => meant.includes(name));
    expect(await forget('a')).toEqual([]);
    const file = openWanted(at.wanted, readWanted(at.wanted, shout), shout);
    file.remember({ names: ['a', 'b', 'c'], ports: { 'a/': 4000 } });
    await file.written();
    expect(await forget('c', 'a', 'other')).toEqual(['a', 'c']);
    expect(readWanted(at.wanted, shout)).toEqual({ names: ['b'], ports: { 'a/': 4000 } });
    const supervisor = takeLock(at.lock, process.platform);
    expect(await forget('a')).toEqual([]);
    expect(await forget('b')).toBeNull();
    expect(readWanted(at.wanted, shout).names).toEqual(['b']);
    if (supervisor.kind === 'taken') supervisor.release();
    expect(await forget('b')).toEqual(['b']);
    expect(readWanted(at.wanted, shout).names).toEqual([]);
  });
});
