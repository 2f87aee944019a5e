// A supervisor whose log nobody takes any more: a closed standard error, a disk that filled up while it ran.
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { smallDisk } from '../helpers/small-disk.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, processEnd } from '../helpers/world.ts';

const text = (sshd: Sshd, target: number): string => `hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  one: { host: box, local: auto, remote: ${target} }
  two: { host: box, local: auto, remote: ${target} }
`;

describe.skipIf(sshdMissing() !== null)('a supervisor', () => {
  test('in the foreground goes on when nobody reads its standard error any more, and ends with 0', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    world.config(text(sshd, target.port));
    const child = world.start(['up', '--foreground']);
    await once(child.stderr ?? child, 'data');
    child.stderr?.destroy();
    const exit = once(child, 'exit');
    await world.until('one', ({ state }) => state === 'up');
    sshd.signalSessions('SIGKILL');
    const { forwards } = await world.until(
      'one',
      ({ state, reconnects }) => state === 'up' && reconnects === 1,
    );
    const port = Number(forwards[0]?.listen.split(':').at(-1));
    expect(await request(port, 'x')).toEqual({ text: 'X', error: null });
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  });

  test('on a disk that filled up serves, connects again and brings more up; with room again it remembers', async () => {
    using disk = smallDisk();
    if (disk === null) return;
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    Object.assign(world.env, { TUNNEL_HOME: '', XDG_STATE_HOME: disk.folder, XDG_RUNTIME_DIR: world.folder });
    world.env['TUNNEL_CONFIG'] = join(world.folder, 'tunnels.yaml');
    world.config(text(sshd, target.port));
    expect(await world.run(['up', 'one'])).toMatchObject({ code: 0 });
    const { pid } = (await world.status()).supervisor;
    disk.fill();
    sshd.signalSessions('SIGKILL');
    await world.until('one', ({ state, reconnects }) => state === 'up' && reconnects === 1);
    const up = await world.run(['up', 'two']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const { supervisor, tunnels } = await world.status();
    expect(supervisor.pid).toBe(pid);
    for (const { forwards } of tunnels)
      expect(await request(Number(forwards[0]?.listen.split(':').at(-1)), 'x')).toEqual({
        text: 'X',
        error: null,
      });
    disk.free();
    expect(await world.run(['down', 'one'])).toMatchObject({ code: 0 });
    process.kill(pid ?? 0, 'SIGKILL');
    await processEnd(pid ?? 0);
    const names = readdirSync(disk.folder, { recursive: true, encoding: 'utf8' });
    const wanted = names.find((name) => name.endsWith('wanted.json')) ?? '';
    expect(JSON.parse(readFileSync(join(disk.folder, wanted), 'utf8'))).toMatchObject({ names: ['two'] });
    expect(names.filter((name) => /\.json\.\d+$/.test(name))).toEqual([]);
    expect((await world.run(['up'])).code).toBe(0);
  });
});
