// Commands at their edges: several supervisors, host names of the config, documents that are not there (SPEC 4).
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/model/status.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { createWorld, finished } from '../helpers/world.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');

const text = (sshd: Sshd, tunnel: string, host = ''): string => `
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false${host} }
tunnels:
  ${tunnel}: { host: box, local: auto, remote: 9, tags: [${tunnel}-tag] }
`;

describe('commands without a server', () => {
  test('wait tells at once of a name that nobody has, and of a broken file', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    expect(await world.run(['wait', 'nope', '--timeout', '10h'])).toMatchObject({ code: 2, stdout: '' });
    world.config('tunnels: { db: { local: 0.5 } }\n');
    expect(await world.run(['wait', '--json', '--timeout', '10h'])).toMatchObject({ code: 3, stdout: '' });
  });

  test('init allows the project file it wrote', async () => {
    await using world = createWorld();
    const place = { cwd: join(world.folder, 'work'), env: { TUNNEL_HOME: '' } };
    mkdirSync(place.cwd, { mode: 0o700 });
    const options = ['--host', 'me@127.0.0.1:9', '--remote', 'db:5432', '--local', '2345'];
    expect((await world.run(['init', '-c', 'tunnels.yaml', ...options], place)).code).toBe(0);
    expect((await world.run(['show'], place)).code).toBe(0);
    const other = { ...place, cwd: join(world.folder, 'elsewhere') };
    mkdirSync(other.cwd, { mode: 0o700 });
    copyFileSync(join(place.cwd, 'tunnels.yaml'), join(other.cwd, 'tunnels.yaml'));
    expect(await world.run(['show'], other)).toMatchObject({ code: 3, stdout: '' });
  });

  test('hints name the config that was named, and mean what they say when pasted', async () => {
    await using world = createWorld();
    const file = join(world.folder, 'of mine.yaml');
    const text = 'tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 5432, hold: 0s }\n';
    writeFileSync(file, text, { mode: 0o600 });
    const up = await world.run(['-c', 'of mine.yaml', 'up', '--timeout', '1ms']);
    expect(up.stderr).toContain("hint: tunnel -c 'of mine.yaml' why db");
    expect(up.stderr).toContain("in the background: tunnel -c 'of mine.yaml' status db");
    const status = await world.run(['-c', 'of mine.yaml', 'status']);
    expect(status.stdout).toContain("hint: tunnel -c 'of mine.yaml' why db");
    expect((await world.run(['status', '--all'])).stdout).toContain(`hint: tunnel -c '${file}' why db`);
    expect((await world.run(['-c', 'of mine.yaml', 'down'])).code).toBe(0);
    const again = await world.run(['-c', 'of mine.yaml', 'init', '--host', 'a', '--remote', 'b:1']);
    expect(again.stderr).toContain("hint: tunnel -c './of mine.yaml' add a -L 1:b:1 a    # one more");
  });

  test.each([
    ['that others may write', 0o777, /its mode is 0777/],
    ['whose group may write', 0o770, /its mode is 0770/],
  ])('secret refuses a state folder %s', async (_, mode, why) => {
    await using world = createWorld();
    const state = join(world.folder, 'state');
    mkdirSync(state);
    chmodSync(state, mode);
    const refused = await world.run(['secret', 'list'], { env: { TUNNEL_HOME: state } });
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(why);
    expect(refused.stderr).toContain(`hint: chmod 700 ${state}`);
    chmodSync(state, 0o700);
    mkdirSync(join(state, 'secrets'));
    chmodSync(join(state, 'secrets'), mode);
    expect((await world.run(['secret', 'list'], { env: { TUNNEL_HOME: state } })).code).toBe(4);
  });

  test.skipIf(!existsSync('/dev/full'))(
    'a result that cannot be written is said in one line, exit 1',
    async () => {
      await using world = createWorld();
      world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
      const shell = `exec "${process.execPath}" "${bin}" show --json > /dev/full`;
      const ran = await finished(spawn('sh', ['-c', shell], { env: world.env }));
      expect(ran).toMatchObject({ code: 1, stdout: '' });
      expect(ran.stderr).toMatch(/^tunnel: writing failed, on the standard output: ENOSPC.*\n$/);
    },
  );

  test('a folder that was removed under our feet is no matter', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: me@127.0.0.1, local: 2345, remote: 5432 }\n');
    for (const args of ['status', 'check', 'up --timeout', '-c t.yaml status']) {
      const shell = `mkdir gone && cd gone && rmdir ../gone && exec "${process.execPath}" "${bin}" ${args}`;
      const ran = await finished(spawn('sh', ['-c', shell], { env: world.env, cwd: world.folder }));
      expect(ran.stderr).not.toContain('uv_cwd');
      expect(ran.code, args).toBe({ 'up --timeout': 2, '-c t.yaml status': 3 }[args] ?? 0);
    }
  });

  test('a reader that left changes nothing of what is done, nor of the exit code; what goes on for ever ends', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\n');
    const unread = async (...args: string[]): Promise<number | null> => {
      const child = world.start(args);
      child.stdout?.destroy();
      return (await finished(child)).code;
    };
    expect(await unread('up', '--timeout', '1ms')).toBe(5);
    expect(await unread('status', '--check')).toBe(9);
    expect(await unread('status')).toBe(0);
    expect(await unread('logs', '-f')).toBe(0);
    expect(await unread('status', '--watch')).toBe(0);
  });

  test('hosts shows names of a file without what a terminal would obey', async () => {
    await using world = createWorld();
    const key = makeKey(join(world.folder, 'key'));
    const [type, blob] = readFileSync(`${key}.pub`, 'utf8').split(' ');
    mkdirSync(join(world.folder, 'home', '.ssh'));
    writeFileSync(
      join(world.folder, 'home', '.ssh', 'known_hosts'),
      `\u001b[31mred.test,\u202eabc.test ${type} ${blob}\n`,
    );
    const { stdout } = await world.run(['hosts']);
    expect(stdout).toContain('\nred.test,abc.test');
  });
});

describe.skipIf(sshdMissing() !== null)('commands', () => {
  test('status --all takes selectors that mean something to one supervisor only', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const other = join(world.folder, 'other.yaml');
    world.config(text(sshd, 'one', ', host_keys: accept-new'));
    writeFileSync(other, text(sshd, 'two', ', host_keys: accept-new'), { mode: 0o600 });
    expect((await world.run(['up'])).code).toBe(0);
    try {
      expect((await world.run(['up', '-c', other])).code).toBe(0);
      const namesOf = async (...selectors: string[]): Promise<string[]> => {
        const ran = await world.run(['status', '--all', '--json', ...selectors]);
        const { supervisors } = JSON.parse(ran.stdout) as { supervisors: StatusDocument[] };
        return supervisors.map(({ tunnels }) => tunnels.map(({ name }) => name).join());
      };
      expect(await namesOf()).toEqual(['two', 'one']);
      expect(await namesOf('two')).toEqual(['two']);
      expect(await namesOf('one', 'tag:two-tag')).toEqual(['two', 'one']);
      expect(await world.run(['status', '--all', '--json', 'one', 'three'])).toMatchObject({
        code: 2,
        stdout: '',
      });
    } finally {
      await world.run(['down', '-c', other]);
    }
  });

  test('trust --json prints nothing where nothing came of it', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(text(sshd, 'db'));
    expect(await world.run(['trust', '--json'])).toMatchObject({ code: 7, stdout: '' });
    const stored = await world.run(['trust', '--json', '--yes']);
    expect(JSON.parse(stored.stdout)).toMatchObject([{ host: 'box', kind: 'stored' }]);
  });

  test('hosts knows the files and the names of the config', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const theirs = join(world.folder, 'their_hosts');
    writeFileSync(theirs, `${sshd.knownHostsLine()}\n`);
    world.config(text(sshd, 'db', `, known_hosts: ${theirs}`));
    const listed = await world.run(['hosts', '--json']);
    expect(JSON.parse(listed.stdout)).toMatchObject([
      { host: `[127.0.0.1]:${sshd.port}`, file: theirs, line: 1, firstSeen: null, lastUsed: null },
    ]);
    const foreign = await world.run(['hosts', 'forget', 'box']);
    expect(foreign).toMatchObject({ code: 2, stdout: '' });
    expect(foreign.stderr).toContain(`still trusted by ${theirs}:1`);
    expect(foreign.stderr).toContain('tunnel: our own store has no key for box');

    world.config(text(sshd, 'db'));
    expect((await world.run(['trust', '--yes'])).code).toBe(0);
    const forgotten = await world.run(['hosts', 'forget', 'box']);
    expect(forgotten).toMatchObject({ code: 0, stdout: `forgot box ssh-ed25519 ${sshd.fingerprint()}\n` });
    expect(readFileSync(join(world.folder, 'known_hosts'), 'utf8').trim()).toBe('');
  });
});
