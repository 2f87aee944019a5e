// What may stand where a config should: pipes, devices, a file of 1 GB, a bomb, another file than the one that was allowed.
// Each is a sentence and an exit code of its own; a test that hangs has failed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createWorld, type World } from '../helpers/world.ts';

const usual = 'tunnels: { db: { host: "me@127.0.0.1:1", local: auto, remote: 9 } }\n';

/** Makes what is named in the folder and answers its path. */
const makers: Readonly<Record<string, (path: string) => string>> = {
  pipe: (path) => (execFileSync('mkfifo', ['-m', '600', path]), path),
  zero: () => '/dev/zero',
  random: () => '/dev/random',
  folder: (path) => (mkdirSync(path), path),
  huge(path) {
    writeFileSync(path, usual, { mode: 0o600 });
    truncateSync(path, 1024 ** 3);
    return path;
  },
  bomb(path) {
    const line = (name: string, of: string): string =>
      `${name}: &${name} [${Array(20).fill(`*${of}`).join()}]\n`;
    const lines = ['b', 'c', 'd', 'e', 'f', 'g'].map((name, index) => line(name, 'abcdef'.charAt(index)));
    writeFileSync(path, `a: &a [1]\n${lines.join('')}`, { mode: 0o600 });
    return path;
  },
  repeats: (path) => (writeFileSync(path, `{${'a: 1, '.repeat(20_000)}}`, { mode: 0o600 }), path),
};

const rows = [
  ['pipe', /is not a regular file/],
  ['zero', /is not a regular file/],
  ['random', /is not a regular file/],
  ['folder', /is a folder/],
  ['huge', /is larger than 4 MiB/],
  ['bomb', /stands for too much/],
  ['repeats', /stands here twice/],
] as const;

describe('in the place of a config', () => {
  test.each(rows)('a %s is refused, named or included', async (kind, why) => {
    await using world = createWorld();
    const path = makers[kind]?.(join(world.folder, kind)) ?? '';
    const named = await world.run(['-c', path, 'up']);
    expect(named).toMatchObject({ code: 3 });
    expect(named.stderr).toMatch(why);
    world.config(`include: [${JSON.stringify(path)}]\n${usual}`);
    const up = await world.run(['up']);
    expect(up).toMatchObject({ code: 3 });
    expect(up.stderr).toMatch(why);
  });
});

function project(world: World): { cwd: string; env: Record<string, string> } {
  const cwd = join(world.folder, 'project');
  mkdirSync(cwd);
  const own = (name: string): string => join(world.folder, name);
  return { cwd, env: { TUNNEL_HOME: '', XDG_STATE_HOME: own('state'), XDG_RUNTIME_DIR: own('run') } };
}

describe('a project file that was allowed', () => {
  test('and is another file now, by its link or by its include, needs to be allowed again', async () => {
    await using world = createWorld();
    const place = project(world);
    const write = (name: string, text: string): void =>
      writeFileSync(join(place.cwd, name), text, { mode: 0o600 });
    const link = (name: string, to: string): void => {
      rmSync(join(place.cwd, name), { force: true });
      symlinkSync(to, join(place.cwd, name));
    };
    write('good.yaml', `include: more.yaml\n${usual}`);
    write('evil.yaml', `include: more.yaml\n${usual.replace('local:', 'proxy_command: "touch %h", local:')}`);
    write('hosts.yaml', 'hosts: { box: { hostname: 127.0.0.1 } }\n');
    write('others.yaml', 'hosts: { box: { hostname: 127.0.0.2 } }\n');
    link('tunnels.yaml', 'good.yaml');
    link('more.yaml', 'hosts.yaml');
    const up = async (): Promise<number | null> => (await world.run(['show'], place)).code;
    expect(await up()).toBe(3);
    expect((await world.run(['allow'], place)).code).toBe(0);
    expect(await up()).toBe(0);
    link('tunnels.yaml', 'evil.yaml');
    expect(await up()).toBe(3);
    link('tunnels.yaml', 'good.yaml');
    expect(await up()).toBe(0);
    link('more.yaml', 'others.yaml');
    expect(await up()).toBe(3);
  });
});
