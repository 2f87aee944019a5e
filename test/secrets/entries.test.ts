// Bindings on disk: one small file an entry, readable by us alone, and never loosened by damage.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bindingsFolder, createBindings, createEntries } from '../../src/secrets/entries.ts';
import { createKeychain } from '../../src/secrets/keychain.ts';
import { Secret } from '../../src/model/secret.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const katie = { name: 'katie', kind: 'password', endpoint: 'u@katie:22' } as const;
const key = { name: '/home/u/.ssh/id_rsa', kind: 'passphrase', endpoint: null } as const;

describe('bindings', () => {
  test('are kept, listed, replaced and removed', async () => {
    const folder = bindingsFolder(temporaryFolder('state'));
    const bindings = createBindings(folder);
    expect(await bindings.list()).toEqual([]);
    expect(await bindings.find('katie', 'password')).toBeNull();
    await Promise.all([bindings.save(katie), bindings.save(key)]);
    expect(await bindings.list()).toEqual([key, katie]);
    expect(await bindings.find('katie', 'totp')).toBeNull();
    await bindings.save({ ...katie, endpoint: 'u@katie:2222' });
    expect((await bindings.find('katie', 'password'))?.endpoint).toBe('u@katie:2222');
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const file of readdirSync(folder)) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
    await bindings.remove('katie', 'password');
    await bindings.remove('katie', 'password');
    expect(await bindings.list()).toEqual([key]);
  });

  test('that are damaged keep their entry shut', async () => {
    const folder = join(temporaryFolder('state'), 'b');
    const bindings = createBindings(folder);
    await bindings.save(katie);
    for (const damage of ['', '{', 'null', '{"name":"katie","kind":"password"}']) {
      writeFileSync(join(folder, readdirSync(folder)[0] ?? ''), damage);
      await expect(bindings.find('katie', 'password')).rejects.toMatchObject({ code: 'SECRET_MISSING' });
    }
  });

  test('of a secret that could not be stored are as before, and hold no secret', async () => {
    const folder = join(temporaryFolder('state'), 'b');
    const bindings = createBindings(folder);
    const keychain = createKeychain({ spawnArgv: ['/nonexistent'], timeoutMs: 1000, environment: {} });
    const entries = createEntries(keychain, bindings);
    await expect(entries.write(katie, new Secret('planted'))).rejects.toMatchObject({
      code: 'SECRET_MISSING',
    });
    expect(await bindings.list()).toEqual([]);
    await bindings.save(katie);
    const moved = { ...katie, endpoint: 'u@evil:22' };
    await expect(entries.write(moved, new Secret('planted'))).rejects.toThrow();
    expect(await bindings.list()).toEqual([katie]);
    for (const file of readdirSync(folder))
      expect(readFileSync(join(folder, file), 'utf8')).not.toContain('planted');
  });
});
