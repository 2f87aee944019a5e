// The wanted marks on disk: what a supervisor remembers for the next one.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openWanted, readWanted } from '../../src/control/wanted.ts';
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
});
