// What a service manager is told: by systemd's own check, by a reader of property lists, and run by a real shell.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  isOurs,
  programIn,
  sameService,
  serviceFile,
  type ServiceFacts,
} from '../../src/client/service-files.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { built, createWorld } from '../helpers/world.ts';

const facts: ServiceFacts = {
  platform: 'linux',
  home: '/home/me',
  env: { PATH: '/usr/bin:relative:/bin', TUNNEL_HOME: '/srv/t', SSH_AUTH_SOCK: '/tmp/s', PASSWORD: 'x' },
  program: [process.execPath, built],
  config: '/home/me/.config/tunnel/tunnels.yaml',
  id: '',
  user: null,
};
const strange = {
  ...facts,
  program: ['/opt/a "b" \\ $HOME %h/node', '/opt/x/tunnel.js'],
  config: '/home/me/a b%c$d.yaml',
};
const of = (each: ServiceFacts): NonNullable<ReturnType<typeof serviceFile>> => {
  const file = serviceFile(each);
  if (file === null) throw new Error('no service file');
  return file;
};
const missing = (program: string): boolean => spawnSync(program, ['--version']).error !== undefined;

describe('a unit of systemd', () => {
  test('restarts what crashed and nothing that would fail again, and names nothing of the terminal but its PATH', () => {
    const { path, name, text } = of(facts);
    expect([path, name]).toEqual(['/home/me/.config/systemd/user/tunnel.service', 'tunnel.service']);
    expect(text).toMatch(/^Restart=on-failure$/m);
    expect(text).toMatch(/^RestartPreventExitStatus=2 3 4$/m);
    expect(text.match(/^Environment=.*$/gm)).toEqual([
      'Environment="PATH=/usr/bin:/bin:/usr/local/bin"',
      'Environment="TUNNEL_HOME=/srv/t"',
    ]);
    expect(text).not.toMatch(/^User=/m);
  });

  test('of the machine runs as a user, after the network, from boot on', () => {
    const { path, text } = of({ ...facts, user: 'me', id: 'ab12' });
    expect(path).toBe('/etc/systemd/system/tunnel-ab12.service');
    for (const line of [
      'User=me',
      'After=network-online.target',
      'WantedBy=multi-user.target',
      'ProtectSystem=full',
    ])
      expect(text.split('\n')).toContain(line);
  });

  const none = missing('systemd-analyze');
  test.skipIf(none)(
    `passes systemd-analyze verify${none ? ': no systemd-analyze on this machine' : ''}`,
    () => {
      for (const user of [null, 'root']) {
        const { name, text } = of({ ...facts, config: '/home/me/a b%c$d.yaml', user });
        const file = join(temporaryFolder('unit'), name);
        writeFileSync(file, text);
        const run = spawnSync(
          'systemd-analyze',
          [user === null ? '--user' : '--system', 'verify', '--man=no', file],
          {
            encoding: 'utf8',
            env: { PATH: process.env['PATH'], XDG_RUNTIME_DIR: temporaryFolder('run') },
          },
        );
        const ours = run.stderr.split('\n').filter((line) => line.includes(name));
        expect({ user, ours, status: run.status }).toEqual({ user, ours: [], status: 0 });
      }
    },
  );
});

describe.each(['linux', 'darwin'] as const)('on %s', (platform) => {
  test('the program in it is read back, whatever its path, and another PATH makes no other service', () => {
    const file = of({ ...strange, platform });
    expect(isOurs(file.text)).toBe(true);
    expect(programIn(file.text)).toEqual(strange.program);
    expect(sameService(file.text, of({ ...strange, platform, env: { ...facts.env, PATH: '/x' } }).text)).toBe(
      true,
    );
    expect(sameService(file.text, of({ ...facts, platform }).text)).toBe(false);
  });
});

test('elsewhere there is none', () => {
  expect(serviceFile({ ...facts, platform: 'win32' })).toBeNull();
});

describe('an agent of launchd', () => {
  const none = missing('python3');
  /** As macOS reads it. */
  function read(text: string): Record<string, unknown> {
    const script = 'import json,plistlib,sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read())))';
    return JSON.parse(
      spawnSync('python3', ['-c', script], { input: text, encoding: 'utf8' }).stdout,
    ) as Record<string, unknown>;
  }

  test.skipIf(none)(
    `is a property list, as Python reads one${none ? ': no python3 on this machine' : ''}`,
    () => {
      const { path, name, text } = of({ ...strange, platform: 'darwin', home: '/Users/a&b' });
      expect(path).toBe(`/Users/a&b/Library/LaunchAgents/${name}.plist`);
      expect(read(text)).toMatchObject({
        Label: name,
        RunAtLoad: true,
        KeepAlive: { SuccessfulExit: false },
        EnvironmentVariables: { TUNNEL_HOME: '/srv/t' },
        StandardErrorPath: `/Users/a&b/Library/Logs/${name}.log`,
      });
      expect((read(text)['ProgramArguments'] as string[]).slice(4)).toEqual([
        ...strange.program,
        '--config',
        strange.config,
        'up',
        '--foreground',
      ]);
      expect(read(of({ ...facts, platform: 'darwin', user: 'me' }).text)).toMatchObject({ UserName: 'me' });
    },
  );

  test.skipIf(none)(
    'runs the supervisor, by the tunnel on its PATH where node or the package moved',
    async () => {
      for (const program of [
        [process.execPath, built],
        ['/gone/node', '/gone/tunnel.js'],
      ]) {
        await using world = createWorld();
        world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, lazy: true }\n');
        const bin = join(world.folder, 'bin');
        mkdirSync(bin);
        symlinkSync(built, join(bin, 'tunnel'));
        const env = { ...world.env, PATH: `${bin}:${world.env['PATH']}` };
        const { text } = of({
          ...facts,
          platform: 'darwin',
          program,
          env,
          config: join(world.folder, 'tunnels.yaml'),
        });
        const [shell = '', ...words] = read(text)['ProgramArguments'] as string[];
        const child = spawn(shell, words, {
          env: { ...env, ...(read(text)['EnvironmentVariables'] as object) },
          stdio: 'ignore',
        });
        const ended = new Promise((resolve) => child.once('exit', (...end) => resolve(end)));
        await world.until('db', ({ state }) => state === 'asleep');
        expect((await world.status()).supervisor.pid).toBe(child.pid);
        child.kill('SIGTERM');
        expect(await ended).toEqual([0, null]);
      }
    },
  );
});
