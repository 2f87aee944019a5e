// What the daemon keeps in files: log, wanted marks, address, watched config; and the pure parts beside them.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { Writable } from 'node:stream';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readAddress, writeAddress } from '../../src/control/address.ts';
import { callerEnvironment, supervisorEnvironment, withKnownAgents } from '../../src/model/environment.ts';
import { watchFiles } from '../../src/daemon/file-watch.ts';
import { logFileNames } from '../../src/model/log-files.ts';
import { openFileLog, openTerminalLog } from '../../src/daemon/log.ts';
import { TimeLimit } from '../../src/daemon/waiting.ts';
import { openWanted, readWanted } from '../../src/control/wanted.ts';
import { TunnelError } from '../../src/errors.ts';
import { systemClock } from '../../src/model/clock.ts';
import { Secret } from '../../src/model/secret.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock } from '../helpers/manual-clock.ts';

const shout = (why: unknown): never => {
  throw new Error(String(why));
};

describe('the log', () => {
  test('is a JSON line with time, level, event and message, 0600, without secrets or escapes', async () => {
    const path = join(temporaryFolder('log'), 'tunnel.log');
    const log = openFileLog(path, 'info');
    log.write('info', 'login', 'in\u001b[31m red\u001b[0m', {
      tunnel: 'db',
      password: new Secret('hunter2'),
    });
    log.write('debug', 'noise', 'not at this level');
    log.write('error', 'bad', 'it failed', { error: new TunnelError('LINK_LOST', 'gone', { hint: 'h' }) });
    log.last('error', 'bug', 'the end', { link: 'x' });
    await log.close();
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed.toSorted((a, b) => String(a['event']).localeCompare(String(b['event'])))).toMatchObject([
      { level: 'error', event: 'bad', error: { code: 'LINK_LOST', message: 'gone', hint: 'h' } },
      { level: 'error', event: 'bug', message: 'the end', link: 'x' },
      { level: 'info', event: 'login', tunnel: 'db', message: 'in red', password: '[redacted]' },
    ]);
    expect(parsed.every(({ time }) => /^\d{4}-.*Z$/.test(String(time)))).toBe(true);
    expect(lines.join()).not.toContain('hunter2');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('rotates by size and keeps a few old files under known names', async () => {
    const path = join(temporaryFolder('log'), 'tunnel.log');
    const log = openFileLog(path, 'info');
    const long = 'x'.repeat(200_000);
    for (let line = 0; line < 160; line++) {
      log.write('info', 'fill', long);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await log.close();
    const files = readdirSync(join(path, '..')).map((name) => join(path, '..', name));
    expect(files.length).toBeGreaterThan(1);
    expect(logFileNames(path)).toEqual(expect.arrayContaining(files));
    expect(logFileNames(path).at(-1)).toBe(path);
  });

  test('in the foreground is a line for people', () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    const log = openTerminalLog(stream, 'info');
    log.write('warn', 'lost', 'link lost', { tunnel: 'db' });
    log.write('debug', 'noise', 'no');
    expect(text).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warn {2}db: link lost\n$/);
  });
});

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

describe('the address', () => {
  test('is read as it was written, and nonsense is none', () => {
    const path = join(temporaryFolder('address'), 'address.json');
    const address = { pid: 7, socket: '/run/s.sock', token: null, config: '/c.yaml' };
    writeAddress(path, address);
    expect(readAddress(path)).toEqual(address);
    writeFileSync(path, '{"pid":"7"}');
    expect(readAddress(path)).toBe(null);
    expect(readAddress(`${path}.none`)).toBe(null);
  });
});

describe('environments', () => {
  test('of a supervisor are the listed ones, with places made absolute', () => {
    const env = {
      PATH: '/bin',
      HOME: '/home/me',
      LC_ALL: 'C',
      XDG_RUNTIME_DIR: '/run/user/1',
      TUNNEL_HOME: 'here',
      NODE_OPTIONS: '--inspect',
      SSH_AUTH_SOCK: '/agent',
      AWS_SECRET_ACCESS_KEY: 'x',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/bus',
    };
    expect(supervisorEnvironment({ env, cwd: '/work', platform: 'linux' })).toEqual({
      PATH: '/bin',
      HOME: '/home/me',
      LC_ALL: 'C',
      XDG_RUNTIME_DIR: '/run/user/1',
      TUNNEL_HOME: '/work/here',
      DBUS_SESSION_BUS_ADDRESS: 'unix:path=/bus',
    });
  });

  test('of commands name their agent, and earlier agents stand behind it, each once', () => {
    const environment = callerEnvironment({ SSH_AUTH_SOCK: '/b', A: '1', B: undefined });
    expect(environment).toEqual({ variables: { SSH_AUTH_SOCK: '/b', A: '1' }, agentSockets: ['/b'] });
    expect(withKnownAgents(environment, ['/a', '/b']).agents).toEqual(['/b', '/a']);
    const many = Array.from({ length: 20 }, (_, index) => `/agent/${index}`);
    expect(withKnownAgents(environment, many).agents).toHaveLength(8);
  });
});

/** A look first makes sure that the files are within reach. */
const looked = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('watched files', () => {
  const changes: Record<string, (file: string) => void> = {
    'written in place': (file) => writeFileSync(file, 'b'),
    'replaced by a rename': (file) => {
      writeFileSync(`${file}.new`, 'b');
      renameSync(`${file}.new`, file);
    },
    removed: (file) => rmSync(file),
  };
  test.each(Object.entries(changes))('are told of when %s', async (_, change) => {
    const file = join(temporaryFolder('watch'), 'tunnels.yaml');
    writeFileSync(file, 'a');
    await using watched = watchOne(file);
    change(file);
    await watched.told;
  });

  test('are told of when the folder behind a link is swapped, as ConfigMaps are', async () => {
    const folder = temporaryFolder('watch');
    for (const name of ['v1', 'v2']) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, 'tunnels.yaml'), name);
    }
    symlinkSync('v1', join(folder, '..data'));
    symlinkSync('..data/tunnels.yaml', join(folder, 'tunnels.yaml'));
    await using watched = watchOne(join(folder, 'tunnels.yaml'));
    symlinkSync('v2', join(folder, '..tmp'));
    renameSync(join(folder, '..tmp'), join(folder, '..data'));
    await watched.told;
  });

  test('are not told of when nothing in them changed', async () => {
    const folder = temporaryFolder('watch');
    const file = join(folder, 'tunnels.yaml');
    writeFileSync(file, 'a');
    let told = 0;
    const clock = manualClock();
    const watch = watchFiles(clock, () => told++);
    watch.follow([file]);
    writeFileSync(file, 'a');
    clock.advance(60_000);
    await looked();
    expect(told).toBe(0);
    writeFileSync(file, 'b');
    clock.advance(5000);
    await looked();
    expect(told).toBe(1);
    watch.close();
  });

  function watchOne(file: string): AsyncDisposable & { told: Promise<void> } {
    let tell = (): void => undefined;
    const told = new Promise<void>((resolve) => (tell = resolve));
    const watch = watchFiles(systemClock, () => tell());
    watch.follow([file]);
    return { told, [Symbol.asyncDispose]: () => Promise.resolve(watch.close()) };
  }
});

describe('patience', () => {
  test('runs out, but not while a question is open', () => {
    const clock = manualClock();
    const limit = new TimeLimit(1000, new AbortController().signal, clock);
    clock.advance(900);
    limit.pause('q');
    limit.pause('r');
    clock.advance(60_000);
    limit.resume('q');
    clock.advance(60_000);
    expect(limit.signal.aborted).toBe(false);
    limit.resume('r');
    limit.resume('r');
    clock.advance(99);
    expect(limit.signal.aborted).toBe(false);
    clock.advance(1);
    expect(limit.signal.aborted && limit.ranOut).toBe(true);
    limit.end();
    expect(clock.armed()).toBe(0);
  });

  test('ends with whoever waits, and is then not said to have run out', () => {
    const clock = manualClock();
    const outer = new AbortController();
    const limit = new TimeLimit(1000, outer.signal, clock);
    outer.abort();
    expect(limit.signal.aborted).toBe(true);
    expect(limit.ranOut).toBe(false);
    limit.end();
    expect(clock.armed()).toBe(0);
  });
});
