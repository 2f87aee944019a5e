// FTP through a tunnel: vsftpd on an address that only the SSH server is told of, curl and lftp as clients.
import { execFile, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Carrier } from '../../src/model/carrier.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { Session } from '../../src/model/session.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { clientOf, dialSshd, makeCarrier, until } from '../helpers/forward-scene.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { behind, startVsftpd } from '../helpers/vsftpd.ts';

const vsftpd = ['/usr/sbin/vsftpd', '/usr/local/sbin/vsftpd'].find((path) => existsSync(path));
const missing = sshdMissing() !== null || vsftpd === undefined || process.platform !== 'linux';
const has = (name: string): boolean => existsSync(`/usr/bin/${name}`);

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

async function run(
  command: string,
  argv: readonly string[],
): Promise<{ code: number; output: string; bytes: Buffer }> {
  return new Promise((resolve) => {
    execFile(command, argv, { encoding: 'buffer', maxBuffer: 1 << 28 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ code, output: `${stdout.toString('latin1', 0, 4000)}${stderr.toString()}`, bytes: stdout });
    });
  });
}

function listeners(): number {
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  const own = new Set(
    readdirSync('/proc/self/fd').map((fd) => {
      try {
        return /socket:\[(\d+)\]/.exec(readlink(fd))?.[1];
      } catch {
        return undefined;
      }
    }),
  );
  return rows.map((row) => row.trim().split(/\s+/)).filter((row) => row[3] === '0A' && own.has(row[9]))
    .length;
}
function readlink(fd: string): string {
  return readlinkSync(`/proc/self/fd/${fd}`);
}

describe.skipIf(missing)('FTP through a tunnel', () => {
  let sshd: Sshd;
  let server: ChildProcess;
  let carrier: Carrier;
  let session: Session;
  let logged: string[];
  let url: string;
  const root = temporaryFolder('ftp');
  const files = join(root, 'files');

  beforeAll(async () => {
    mkdirSync(files, { mode: 0o777 });
    const port = await freePort();
    server = await startVsftpd(root, files, port);
    sshd = await startSshd();
    ({ carrier, logged } = makeCarrier({
      type: 'local',
      name: null,
      probe: null,
      listen: tcp('127.0.0.1', 0),
      target: tcp(behind, port),
      protocol: 'ftp',
    }));
    await carrier.open();
    session = await dialSshd(sshd);
    carrier.link({ state: 'up', session });
    url = `ftp://${carrier.status().listen}`;
  });
  afterAll(async () => {
    await carrier.close(0);
    await session.close();
    server.kill('SIGKILL');
    await sshd.stop();
  });
  const quiet = (): Promise<void> => until(() => carrier.status().open === 0);

  describe.runIf(has('curl')).each([
    ['passive', '--disable-epsv'],
    ['extended passive', '--no-disable-epsv'],
  ])('curl in %s mode', (_name, mode) => {
    const curl = (...argv: string[]): ReturnType<typeof run> =>
      run('curl', ['-sS', '--max-time', '30', mode, ...argv]);

    test('lists, fetches, resumes and stores', async () => {
      const small = randomBytes(100_000);
      writeFileSync(join(files, 'small.bin'), small);
      const list = await curl(`${url}/`);
      expect(list).toMatchObject({ code: 0 });
      expect(list.output).toContain('small.bin');
      expect(hash((await curl(`${url}/small.bin`)).bytes)).toBe(hash(small));
      const rest = await curl('-C', '60000', `${url}/small.bin`);
      expect(hash(rest.bytes)).toBe(hash(small.subarray(60_000)));
      const up = join(root, 'up.bin');
      writeFileSync(up, small);
      expect(await curl('-T', up, `${url}/stored.bin`)).toMatchObject({ code: 0 });
      expect(hash(readFileSync(join(files, 'stored.bin')))).toBe(hash(small));
    });

    test('moves big files both ways', async () => {
      const big = randomBytes(64 * 1024 * 1024);
      writeFileSync(join(files, 'big.bin'), big);
      expect(hash((await curl(`${url}/big.bin`)).bytes)).toBe(hash(big));
      expect(await curl('-T', join(files, 'big.bin'), `${url}/big2.bin`)).toMatchObject({ code: 0 });
      expect(hash(readFileSync(join(files, 'big2.bin')))).toBe(hash(big));
    });

    test('50 files in a row leave no listener behind', async () => {
      await quiet();
      const before = listeners();
      for (let index = 0; index < 50; index += 1)
        writeFileSync(join(files, `many-${index}.txt`), `file number ${index}`);
      const wanted = Array.from({ length: 50 }, (_, index) => `${url}/many-${index}.txt`);
      const got = await curl(...wanted);
      expect(got.code).toBe(0);
      expect(got.output).toContain('file number 49');
      await quiet();
      expect(listeners()).toBe(before);
      expect(carrier.status()).toMatchObject({ failed: 0, open: 0 });
    });
  });

  test.runIf(has('curl'))('active mode is answered clearly', async () => {
    const { code, output } = await run('curl', ['-sSv', '--max-time', '30', '-P', '-', `${url}/`]);
    expect(code).not.toBe(0);
    expect(output).toContain('use passive mode');
  });

  test.runIf(has('curl'))('TLS is answered 502, and the log says so', async () => {
    const asked = await run('curl', ['-sSv', '--max-time', '30', '--ssl', `${url}/small.bin`]);
    expect(asked.output).toContain('502 The SSH tunnel encrypts this connection already');
    expect(asked.code).toBe(0);
    expect(logged.join('\n')).toContain('ftp-auth');
  });

  test.runIf(has('lftp'))('lftp mirrors a folder both ways and aborts a transfer', async () => {
    const there = join(files, 'tree');
    mkdirSync(there, { recursive: true });
    for (let index = 0; index < 20; index += 1)
      writeFileSync(join(there, `f${index}`), randomBytes(10_000 + index));
    const here = join(root, 'here');
    const lftp = (script: string): ReturnType<typeof run> =>
      run('lftp', [
        '-c',
        `set net:timeout 20; set net:max-retries 1; set ftp:sync-mode off; open ${url}; ${script}`,
      ]);
    expect(await lftp(`mirror --parallel=4 tree ${here}; mirror -R ${here} back`)).toMatchObject({ code: 0 });
    expect(readdirSync(join(files, 'back'))).toHaveLength(20);
    for (const name of readdirSync(there))
      expect(hash(readFileSync(join(files, 'back', name)))).toBe(hash(readFileSync(join(there, name))));
    writeFileSync(join(files, 'long.bin'), randomBytes(64 * 1024 * 1024));
    const aborted = await lftp(
      'set net:limit-rate 4M; set ftp:use-abor on; get long.bin -o /dev/null & sleep 0.5; kill 0; sleep 0.2; cat many-7.txt',
    );
    expect(aborted.output).toContain('file number 7');
    await quiet();
  });

  /** A control connection by hand. */
  function control(): { socket: Socket; said: () => string; ask: (line: string) => void } {
    const socket = clientOf(carrier.status().listen);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
    return { socket, said: () => text, ask: (line) => socket.write(`${line}\r\n`) };
  }

  test('a pipelined client gets every answer in its turn, ours among the server’s', async () => {
    const { socket, said, ask } = control();
    ask('USER anonymous\r\nPASS x\r\nPORT 127,0,0,1,4,5\r\nPWD\r\nAUTH TLS\r\nEPSV\r\nQUIT');
    await once(socket, 'end');
    const codes = said()
      .match(/^\d{3} /gm)
      ?.map(Number);
    expect(codes).toEqual([220, 230, 230, 502, 257, 502, 229, 221]);
    socket.end();
    await quiet();
  });

  test('ABOR with telnet marks ends a running transfer', async () => {
    writeFileSync(join(files, 'long.bin'), randomBytes(32 * 1024 * 1024));
    const { socket, said, ask } = control();
    ask('USER anonymous\r\nPASS x\r\nTYPE I\r\nEPSV');
    await until(() => said().includes('229 '));
    const port = Number(/\|\|\|(\d+)\|/.exec(said())?.[1]);
    const data = connect(port, '127.0.0.1');
    data.on('error', () => undefined);
    await once(data, 'connect');
    data.pause();
    ask('RETR long.bin');
    await until(() => said().includes('150 '));
    socket.write(Buffer.from([0xff, 0xf4, 0xff, 0xf2]));
    ask('ABOR');
    data.resume();
    await until(() => /22[56] /.test(said().slice(said().indexOf('150 '))));
    ask('QUIT');
    await once(socket, 'end');
    socket.end();
    data.destroy();
    await quiet();
  });

  test('a data port takes one connection, and only from the control client’s address', async () => {
    const { socket, said, ask } = control();
    ask('USER anonymous\r\nPASS x\r\nPASV');
    await until(() => said().includes('227 '));
    const [, high, low] = /,(\d+),(\d+)\)/.exec(said()) ?? [];
    expect(said()).toContain('(127,0,0,1,');
    const port = Number(high) * 256 + Number(low);
    const first = connect(port, '127.0.0.1').on('error', () => undefined);
    await once(first, 'connect');
    await until(() => carrier.status().open === 2);
    const second = connect(port, '127.0.0.1');
    const [error] = (await once(second, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ECONNREFUSED');
    first.destroy();
    socket.destroy();
    await quiet();
  });
});
