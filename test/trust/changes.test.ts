// Replacing, forgetting and rotating keys: what our file says afterwards, and which foreign lines are named.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { forgetHost, recordRotation, replaceKey } from '../../src/trust/changes.ts';
import { fingerprint } from '../../src/keys/fingerprint.ts';
import { listKeys } from '../../src/trust/list.ts';
import { createTrustStore } from '../../src/trust/store.ts';
import { wireString } from '../../src/keys/wire.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { testKey } from './keys.ts';

const a = testKey();
const b = testKey();
const c = testKey(['-t', 'ecdsa']);
const start = Date.parse('2026-11-22T08:00:00.000Z');

function world(foreignText = '') {
  const folder = temporaryFolder('changes');
  const store = createTrustStore({ file: join(folder, 'known_hosts'), now: () => start });
  const foreign = join(folder, "user's hosts");
  writeFileSync(foreign, foreignText);
  const text = (): string => readFileSync(store.file, 'utf8');
  const verdict = async (name: string, blob: Buffer) =>
    (await store.read([foreign])).judge(name, blob).verdict.kind;
  return { store, foreign, text, verdict };
}

describe('replacing a key', () => {
  test('writes the new key and revokes the old one', async () => {
    const { store, foreign, text, verdict } = world();
    await store.trust('katie', a.blob);
    await store.trust('robin', a.blob);
    const replaced = await replaceKey(
      { store, name: 'katie', foreignFiles: [foreign], nowMs: start },
      b.blob,
    );
    expect(text()).toBe(`robin ${a.line}\nkatie ${b.line}\n@revoked katie ${a.line}\n`);
    expect(replaced).toEqual({
      at: { file: store.file, line: 2 },
      revoked: [{ type: 'ssh-ed25519', fingerprint: fingerprint(a.blob) }],
      foreign: [],
    });
    expect(await verdict('katie', b.blob)).toBe('trusted');
    expect(await verdict('katie', a.blob)).toBe('revoked');
    expect(await verdict('robin', a.blob)).toBe('trusted');
  });

  test('revokes keys of foreign lines too, and says how to remove each', async () => {
    const { store, foreign, verdict } = world(
      `# mine\n[katie]:2222 ${a.line}\n*,![katie]:22 ${c.line}\n@cert-authority * ${a.line}\n`,
    );
    const replaced = await replaceKey(
      { store, name: '[katie]:2222', foreignFiles: [foreign], nowMs: start },
      b.blob,
    );
    expect(replaced.foreign).toEqual([
      {
        file: foreign,
        line: 2,
        hosts: '[katie]:2222',
        type: 'ssh-ed25519',
        fingerprint: fingerprint(a.blob),
        command: expect.stringMatching(/^ssh-keygen -R '\[katie\]:2222' -f '/) as string,
      },
      expect.objectContaining({ line: 3, command: null }),
    ]);
    for (const [key, expected] of [
      [a, 'revoked'],
      [c, 'revoked'],
      [b, 'trusted'],
    ] as const)
      expect(await verdict('[katie]:2222', key.blob)).toBe(expected);
    execFileSync('sh', ['-c', replaced.foreign[0]?.command ?? 'false'], { stdio: 'pipe' });
    expect(readFileSync(foreign, 'utf8')).not.toContain('\n[katie]:2222');
  });

  test('can go back to a key that an earlier replacement revoked, but not to one revoked elsewhere', async () => {
    const { store, foreign, text, verdict } = world();
    await store.trust('katie', a.blob);
    await replaceKey({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, b.blob);
    await replaceKey({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, a.blob);
    expect(text()).toBe(`katie ${a.line}\n@revoked katie ${b.line}\n`);
    expect(await verdict('katie', a.blob)).toBe('trusted');
    writeFileSync(foreign, `@revoked * ${b.line}\n`);
    const before = text();
    await expect(
      replaceKey({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, b.blob),
    ).rejects.toMatchObject({
      code: 'HOST_KEY_REVOKED',
    });
    expect(text()).toBe(before);
  });

  test('takes the name out of a shared line and out of a hashed one', async () => {
    const { store, foreign, text } = world();
    writeFileSync(store.file, `katie,robin ${a.line} shared\nkatie ${c.line}\n`, { mode: 0o600 });
    await replaceKey({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, b.blob);
    expect(text().split('\n').slice(0, 2)).toEqual([`robin ${a.line} shared`, `katie ${b.line}`]);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', store.file], { stdio: 'pipe' });
    await replaceKey({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, a.blob);
    const known = await store.read([]);
    expect(known.judge('katie', a.blob).verdict.kind).toBe('trusted');
    expect(known.judge('katie', b.blob).verdict.kind).toBe('revoked');
    expect(known.judge('robin', a.blob).verdict.kind).toBe('trusted');
  });
});

describe('forgetting a host', () => {
  test('removes its lines, keeps revocations, and names foreign lines that still trust it', async () => {
    const { store, foreign, text, verdict } = world(`*.example,katie ${c.line}\n@revoked * ${a.line}\n`);
    await store.trust('katie', b.blob);
    await replaceKey({ store, name: 'katie', foreignFiles: [], nowMs: start }, c.blob);
    await store.trust('robin', b.blob);
    const forgotten = await forgetHost(store, 'katie', [foreign]);
    expect(text()).toBe(`@revoked katie ${b.line}\nrobin ${b.line}\n`);
    expect(forgotten.removed).toEqual([{ type: c.type, fingerprint: fingerprint(c.blob) }]);
    expect(forgotten.kept.map((entry) => entry.marker)).toEqual(['revoked']);
    expect(forgotten.foreign).toMatchObject([{ line: 1, command: null }]);
    expect(await verdict('katie', c.blob)).toBe('trusted');
  });

  test('that is not known changes nothing', async () => {
    const { store } = world();
    await store.trust('katie', a.blob);
    expect(await forgetHost(store, 'robin', [])).toEqual({ removed: [], kept: [], foreign: [] });
  });

  test('works with a hashed field as it is listed', async () => {
    const { store } = world();
    await store.trust('katie', a.blob);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', store.file], { stdio: 'pipe' });
    const [entry] = (await store.read([])).entries;
    expect((await forgetHost(store, entry?.hosts ?? '', [])).removed).toHaveLength(1);
    expect((await store.read([])).entries).toEqual([]);
  });
});

describe('a rotation', () => {
  const rows = async (store: ReturnType<typeof world>['store'], files: string[]) =>
    listKeys((await store.read(files)).entries, await store.seen.read()).map((row) => [
      row.fingerprint,
      row.marker,
      row.firstSeen !== null,
    ]);
  const print = (key: { blob: Buffer }): string => fingerprint(key.blob);

  test('adds the keys the server proved and marks those it no longer has as gone, each told once', async () => {
    const { store, foreign, verdict } = world(`katie ${a.line}\n`);
    await store.trust('katie', b.blob);
    const now = { presented: a.blob, proved: [a.blob, c.blob] };
    expect(
      await recordRotation({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, now),
    ).toEqual({
      added: [{ type: c.type, fingerprint: print(c) }],
      gone: [{ type: b.type, fingerprint: print(b) }],
    });
    expect(
      await recordRotation({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, now),
    ).toEqual({ added: [], gone: [] });
    expect(await rows(store, [foreign])).toEqual([
      [print(b), 'gone', true],
      [print(c), null, true],
      [print(a), null, false],
    ]);
    expect(await verdict('katie', b.blob)).toBe('trusted');
    await recordRotation(
      { store, name: 'katie', foreignFiles: [foreign], nowMs: start },
      { presented: b.blob, proved: [a.blob] },
    );
    expect((await rows(store, [foreign])).map((row) => row[1])).toEqual([null, 'gone', null]);
  });

  test.each([
    ['a pattern', (line: string) => `k* ${line}\n`],
    ['the bare name', (line: string) => `katie ${line}\n`],
    ['nothing', () => ''],
  ])('is not recorded when the presented key stood there by %s', async (_, foreignText) => {
    const { store, foreign } = world(foreignText(a.line));
    const name = '[katie]:2222';
    expect(
      await recordRotation(
        { store, name: name, foreignFiles: [foreign], nowMs: start },
        { presented: a.blob, proved: [c.blob] },
      ),
    ).toEqual({ added: [], gone: [] });
    expect((await store.read([])).entries).toEqual([]);
  });

  test('that never ends fills nothing: what is gone longest makes room, what is presented or proved stays', async () => {
    const { store, foreign, text, verdict } = world();
    await store.trust('katie', a.blob);
    await store.trust('robin', b.blob);
    const made = Array.from({ length: 40 }, () => ed25519Blob());
    for (const [night, key] of made.entries()) {
      const keys = { presented: a.blob, proved: [a.blob, c.blob, key] };
      const { added } = await recordRotation(
        { store, name: 'katie', foreignFiles: [foreign], nowMs: start + night },
        keys,
      );
      expect(added.map((each) => each.fingerprint)).toContain(fingerprint(key));
    }
    const under = text()
      .split('\n')
      .filter((line) => line.startsWith('katie '));
    expect(under).toHaveLength(16);
    expect((await store.seen.read()).length).toBeLessThanOrEqual(17);
    for (const key of [a.blob, c.blob, ...made.slice(-14)])
      expect(await verdict('katie', key)).toBe('trusted');
    expect(await verdict('katie', made[0] as Buffer)).toBe('changed');
    expect(await verdict('robin', b.blob)).toBe('trusted');
  });

  test('with more keys at once than a name may have takes no more', async () => {
    const { store, foreign, text, verdict } = world();
    await store.trust('katie', a.blob);
    const keys = { presented: a.blob, proved: Array.from({ length: 500 }, () => ed25519Blob()) };
    for (let night = 0; night < 3; night += 1)
      await recordRotation({ store, name: 'katie', foreignFiles: [foreign], nowMs: start + night }, keys);
    expect(text().split('\n')).toHaveLength(17);
    expect(await verdict('katie', a.blob)).toBe('trusted');
  });

  test('never brings back a revoked key', async () => {
    const { store, foreign, verdict } = world(`katie ${a.line}\n@revoked katie ${c.line}\n`);
    const keys = { presented: a.blob, proved: [c.blob] };
    expect(
      (await recordRotation({ store, name: 'katie', foreignFiles: [foreign], nowMs: start }, keys)).added,
    ).toEqual([]);
    expect(await verdict('katie', c.blob)).toBe('revoked');
  });
});

/** The public half of a key that nobody holds. */
function ed25519Blob(): Buffer {
  return Buffer.concat([wireString('ssh-ed25519'), wireString(randomBytes(32))]);
}
