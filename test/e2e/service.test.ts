// `tunnel service` as a command. No service manager runs where tests do: a stand-in for systemctl notes what it is told, which is
// all that is asked of it; that systemd takes the file is seen in test/client/service-files.
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { createWorld, type World } from '../helpers/world.ts';

const linux = process.platform === 'linux';

interface Scene {
  readonly world: World;
  readonly unit: string;
  /** What systemctl was told since the last time, a line each. */
  readonly told: () => string[];
}

function scene(): Scene {
  const world = createWorld();
  world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, lazy: true }\n');
  const bin = join(world.folder, 'bin');
  const log = join(world.folder, 'told');
  mkdirSync(bin);
  const stub = (name: string, text: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  stub(
    'systemctl',
    `echo "$@" >> ${log}\ncase "$*" in *is-active*) echo active;; *is-enabled*) echo enabled;; esac`,
  );
  stub('loginctl', 'echo no');
  world.env['PATH'] = `${bin}:${world.env['PATH']}`;
  return {
    world,
    unit: join(world.env['HOME'] ?? '', '.config/systemd/user/tunnel.service'),
    told: () => {
      const lines = existsSync(log)
        ? readFileSync(log, 'utf8')
            .split('\n')
            .filter((line) => line !== '')
        : [];
      writeFileSync(log, '');
      return lines;
    },
  };
}

const service = (world: World, ...args: readonly string[]): ReturnType<World['run']> =>
  world.run(['service', ...args]);

test.skipIf(!linux)(
  'install writes the unit, enables and starts it, and tells of lingering; a second time all is as it should be',
  async () => {
    const { world, unit, told } = scene();
    await using _ = world;
    const printed = await service(world, 'install', '--print');
    expect(existsSync(unit)).toBe(false);
    expect(told()).toEqual([]);
    const installed = await service(world, 'install');
    expect(installed).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('wrote ~/.config/systemd/user/') as unknown,
    });
    expect(installed.stderr).toContain('loginctl enable-linger');
    expect(readFileSync(unit, 'utf8')).toBe(printed.stdout);
    expect(told()).toEqual([
      '--user --version',
      '--user daemon-reload',
      '--user enable --now tunnel.service',
    ]);
    expect((await service(world, 'install')).stdout).toContain('as it should be');
    told();
    expect((await service(world, 'status')).stdout).toContain('installed\nsystemctl: enabled, active\n');
    expect(told()).toEqual(['--user is-enabled tunnel.service', '--user is-active tunnel.service']);
    expect(JSON.parse((await service(world, 'status', '--json')).stdout)).toEqual({
      name: 'tunnel.service',
      path: unit,
      state: 'current',
      lost: [],
      enabled: 'enabled',
      active: 'active',
    });
  },
);

test.skipIf(!linux)(
  'doctor and status tell of a unit whose node is gone, and install renews it',
  async () => {
    const { world, unit } = scene();
    await using _ = world;
    await service(world, 'install');
    expect((await world.run(['doctor', '--json'])).stdout).toContain('tunnel.service is as it should be');
    const text = readFileSync(unit, 'utf8');
    writeFileSync(unit, text.replaceAll(process.execPath, '/gone/node'));
    const { stdout } = await world.run(['doctor']);
    expect(stdout).toMatch(
      /service +warning +.*tunnel\.service names \/gone\/node, which is gone\n +hint: tunnel service install/,
    );
    expect((await service(world, 'status')).stdout).toContain('it names /gone/node');
    await service(world, 'install');
    expect(readFileSync(unit, 'utf8')).toBe(text);
  },
);

test.skipIf(!linux)(
  'uninstall removes our own unit, and neither it nor install touches one of somebody else',
  async () => {
    const { world, unit, told } = scene();
    await using _ = world;
    expect((await service(world, 'uninstall')).stdout).toContain('nothing to remove');
    await service(world, 'install');
    told();
    expect((await service(world, 'uninstall')).code).toBe(0);
    expect(told()).toEqual(['--user disable --now tunnel.service', '--user daemon-reload']);
    expect(existsSync(unit)).toBe(false);
    mkdirSync(dirname(unit), { recursive: true });
    writeFileSync(unit, '[Service]\nExecStart=/bin/true\n');
    for (const action of ['install', 'uninstall']) {
      const ran = await service(world, action);
      expect(ran).toMatchObject({ code: 2, stdout: '' });
      expect(ran.stderr).toContain('is not ours');
    }
    expect(told()).toEqual([]);
    expect(readFileSync(unit, 'utf8')).toContain('/bin/true');
  },
);

test.skipIf(!linux)(
  'is refused with the way out where no service manager is, one says no, or a supervisor runs already',
  async () => {
    const { world, unit } = scene();
    await using _ = world;
    const without = await world.run(['service', 'install'], { env: { PATH: '/nowhere' } });
    expect(without).toMatchObject({ code: 4, stdout: '' });
    expect(without.stderr).toMatch(
      /no service manager is here: systemctl: there is no such program\nhint: tunnel service install --print/,
    );
    expect(existsSync(unit)).toBe(false);
    expect((await world.run(['up'])).code).toBe(0);
    const running = await service(world, 'install');
    expect(running).toMatchObject({ code: 4, stdout: '' });
    expect(running.stderr).toMatch(/^hint: tunnel down /m);
    await world.run(['down']);
    const systemctl = join(world.folder, 'bin', 'systemctl');
    writeFileSync(
      systemctl,
      '#!/bin/sh\ncase "$*" in *version*) ;; *) echo "Failed to connect to bus" >&2; exit 1;; esac\n',
    );
    const refused = await service(world, 'install');
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(/Failed to connect to bus\nhint: systemctl --user daemon-reload/);
    expect((await service(world, 'instal')).code).toBe(2);
  },
);
