// The trust store on a real file system: what is written, what is refused, and several processes at once.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fingerprint } from '../../src/keys/fingerprint.ts';
import { listKeys, exportKeys } from '../../src/trust/list.ts';
import { createTrustStore, type TrustStore } from '../../src/trust/store.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { smallDisk } from '../helpers/small-disk.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { testKey } from './keys.ts';

const key = testKey();
const other = testKey();
const start = Date.parse('2026-11-22T08:00:00.000Z');

function newStore(options: { uid?: number; now?: () => number } = {}): TrustStore {
  const file = join(temporaryFolder('store'), 'state', 'known_hosts');
  return createTrustStore({ file, now: options.now ?? (() => start), ...options });
}

const refusal = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  );

describe('the store', () => {
  test('keeps a key in a 0600 file in a 0700 folder, once, and finds it again', async () => {
    const store = newStore();
    expect(await store.trust('katie', key.blob)).toEqual({
      at: { file: store.file, line: 1 },
      added: true,
      unwritten: null,
    });
    expect(await store.trust('katie', key.blob)).toEqual({
      at: { file: store.file, line: 1 },
      added: false,
      unwritten: null,
    });
    expect(readFileSync(store.file, 'utf8')).toBe(`katie ${key.line}\n`);
    expect(statSync(store.file).mode & 0o777).toBe(0o600);
    expect(statSync(join(store.file, '..')).mode & 0o777).toBe(0o700);
    expect((await store.read([])).judge('katie', key.blob).verdict.kind).toBe('trusted');
    expect(readdirSync(join(store.file, '..')).sort()).toEqual(['known_hosts', 'known_hosts.seen.json']);
  });

  test('that does not exist is empty, and reading makes nothing', async () => {
    const store = newStore();
    expect((await store.read(['/nowhere/known_hosts', '/dev/null'])).entries).toEqual([]);
    expect(existsSync(join(store.file, '..'))).toBe(false);
  });

  test('appends to a last line without its end, and leaves comments alone', async () => {
    const store = newStore();
    mkdirSync(join(store.file, '..'), { mode: 0o700 });
    writeFileSync(store.file, `# mine\nrobin ${other.line}`, { mode: 0o600 });
    expect((await store.trust('katie', key.blob)).at.line).toBe(3);
    expect(readFileSync(store.file, 'utf8')).toBe(`# mine\nrobin ${other.line}\nkatie ${key.line}\n`);
  });

  test('refuses to store a key that has come to be a changed or revoked one', async () => {
    const store = newStore();
    await store.trust('katie', key.blob);
    expect(await refusal(store.trust('katie', other.blob))).toMatchObject({ code: 'HOST_KEY_CHANGED' });
    expect((await store.also('katie', other.blob)).at.line).toBe(2);
    writeFileSync(store.file, `@revoked * ${key.line}\n`);
    expect(await refusal(store.trust('katie', key.blob))).toMatchObject({ code: 'HOST_KEY_REVOKED' });
    expect(await refusal(store.also('katie', key.blob))).toMatchObject({ code: 'HOST_KEY_REVOKED' });
    expect(await refusal(store.trust('katie', Buffer.from('junk')))).toMatchObject({
      code: 'HOST_KEY_UNKNOWN',
    });
  });

  test.each(['a,b', '*', 'a b', '!a', '|1|x', '#a', '@revoked', '', 'a\nb'])(
    'never writes %j as a name',
    async (name) => {
      const store = newStore();
      expect(await refusal(store.trust(name, key.blob))).toMatchObject({ code: 'CONFIG_INVALID' });
      expect(existsSync(store.file)).toBe(false);
    },
  );

  test('believes a key from any file, unless another one revokes it', async () => {
    const store = newStore();
    const folder = temporaryFolder('foreign');
    writeFileSync(join(folder, 'user'), `katie ${key.line}\n`);
    writeFileSync(join(folder, 'global'), `@revoked * ${key.line}\n`);
    const user = await store.read([join(folder, 'user')]);
    expect(user.judge('katie', key.blob).verdict).toMatchObject({ kind: 'trusted' });
    const both = await store.read([join(folder, 'user'), join(folder, 'global')]);
    expect(both.judge('katie', key.blob).verdict).toMatchObject({ kind: 'revoked' });
  });

  test('sees a changed file at the next read', async () => {
    const store = newStore();
    const file = join(temporaryFolder('foreign'), 'kh');
    writeFileSync(file, `katie ${key.line}\n`);
    expect((await store.read([file])).judge('katie', key.blob).verdict.kind).toBe('trusted');
    writeFileSync(file, `katie ${other.line}\n`);
    expect((await store.read([file])).judge('katie', key.blob).verdict.kind).toBe('changed');
  });
});

describe('a known_hosts file that cannot be read means no', () => {
  const foreign = join(temporaryFolder('closed'), 'kh');

  test('when it is a folder, a FIFO, or below a file', async () => {
    const folder = temporaryFolder('closed');
    mkdirSync(join(folder, 'folder'));
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    writeFileSync(join(folder, 'file'), '');
    for (const name of ['folder', 'fifo', 'file/kh'])
      expect(await refusal(newStore().read([join(folder, name)])), name).toMatchObject({
        code: 'HOST_KEY_UNKNOWN',
        message: expect.stringContaining(join(folder, name)) as string,
      });
  });

  test.skipIf(process.getuid?.() === 0)('when permission is denied', async () => {
    writeFileSync(foreign, '', { mode: 0 });
    expect(await refusal(newStore().read([foreign]))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
  });

  test('when our own belongs to somebody else, or others may write it or its folder', async () => {
    const uid = (process.geteuid?.() ?? 0) + 1;
    if (process.getuid?.() !== 0) {
      const store = newStore({ uid });
      mkdirSync(join(store.file, '..'));
      expect(await refusal(store.read([]))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    }
    const store = newStore();
    await store.trust('katie', key.blob);
    chmodSync(store.file, 0o666);
    expect(await refusal(store.read([]))).toMatchObject({ hint: `chmod 600 ${store.file}` });
    chmodSync(store.file, 0o600);
    chmodSync(join(store.file, '..'), 0o777);
    expect(await refusal(store.read([]))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
    expect(await refusal(store.trust('robin', key.blob))).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
  });

  test('but a link to one is followed, for reading and for writing', async () => {
    const store = newStore();
    const real = join(temporaryFolder('dotfiles'), 'known_hosts');
    mkdirSync(join(store.file, '..'), { mode: 0o700 });
    writeFileSync(real, `robin ${other.line}\n`, { mode: 0o600 });
    symlinkSync(real, store.file);
    await store.trust('katie', key.blob);
    expect(readFileSync(real, 'utf8')).toBe(`robin ${other.line}\nkatie ${key.line}\n`);
  });
});

describe('a folder that cannot be written', () => {
  test("is an error with the system's own as its cause", async () => {
    const store = createTrustStore({ file: '/proc/1/known_hosts', now: () => start, uid: 0 });
    const error = await refusal(store.trust('katie', key.blob));
    expect(error).toMatchObject({
      code: 'HOST_KEY_UNKNOWN',
      message: expect.stringContaining('/proc/1/known_hosts') as string,
      cause: { code: expect.stringMatching(/^E(ACCES|PERM|ROFS|NOENT)$/) as string },
    });
  });
});

describe('a store that is to keep in memory what cannot be written', () => {
  const unwritable = (): { store: TrustStore; told: string[] } => {
    const told: string[] = [];
    const keepInMemory = ({ message }: Error): unknown => told.push(message);
    return {
      store: createTrustStore({ file: '/proc/none/known_hosts', now: () => start, keepInMemory }),
      told,
    };
  };

  test('believes it from then on, refuses another key as it would, and says so once', async () => {
    const { store, told } = unwritable();
    await Promise.all(['katie', 'robin', 'kim'].map((name) => store.trust(name, key.blob)));
    expect((await store.trust('katie', key.blob)).unwritten).not.toBeNull();
    const known = await store.read([]);
    for (const name of ['katie', 'robin', 'kim'])
      expect(known.judge(name, key.blob).verdict.kind, name).toBe('trusted');
    expect(known.judge('katie', other.blob).verdict.kind).toBe('changed');
    expect(await refusal(store.trust('katie', other.blob))).toMatchObject({ code: 'HOST_KEY_CHANGED' });
    expect(told).toEqual([expect.stringContaining('/proc/none/known_hosts')]);
  });

  test('writes it when there is room again, and brings back nothing that was taken out meanwhile', async ({
    skip,
  }) => {
    using disk = smallDisk() ?? skip('no file system can be mounted here');
    const file = join(disk.folder, 'known_hosts');
    const gone = `old ${other.line}\n`;
    writeFileSync(file, gone, { mode: 0o600 });
    const told: string[] = [];
    const keepInMemory = ({ message }: Error): unknown => told.push(message);
    const store = createTrustStore({ file, now: () => start, keepInMemory });
    disk.fill();
    expect((await store.trust('katie', key.blob)).unwritten).not.toBeNull();
    expect([readFileSync(file, 'utf8'), told]).toEqual([gone, [expect.stringContaining('no space left')]]);
    expect((await store.read([])).judge('katie', key.blob).verdict.kind).toBe('trusted');
    disk.free();
    writeFileSync(file, '');
    expect((await store.trust('robin', key.blob)).unwritten).toBeNull();
    expect(readFileSync(file, 'utf8')).toBe(`katie ${key.line}\nrobin ${key.line}\n`);
  });
});

describe('several at once', () => {
  test('in one process lose nothing', async () => {
    const store = newStore();
    const names = Array.from({ length: 40 }, (_, index) => `host${index}`);
    await Promise.all(names.map((name) => store.trust(name, key.blob)));
    const { entries } = await store.read([]);
    expect(entries.map((entry) => entry.hosts).sort()).toEqual(names.sort());
    const list = listKeys(entries, await store.seen.read());
    expect(list.every((row) => row.firstSeen === '2026-11-22T08:00:00.000Z')).toBe(true);
  });

  test('processes lose nothing, though one of them dies with the lock in its hands', async () => {
    const store = newStore();
    mkdirSync(join(store.file, '..'), { mode: 0o700 });
    const dead = spawn(process.execPath, ['-e', '0']);
    await once(dead, 'exit');
    const { hostname } = await import('node:os');
    writeFileSync(
      `${store.file}.lock`,
      JSON.stringify({ pid: dead.pid, host: hostname(), born: '1', token: 'x' }),
    );
    const script = `
      import { createTrustStore } from ${JSON.stringify(resolve(import.meta.dirname, '../../src/trust/store.ts'))};
      const store = createTrustStore({ file: ${JSON.stringify(store.file)}, now: Date.now });
      for (let i = 0; i < 15; i++) await store.trust(process.argv[1] + '-' + i, Buffer.from(process.argv[2], 'base64'));
    `;
    const writers = ['a', 'b', 'c', 'd'].map((name) =>
      spawn(
        process.execPath,
        ['--import', 'tsx', '--input-type=module', '-e', script, '--', name, key.blob.toString('base64')],
        { stdio: 'inherit', cwd: resolve(import.meta.dirname, '../..') },
      ),
    );
    const codes = await Promise.all(writers.map(async (writer) => (await once(writer, 'exit'))[0] as number));
    expect(codes).toEqual([0, 0, 0, 0]);
    const { entries, skipped } = await store.read([]);
    expect(skipped).toEqual([]);
    expect(new Set(entries.map((entry) => entry.hosts)).size).toBe(60);
    expect(entries).toHaveLength(60);
    expect(readdirSync(join(store.file, '..')).sort()).toEqual(['known_hosts', 'known_hosts.seen.json']);
  });
});

describe('the record beside the store', () => {
  test('knows when a key was first seen and last used, and known_hosts is not touched for it', async () => {
    let now = start;
    const store = newStore({ now: () => now });
    await store.trust('katie', key.blob);
    const before = statSync(store.file).mtimeMs;
    now += 3_600_000;
    await store.markUsed('katie', fingerprint(key.blob));
    expect(statSync(store.file).mtimeMs).toBe(before);
    const foreign = join(temporaryFolder('foreign'), 'kh');
    writeFileSync(foreign, `katie ${key.line}\nrobin ${other.line}\n`);
    execFileSync('ssh-keygen', ['-q', '-H', '-f', foreign], { stdio: 'pipe' });
    const { entries } = await store.read([foreign]);
    const rows = listKeys(entries, await store.seen.read());
    const known = {
      type: 'ssh-ed25519',
      fingerprint: fingerprint(key.blob),
      marker: null,
      firstSeen: '2026-11-22T08:00:00.000Z',
      lastUsed: '2026-11-22T09:00:00.000Z',
    };
    const hashed = expect.stringMatching(/^\|1\|/) as string;
    expect(rows).toEqual([
      { host: 'katie', file: store.file, line: 1, ...known },
      { host: hashed, file: foreign, line: 1, ...known },
      {
        ...known,
        host: hashed,
        file: foreign,
        line: 2,
        fingerprint: fingerprint(other.blob),
        firstSeen: null,
        lastUsed: null,
      },
    ]);
    expect(exportKeys(entries.slice(0, 1))).toBe(`katie ${key.line}\n`);
  });

  test('that is damaged or cannot be written fails no login', async () => {
    const store = newStore();
    await store.trust('katie', key.blob);
    const file = `${store.file}.seen.json`;
    writeFileSync(file, '{"keys":[{"name":1},null');
    expect(await store.seen.read()).toEqual([]);
    await store.markUsed('katie', fingerprint(key.blob));
    expect(await store.seen.read()).toHaveLength(1);
    execFileSync('rm', [file]);
    mkdirSync(join(file, 'x'), { recursive: true });
    await store.markUsed('katie', fingerprint(key.blob));
  });
});

describe.skipIf(sshdMissing() !== null)('a real sshd', () => {
  const ssh = (server: Sshd, knownHosts: string): number => {
    try {
      const options = [
        `UserKnownHostsFile=${knownHosts}`,
        'GlobalKnownHostsFile=/dev/null',
        'StrictHostKeyChecking=yes',
        'BatchMode=yes',
        `IdentityFile=${server.identity}`,
        'IdentitiesOnly=yes',
      ].flatMap((option) => ['-o', option]);
      const args = ['-F', 'none', ...options, '-p', String(server.port), '127.0.0.1', 'true'];
      execFileSync('ssh', args, { stdio: 'pipe' });
      return 0;
    } catch (error) {
      return (error as { status: number }).status;
    }
  };
  const hostKeyOf = (server: Sshd): Buffer =>
    Buffer.from(server.knownHostsLine().split(' ')[2] ?? '', 'base64');

  test('is believed by ssh from the file we write', async () => {
    await using server = await startSshd();
    const store = newStore();
    await store.trust(`[127.0.0.1]:${server.port}`, other.blob);
    expect(ssh(server, store.file)).toBe(255);
    await store.also(`[127.0.0.1]:${server.port}`, hostKeyOf(server));
    expect(ssh(server, store.file)).toBe(0);
  });

  test('is believed by us from the file that ssh-keyscan -H writes', async () => {
    await using server = await startSshd({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] });
    const scanned = execFileSync('ssh-keyscan', ['-H', '-p', String(server.port), '127.0.0.1'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const file = join(temporaryFolder('scan'), 'kh');
    writeFileSync(file, scanned);
    const known = await newStore().read([file]);
    const name = `[127.0.0.1]:${server.port}`;
    // ssh-keyscan 8.4 hashes the name without its port: ssh-keygen tells which one this is.
    const exact = spawnSync('ssh-keygen', ['-F', name, '-f', file]).status === 0;
    expect(known.judge(name, hostKeyOf(server)).verdict).toMatchObject({ kind: 'trusted', exact });
    expect([...known.knownTypes(name).keyTypes].sort()).toEqual([
      'ecdsa-sha2-nistp256',
      'ssh-ed25519',
      'ssh-rsa',
    ]);
    expect(known.judge(name, key.blob).verdict).toMatchObject({ kind: exact ? 'changed' : 'unknown' });
  });
});
