// Supervisors as real processes: started, found, killed, raced for, and ended in good order.
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { protocolVersion } from '../../src/control/protocol.ts';
import { listSupervisors } from '../../src/control/reach.ts';
import { placesOf } from '../../src/paths.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { createDaemonWorld, hopeless, isRunning, plainUp } from '../helpers/daemon-world.ts';
import { hinting } from '../helpers/hint.ts';

/** Between two of its tries a hopeless tunnel is at one. */
const trying = expect.stringMatching(/^(retrying|connecting)$/) as string;
const quick = { timeout: 20_000, interval: 20 };

describe('a supervisor', () => {
  test('is started by need, remembers what is wanted, and ends in good order when nothing is', async () => {
    await using world = await createDaemonWorld();
    const { failures } = await world.up(['web']);
    expect(failures).toMatchObject([{ tunnel: 'web', error: { code: 'UNREACHABLE' } }]);
    const pid = world.pid();
    expect((await world.status())?.supervisor).toMatchObject({
      running: true,
      pid,
      version: '0.1.0',
      config: world.config,
      configError: null,
    });
    expect(world.wanted()).toEqual(['web']);
    for (const file of [world.at.lock, world.at.address, world.at.wanted, world.at.log, world.at.socket])
      expect(statSync(file).mode & 0o777, file).toBe(0o600);
    expect(statSync(world.at.folder).mode & 0o777).toBe(0o700);
    const client = await world.need();
    const down = await client.call('down', { selectors: [], drainMs: 0 });
    expect(down).toMatchObject({ ending: true, document: { tunnels: [{ name: 'web', state: 'down' }] } });
    await client.closed;
    expect([world.at.lock, world.at.address, world.at.socket].filter((file) => existsSync(file))).toEqual([]);
    expect(await world.status()).toBe(null);
    expect(world.wanted()).toEqual([]);
    await expect.poll(() => isRunning(pid), quick).toBe(false);
    expect(world.log()).toContain('nothing is wanted any more');
  });

  test('killed by SIGKILL is followed by a fresh one with nothing cleaned up, which brings back what was wanted', async () => {
    await using world = await createDaemonWorld(`tunnels:
  web: { host: "me@127.0.0.1:1", local: auto, remote: 22 }
  other: { host: "me@127.0.0.1:1", local: auto, remote: 23 }
`);
    const before = (await world.up(['web'])).document.tunnels[0]?.forwards[0]?.listen;
    const pid = world.pid();
    process.kill(pid, 'SIGKILL');
    await expect.poll(() => isRunning(pid), quick).toBe(false);
    expect(existsSync(world.at.lock) && existsSync(world.at.socket)).toBe(true);
    expect(await world.status()).toBe(null);
    await world.up(['other']);
    expect(world.pid()).not.toBe(pid);
    const status = await world.status();
    expect(status?.tunnels.map(({ name, state }) => [name, state === 'down'])).toEqual([
      ['web', false],
      ['other', false],
    ]);
    expect(status?.tunnels[0]?.forwards[0]?.listen, 'an auto port stays the same').toBe(before);
    expect(world.wanted().toSorted()).toEqual(['other', 'web']);
  });

  test('is one, however many start it at once', async () => {
    await using world = await createDaemonWorld();
    const clients = await Promise.all(Array.from({ length: 10 }, () => world.need()));
    const pids = await Promise.all(clients.map(async (client) => (await client.hello()).pid));
    expect(new Set(pids)).toEqual(new Set([world.pid()]));
  });

  test('brings back by itself what was wanted, when only asked for its status', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    process.kill(world.pid(), 'SIGKILL');
    await expect.poll(() => world.connect(), quick).toBe(null);
    expect(world.wanted()).toEqual(['web']);
    const client = await world.need();
    await expect
      .poll(async () => (await client.call('status', { selectors: [] })).tunnels[0]?.state, quick)
      .toEqual(trying);
  });

  test('hands on what was wanted, and was not brought back yet when it is replaced', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    process.kill(world.pid(), 'SIGKILL');
    await expect.poll(() => world.connect(), quick).toBe(null);
    const client = await world.need();
    const asked = { program: world.program, protocol: protocolVersion.current, byPerson: true };
    const { pid } = await client.call('hand-over', { ...asked, token: undefined });
    expect(world.pid()).toBe(pid);
    await expect.poll(async () => (await world.status())?.tunnels[0]?.state, quick).toEqual(trying);
    expect(world.wanted()).toEqual(['web']);
  });

  test('makes its socket again when somebody removed it', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    const pid = world.pid();
    rmSync(dirname(world.at.socket), { recursive: true });
    expect((await world.status())?.supervisor.pid).toBe(pid);
    expect(world.log()).toContain('it was made again');
  });

  test('does not use the XDG_RUNTIME_DIR of another user, and goes elsewhere when its own is gone', async () => {
    const run = temporaryFolder('run');
    await using world = await createDaemonWorld(hopeless, {
      TUNNEL_HOME: '',
      TMPDIR: temporaryFolder('tmp'),
      XDG_RUNTIME_DIR: run,
    });
    await world.up(['web']);
    expect(world.socket()).toBe(world.at.socket);
    rmSync(run, { recursive: true });
    writeFileSync(run, '');
    await expect.poll(() => world.socket(), quick).toBe(world.at.spareSocket);
    expect((await world.status())?.supervisor.pid).toBe(world.pid());
    const client = await world.need();
    await client.call('shutdown', {});
    await client.closed;
    rmSync(run);
    mkdirSync(run);
    if (world.facts.uid !== 0) return; // only root can give a folder away
    chownSync(run, 4321, 4321);
    await world.need();
    expect(world.socket()).toBe(world.at.spareSocket);
  });

  test('of one config does not disturb that of another, and both are listed', async () => {
    await using world = await createDaemonWorld();
    const second = join(world.home, 'second.yaml');
    world.write(hopeless.replace('web', 'second'), second);
    await world.up(['web']);
    const client = await world.need(second);
    expect((await client.hello()).pid).not.toBe(world.pid());
    const found = await listSupervisors(placesOf(world.facts), world.facts, (error) => {
      throw error;
    });
    expect(found.map(({ config }) => config)).toEqual([second, world.config]);
    const documents = await Promise.all(
      found.map(({ client: one }) => one.call('status', { selectors: [] })),
    );
    expect(documents.map(({ tunnels }) => tunnels.map(({ name }) => name))).toEqual([['second'], ['web']]);
    for (const one of found) one.client.close();
  });

  test('refuses folders that others may look into, and says how to mend it', async () => {
    await using world = await createDaemonWorld();
    mkdirSync(dirname(world.at.socket), { mode: 0o755 });
    chmodSync(dirname(world.at.socket), 0o755);
    await expect(world.need()).rejects.toMatchObject({
      code: 'DAEMON_DOWN',
      hint: `chmod 700 ${dirname(world.at.socket)}`,
    });
    chmodSync(dirname(world.at.socket), 0o700);
    chmodSync(placesOf(world.facts).machineDir, 0o750);
    await expect(world.need()).rejects.toMatchObject({
      code: 'DAEMON_DOWN',
      message: expect.stringContaining('0750'),
    });
  });

  test('is not started by a broken config: its issues come back, and nothing is left behind', async () => {
    await using world = await createDaemonWorld('tunnels: { web: { hostt: x } }\n');
    await expect(world.need()).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('web'),
    });
    expect([world.at.lock, world.at.address, world.at.socket].filter((file) => existsSync(file))).toEqual([]);
  });

  test('leaves running tunnels alone when its config breaks, and says so', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    world.write('tunnels: { web: { hostt: x } }\n');
    await expect.poll(async () => (await world.status())?.supervisor.configError, quick).toContain('web');
    await expect(world.up(['web'])).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect((await world.status())?.tunnels).toMatchObject([{ name: 'web', state: trying }]);
    world.write(hopeless);
    await expect.poll(async () => (await world.status())?.supervisor.configError, quick).toBe(null);
    rmSync(world.config);
    await expect
      .poll(async () => (await world.status())?.supervisor.configError, quick)
      .toContain('no config');
    await expect(world.up(['web'])).rejects.toMatchObject({ code: 'CONFIG_MISSING' });
  });

  test('applies its config when it is saved', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    world.write(
      `${hopeless.replace('} }', '},')} more: { host: "me@127.0.0.1:1", local: auto, remote: 9 } }`,
    );
    await expect
      .poll(async () => (await world.status())?.tunnels.map(({ name }) => name).toSorted(), quick)
      .toEqual(['more', 'web']);
  });

  test('that was asked for what does not exist says so and does not stay', async () => {
    await using world = await createDaemonWorld();
    const client = await world.need();
    const selectors = ['wbe'];
    await expect(client.call('up', { ...plainUp, selectors })).rejects.toMatchObject({
      code: 'NO_SUCH_TUNNEL',
      hint: hinting(/web/),
    });
    expect(existsSync(world.at.lock)).toBe(true);
    client.close();
    await expect.poll(() => existsSync(world.at.lock), quick).toBe(false);
  });

  test('starts with the listed environment only, in /, and takes SIGUSR1 without opening a debugger', async () => {
    await using world = await createDaemonWorld(hopeless, {
      NODE_OPTIONS: '--no-warnings',
      SSH_AUTH_SOCK: '/tmp/none',
      DB_PASSWORD: 'hunter2',
      TUNNEL_MARK: 'seen',
    });
    await world.up(['web']);
    const pid = world.pid();
    const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').filter(Boolean);
    expect(environ.map((entry) => entry.split('=')[0] ?? '').toSorted()).toEqual([
      'HOME',
      'LANG',
      'PATH',
      'TUNNEL_HOME',
      'TUNNEL_MARK',
    ]);
    process.kill(pid, 'SIGUSR1');
    expect((await world.status())?.supervisor.pid).toBe(pid);
    expect(world.log()).not.toContain('Debugger');
  });

  test('lives through nonsense on its socket', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    const attacks = [
      '\0'.repeat(1000),
      '{"id":1}\n',
      '[[[[',
      'GET / HTTP/1.0\r\n\r\n',
      '{"id":1,"method":"down","params":{}}\n',
    ];
    await Promise.all(
      attacks.map(
        (bytes) =>
          new Promise<void>((resolve) => {
            const socket = connect(world.at.socket, () => socket.end(bytes));
            socket.on('error', () => undefined).on('close', () => resolve());
            socket.resume();
          }),
      ),
    );
    expect((await world.status())?.tunnels).toMatchObject([{ name: 'web', state: trying }]);
  });

  test('with a bug in it logs it, each time it shows, and goes on', async () => {
    await using world = await createDaemonWorld(hopeless, { TUNNEL_TEST_BUG: '1' });
    await world.up(['web']);
    const pid = world.pid();
    process.kill(pid, 'SIGUSR2');
    await expect.poll(() => world.log(), quick).toMatch(/"event":"bug".*RangeError: planted by a test/);
    process.kill(pid, 'SIGCONT');
    await expect.poll(() => world.log(), quick).toMatch(/"event":"bug".*a promise broken by a test/);
    await world.up(['web']);
    expect(world.pid()).toBe(pid);
  });

  test.skipIf(process.platform === 'win32')(
    'is ended by no signal but those that ask for its end',
    async () => {
      await using world = await createDaemonWorld();
      await world.up(['web']);
      const pid = world.pid();
      const asking = ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGKILL', 'SIGSTOP', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'];
      const faults = ['SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGABRT', 'SIGIOT', 'SIGTRAP', 'SIGSYS'];
      for (const name of Object.keys(constants.signals) as NodeJS.Signals[]) {
        if (asking.includes(name) || faults.includes(name)) continue;
        process.kill(pid, name);
        expect((await world.status())?.supervisor.pid, name).toBe(pid);
      }
      for (const name of ['SIGUSR2', 'SIGALRM']) expect(world.log()).toContain(`${name} came`);
      process.kill(pid, 'SIGQUIT');
      await expect.poll(() => isRunning(pid), quick).toBe(false);
      expect(world.log()).toContain('supervisor ends: ended by SIGQUIT');
    },
  );

  test('that hangs is told about within its deadline, with the line that ends it', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    const pid = world.pid();
    process.kill(pid, 'SIGSTOP');
    await expect(world.status()).rejects.toMatchObject({
      code: 'DAEMON_DOWN',
      hint: hinting(new RegExp(`kill -9 ${pid}`)),
    });
  });
});

describe('a supervisor in the foreground', () => {
  test('serves what is asked for, logs to stderr, reloads by SIGHUP, and ends with 0 by SIGTERM', async () => {
    await using world = await createDaemonWorld();
    const { child, stderr, exit } = await world.foreground('web');
    await expect.poll(async () => (await world.status())?.tunnels[0]?.state, quick).toEqual(trying);
    expect(world.pid()).toBe(child.pid);
    world.write('tunnels: {}\n');
    child.kill('SIGHUP');
    await expect.poll(stderr, quick).toContain('tunnels.yaml');
    expect((await world.status())?.tunnels).toMatchObject([{ name: 'web' }]);
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    expect(stderr()).toContain('ended by SIGTERM');
    expect(world.wanted(), 'it was told to end').toEqual([]);
    expect(existsSync(world.at.lock)).toBe(false);
  });

  test('runs where nothing can be remembered, says so once, and is found all the same', async () => {
    const run = temporaryFolder('run');
    await using world = await createDaemonWorld(hopeless, {
      TUNNEL_HOME: '',
      XDG_STATE_HOME: '/proc',
      XDG_RUNTIME_DIR: run,
    });
    const { child, stderr, exit } = await world.foreground('web');
    await expect.poll(async () => (await world.status())?.tunnels[0]?.state, quick).toEqual(trying);
    expect(stderr().match(/nothing is remembered/g)).toHaveLength(1);
    const beside = await world.foreground();
    expect(await beside.exit).toBe(4);
    await expect(world.need(join(world.home, 'other.yaml'))).rejects.toMatchObject({ code: 'DAEMON_DOWN' });
    child.kill('SIGTERM');
    expect(await exit).toBe(0);
    expect(stderr(), 'nothing was tried').not.toMatch(/wanted\.json|history\.jsonl/);
  });

  test('runs even where no socket can be made', async () => {
    await using world = await createDaemonWorld(hopeless, { TUNNEL_HOME: '/proc/none' });
    const { child, stderr, exit } = await world.foreground('web');
    await expect.poll(stderr, quick).toContain('no command can reach');
    await expect.poll(stderr, quick).toContain('refused');
    child.kill('SIGTERM');
    expect(await exit, stderr()).toBe(0);
  });

  test('stays when nothing is wanted, and a background one is not started beside it', async () => {
    await using world = await createDaemonWorld();
    const { child, exit } = await world.foreground('web');
    await expect.poll(async () => (await world.status())?.tunnels[0]?.state, quick).toEqual(trying);
    const client = await world.need();
    expect(await client.call('down', { selectors: [], drainMs: 0 })).toMatchObject({ ending: false });
    await world.up(['web']);
    expect(world.pid()).toBe(child.pid);
    child.kill('SIGINT');
    expect(await exit).toBe(0);
  });

  test('is 4 beside another, 2 for what does not exist and 3 for a broken config', async () => {
    await using world = await createDaemonWorld();
    await world.up(['web']);
    const beside = await world.foreground();
    expect(await beside.exit, beside.stderr()).toBe(4);
    expect(beside.stderr()).toContain(`pid ${world.pid()}`);
    const client = await world.need();
    await client.call('down', { selectors: [], drainMs: 0 });
    expect(await (await world.foreground('nope')).exit).toBe(2);
    world.write('tunnels: [\n');
    expect(await (await world.foreground()).exit).toBe(3);
  });
});
