// FTP through the built program: vsftpd where only the SSH server is told of it, curl and lftp as people use them.
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import {
  bringUp,
  killSessions,
  listenersOf,
  onlyForward,
  tool,
  toolMissing,
  type Tool,
} from '../helpers/forwards-world.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { behind, startVsftpd } from '../helpers/vsftpd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const missing = sshdMissing() ?? toolMissing('vsftpd', 'curl', 'lftp');
const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

describe.skipIf(missing !== null)('FTP through a tunnel', () => {
  let sshd: Sshd & AsyncDisposable;
  let server: ChildProcess;
  let world: World;
  let url: string;
  let at: string;
  const root = temporaryFolder('ftp');
  const files = join(root, 'files');

  beforeAll(async () => {
    mkdirSync(files, { mode: 0o777 });
    const port = await freePort();
    server = await startVsftpd(root, files, port);
    sshd = await startSshd();
    world = createWorld();
    await bringUp(
      world,
      sshd,
      `  files: { host: box, local: auto, remote: "${behind}:${port}", protocol: ftp, probe: { greeting: "^220" } }`,
    );
    at = onlyForward(await world.tunnel('files')).listen;
    url = `ftp://${at}`;
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    server.kill('SIGKILL');
    await sshd.stop();
  });
  const supervisor = async (): Promise<number> => (await world.status()).supervisor.pid ?? 0;
  const quiet = async (): Promise<void> => {
    await world.until('files', (tunnel) => onlyForward(tunnel).open === 0);
  };

  describe.each([
    ['PASV', ['--disable-epsv']],
    ['EPSV', ['--ftp-pasv']],
  ])('curl with %s', (mode, options) => {
    const curl = (...argv: string[]): Promise<Tool> =>
      tool('curl', ['-sS', '--max-time', '60', ...options, ...argv]);

    test('lists, fetches, resumes, stores and appends', async () => {
      const bytes = randomBytes(100_000);
      writeFileSync(join(files, `${mode}.bin`), bytes);
      const list = await curl(`${url}/`);
      expect(list.code, list.output).toBe(0);
      expect(list.output).toContain(`${mode}.bin`);
      expect(hash((await curl(`${url}/${mode}.bin`)).stdout)).toBe(hash(bytes));
      const half = join(root, `${mode}.half`);
      writeFileSync(half, bytes.subarray(0, 40_000));
      expect(await curl('-C', '-', '-o', half, `${url}/${mode}.bin`)).toMatchObject({ code: 0 });
      expect(hash(readFileSync(half))).toBe(hash(bytes));
      expect(await curl('-T', half, `${url}/${mode}-up.bin`)).toMatchObject({ code: 0 });
      expect(await curl('-a', '-T', half, `${url}/${mode}-up.bin`)).toMatchObject({ code: 0 });
      expect(hash(readFileSync(join(files, `${mode}-up.bin`)))).toBe(hash(Buffer.concat([bytes, bytes])));
    });

    test('moves 50 MB both ways', async () => {
      const big = randomBytes(50 * 1024 * 1024);
      writeFileSync(join(files, 'big.bin'), big);
      expect(hash((await curl(`${url}/big.bin`)).stdout)).toBe(hash(big));
      expect(await curl('-T', join(files, 'big.bin'), `${url}/big2.bin`)).toMatchObject({ code: 0 });
      expect(hash(readFileSync(join(files, 'big2.bin')))).toBe(hash(big));
    });

    test('fetches 50 files in a row and leaves no listener behind', async () => {
      await quiet();
      const pid = await supervisor();
      const before = listenersOf(pid);
      for (let index = 0; index < 50; index += 1)
        writeFileSync(join(files, `many-${index}.txt`), `file number ${index}.`);
      const got = await curl(...Array.from({ length: 50 }, (_, index) => `${url}/many-${index}.txt`));
      expect(got.code, got.output).toBe(0);
      expect(got.stdout.toString()).toBe(
        Array.from({ length: 50 }, (_, index) => `file number ${index}.`).join(''),
      );
      await quiet();
      expect(listenersOf(pid)).toEqual(before);
      expect(onlyForward(await world.tunnel('files'))).toMatchObject({ failed: 0, open: 0 });
    });
  });

  test('a client that is killed in the middle of a file leaves nothing behind', async () => {
    await quiet();
    const pid = await supervisor();
    const before = listenersOf(pid);
    writeFileSync(join(files, 'long.bin'), randomBytes(32 * 1024 * 1024));
    const child = spawn('curl', ['-sS', '--limit-rate', '1M', '-N', `${url}/long.bin`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    await quiet();
    expect(listenersOf(pid)).toEqual(before);
    expect((await tool('curl', ['-sS', `${url}/many-7.txt`])).stdout.toString()).toBe('file number 7.');
  });

  test('lftp mirrors both ways and aborts a transfer', async () => {
    const there = join(files, 'tree');
    mkdirSync(there);
    for (let index = 0; index < 20; index += 1)
      writeFileSync(join(there, `f${index}`), randomBytes(10_000 + index));
    const here = join(root, 'here');
    const lftp = (script: string): Promise<Tool> =>
      tool('lftp', ['-c', `set net:timeout 20; set net:max-retries 1; open ${url}; ${script}`]);
    const mirrored = await lftp(`mirror --parallel=4 tree ${here}; mirror -R ${here} back`);
    expect(mirrored.code, mirrored.output).toBe(0);
    expect(readdirSync(join(files, 'back'))).toHaveLength(20);
    for (const name of readdirSync(there))
      expect(hash(readFileSync(join(files, 'back', name)))).toBe(hash(readFileSync(join(there, name))));
    const aborted = await lftp(
      'set net:limit-rate 2M; set ftp:use-abor on; get long.bin -o /dev/null & sleep 0.5; kill 0; sleep 0.2; cat many-9.txt',
    );
    expect(aborted.output).toContain('file number 9.');
    await quiet();
  });

  test('active mode and TLS are answered clearly, and the log says why', async () => {
    const active = await tool('curl', ['-sSv', '--max-time', '30', '--ftp-port', '-', `${url}/`]);
    expect(active.code).not.toBe(0);
    expect(active.output).toMatch(/< 5\d\d .*passive/);
    const wanted = await tool('curl', ['-sSv', '--max-time', '30', '--ssl', `${url}/many-1.txt`]);
    expect(wanted.code, wanted.output).toBe(0);
    expect(wanted.output).toMatch(/< 502 .*encrypt/);
    const required = await tool('curl', ['-sS', '--max-time', '30', '--ssl-reqd', `${url}/many-1.txt`]);
    expect(required.code).toBe(64);
    expect((await world.run(['logs', '-n', '1000'])).stdout).toMatch(/AUTH|TLS/);
  });

  test('a transfer whose link is lost fails, and the next one works', async () => {
    const child = spawn('curl', ['-sS', '--limit-rate', '1M', '-N', `${url}/long.bin`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const gone = once(child, 'exit');
    child.stdout.resume();
    killSessions(sshd);
    const [code] = (await gone) as [number | null];
    expect(code).not.toBe(0);
    expect((await tool('curl', ['-sS', `${url}/many-3.txt`])).stdout.toString()).toBe('file number 3.');
    expect(onlyForward(await world.tunnel('files')).listen).toBe(at);
    await quiet();
  });

  test('its probe tells that the server greets', async () => {
    expect((await world.run(['wait', 'files'])).code).toBe(0);
    expect(onlyForward(await world.tunnel('files')).probe).toMatchObject({ ok: true });
  });
});
