// Supervisors, from outside: two at once, one killed, one stormed with questions, a file that changes under it.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { entriesBelow } from '../helpers/folder.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { outcomeOf, request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, processEnd } from '../helpers/world.ts';

const text = (sshd: Sshd, tunnels: Record<string, { local: number | string; target: number }>): string => `
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
${Object.entries(tunnels)
  .map(
    ([name, { local, target }]) => `  ${name}: { host: box, local: ${local}, remote: "127.0.0.1:${target}" }`,
  )
  .join('\n')}
`;

describe.skipIf(sshdMissing() !== null)('supervisors', () => {
  test('of two config files run side by side, undisturbed', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [first, second] = [await freePort(), await freePort()];
    world.config(text(sshd, { one: { local: first, target: target.port } }));
    const { writeFileSync } = await import('node:fs');
    const other = join(world.folder, 'other.yaml');
    writeFileSync(other, text(sshd, { two: { local: second, target: target.port } }), { mode: 0o600 });
    expect((await world.run(['up'])).code).toBe(0);
    const up = await world.run(['up', '--config', other]);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const all = JSON.parse((await world.run(['status', '--all', '--json'])).stdout) as {
      version: 1;
      supervisors: { supervisor: { pid: number } }[];
    };
    expect(all.version).toBe(1);
    expect(new Set(all.supervisors.map(({ supervisor }) => supervisor.pid)).size).toBe(2);
    expect((await world.run(['down', '-c', other])).code).toBe(0);
    expect(await request(first, 'x')).toEqual({ text: 'X', error: null });
  });

  test('killed by SIGKILL leave nothing that blocks the next command, and what was wanted comes back', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [one, two] = [await freePort(), await freePort()];
    world.config(
      text(sshd, { one: { local: one, target: target.port }, two: { local: two, target: target.port } }),
    );
    expect((await world.run(['up', 'one', 'two'])).code).toBe(0);
    const pid = (await world.status()).supervisor.pid ?? 0;
    process.kill(pid, 'SIGKILL');
    await processEnd(pid);
    expect((await world.status()).supervisor.running).toBe(false);
    expect((await world.run(['up', 'one'])).code).toBe(0);
    expect((await world.run(['wait', 'two'])).code).toBe(0);
    expect(await request(two, 'x')).toEqual({ text: 'X', error: null });
    expect((await world.status()).supervisor.pid).not.toBe(pid);
  });

  test('answer 200 status calls in a storm of reconnects', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const tunnels = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`t${index}`, { local: 'auto', target: 9 }]),
    );
    world.config(
      text(sshd, tunnels).replaceAll(
        'remote:',
        'share: false, reconnect: { initial: 10ms, max: 20ms }, remote:',
      ),
    );
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    sshd.signalSessions('SIGKILL');
    await sshd.stop();
    for (let call = 0; call < 200; call += 1) {
      const document = await world.status();
      expect(document.supervisor.running).toBe(true);
      expect(document.tunnels).toHaveLength(10);
    }
  }, 240_000);

  test('keep files and folders to their owner and end when nothing is wanted', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(text(sshd, { one: { local: 'auto', target: 9 } }));
    expect((await world.run(['up'])).code).toBe(0);
    const pid = (await world.status()).supervisor.pid ?? 0;
    const ours = entriesBelow(world.folder).filter(({ name }) => !name.startsWith('home'));
    for (const { name, isFolder, mode } of ours) expect(mode, name).toBe(isFolder ? '700' : '600');
    expect(ours.length).toBeGreaterThan(3);
    expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).not.toContain('NODE_OPTIONS');
    expect((await world.run(['down'])).code).toBe(0);
    await processEnd(pid);
  });

  test('apply a changed file without touching what did not change', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using other = await startTarget((socket) => socket.end('other'));
    await using world = createWorld();
    const [one, two] = [await freePort(), await freePort()];
    world.config(text(sshd, { one: { local: one, target: target.port } }));
    expect((await world.run(['up'])).code).toBe(0);
    const socket = connect(one, '127.0.0.1');
    const over = outcomeOf(socket);
    socket.write('a');
    await new Promise((resolve) => socket.once('data', resolve));

    world.config(
      text(sshd, { one: { local: one, target: other.port }, two: { local: two, target: target.port } }),
    );
    const reload = await world.run(['reload']);
    expect(reload, reload.stderr).toMatchObject({ code: 0 });
    expect((await request(one, '')).text).toBe('other');
    socket.write('b');
    socket.end();
    expect(await over).toEqual({ text: 'AB', error: null });
    expect((await world.tunnel('two')).state).toBe('down');

    world.config('tunnels: [broken');
    expect((await world.run(['up'])).code).toBe(3);
    expect((await request(one, '')).text).toBe('other');
    // the supervisor sees by itself that the file was saved, and in its own time
    await expect.poll(async () => (await world.status()).supervisor.configError).toBeTypeOf('string');

    world.config(text(sshd, { two: { local: two, target: target.port } }));
    expect((await world.run(['reload'])).code).toBe(0);
    expect(await world.tunnel('one')).toMatchObject({ state: 'up', orphan: true });
    expect((await world.run(['reload', '--prune'])).code).toBe(0);
    expect((await world.status()).tunnels.map(({ name }) => name)).toEqual(['two']);
  });

  test('in the foreground end with 0 by SIGTERM and with 4 beside another', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    world.config(text(sshd, { one: { local, target: target.port } }));
    const child = world.start(['up', '--foreground']);
    const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve([code, signal])));
    child.stderr?.resume();
    await new Promise((resolve) => child.stderr?.once('data', resolve));
    expect((await world.run(['wait'])).code).toBe(0);
    expect(await request(local, 'x')).toEqual({ text: 'X', error: null });
    expect((await world.run(['up', '--foreground'])).code).toBe(4);
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});
