// `tunnel up --foreground` as a command: the options it takes, those it refuses, and how one that serves is ended (SPEC 4).
import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { built, createWorld, finished } from '../helpers/world.ts';

/** Resolves with what it has written to stderr, when that matches. */
async function saidUntil(child: ChildProcess, pattern: RegExp): Promise<string> {
  let text = '';
  for await (const chunk of child.stderr ?? []) {
    text += String(chunk);
    if (pattern.test(text)) break;
  }
  child.stderr?.resume();
  return text;
}

const said = async (child: ChildProcess, pattern: RegExp): Promise<void> =>
  void (await saidUntil(child, pattern));

describe('a supervisor in the foreground', () => {
  test('is ended by the hint of a second one', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\n');
    const first = world.start(['up', '--foreground']);
    const ended = once(first, 'exit');
    await said(first, /serves/);
    const second = await world.run(['up', '--foreground']);
    expect(second).toMatchObject({ code: 4, stdout: '' });
    const [, command, pid] = /^hint: (kill) (\d+) /m.exec(second.stderr) ?? [];
    expect([command, Number(pid)]).toEqual(['kill', first.pid]);
    process.kill(Number(pid), 'SIGTERM');
    expect(await ended).toEqual([0, null]);
  });

  test('where one runs in the background is told the command that makes room, which does', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\n');
    await world.run(['up', '--timeout', '10ms']);
    const refused = await world.run(['up', '--foreground']);
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(/^hint: tunnel down /m);
    expect(await world.run(['down'])).toMatchObject({ code: 0 });
    const own = world.start(['up', '--foreground']);
    await said(own, /serves/);
    own.kill('SIGTERM');
    expect(await once(own, 'exit')).toEqual([0, null]);
  });

  test('tells at reload what was read already, when, and where the page is', async () => {
    await using world = createWorld();
    const port = await freePort();
    const tunnels = (...names: string[]): string =>
      `defaults: { host: "me@127.0.0.1:1", local: auto, remote: 9, autostart: false }\ntunnels: { ${names.join()} }\n`;
    world.config(tunnels('db: {}'));
    const own = world.start(['up', '--foreground']);
    await said(own, /serves/);
    const first = await world.run(['reload']);
    expect(first).toMatchObject({ code: 0, stdout: '' });
    expect(first.stderr).toMatch(
      /^nothing changed: already read at \d\d:\d\d:\d\d, at the start of the supervisor$/m,
    );
    world.config(`${tunnels('db: {}', 'web: {}')}metrics: { listen: ${port}, page: true }\n`);
    const names = async (): Promise<string[]> => (await world.status()).tunnels.map(({ name }) => name);
    await expect.poll(names).toContain('web'); // the watcher has read it
    const page = `http://127.0.0.1:${port}/`;
    await expect.poll(async () => (await world.status()).supervisor.page).toBe(page);
    const again = await world.run(['reload']);
    expect(again).toMatchObject({ code: 0, stdout: '' });
    expect(again.stderr).toMatch(/^already read at \d\d:\d\d:\d\d: .*web.*; the page is at http/m);
    expect(again.stderr.match(/the page is at/g)).toHaveLength(1);
    const { inUse } = JSON.parse((await world.run(['reload', '--json'])).stdout) as {
      inUse: { since: string; changes: string[] };
    };
    expect(Date.parse(inUse.since)).toBeGreaterThan(0);
    expect(inUse.changes.join()).toContain('web');
    own.kill('SIGTERM');
    expect(await once(own, 'exit')).toEqual([0, null]);
  });

  test('starts what is added to its file, leaves down what was taken down, and logs JSON when told to', async () => {
    await using world = createWorld();
    const tunnels = (...names: string[]): string =>
      `defaults: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\ntunnels:\n${names.join('\n')}\n`;
    world.config(tunnels('  a: {}', '  b: {}', '  c: { autostart: false }'));
    const own = world.start(['up', '--foreground', '--json']);
    const running = finished(own);
    await world.until('b', ({ wanted }) => wanted);
    await world.run(['down', 'a']);
    world.config(tunnels('  a: { tags: [x] }', '  b: {}', '  c: {}', '  d: {}', '  e: { autostart: false }'));
    await world.until('d', ({ state }) => state !== 'down');
    const wanted = (await world.status()).tunnels.filter((tunnel) => tunnel.wanted).map(({ name }) => name);
    expect(wanted).toEqual(['b', 'c', 'd']);
    own.kill('SIGTERM');
    const { code, stderr } = await running;
    expect(code).toBe(0);
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toContainEqual(expect.objectContaining({ level: 'info', event: 'start' }));
    const changes = lines.flatMap(({ event, message }) => (event === 'config' ? [String(message)] : []));
    expect(changes).toContainEqual(expect.stringMatching(/; d: added; e: added, tunnel up e starts it$/));
    expect(lines.every(({ time, message }) => typeof time === 'string' && typeof message === 'string')).toBe(
      true,
    );
  });

  test('counts in its log what is said again, and tells the count', async () => {
    await using world = createWorld();
    const busy = 'x=1; for i in 1 2 3 4 5; do echo busy >&2; done; echo over >&2; exec sleep 100';
    world.config(`hosts: { gate: { hostname: gate.example.org, user: me, proxy_command: "${busy}" } }
tunnels:
  db: { host: gate, local: auto, remote: 9, hold: 0s }
`);
    const own = world.start(['up', '--foreground', '--json']);
    let text = '';
    own.stderr?.on('data', (chunk) => (text += String(chunk)));
    await expect.poll(() => text, { timeout: 30_000 }).toMatch(/: over"/);
    own.kill('SIGTERM');
    await once(own, 'close');
    const messages = text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { message: string }).message);
    expect(messages.filter((message) => message.includes('busy'))).toEqual([
      'gate: busy',
      expect.stringMatching(/^gate: busy \(4 more times since \d\d:\d\d\)$/),
    ]);
  });

  test('ends with 8 where its metrics address is taken at the start, and goes on where it is later', async () => {
    await using holder = await startTarget(uppercase);
    await using world = createWorld();
    const db = 'tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\n';
    world.config(`metrics: ${holder.port}\n${db}`);
    const refused = await world.run(['up', '--foreground']);
    expect(refused).toMatchObject({ code: 8, stdout: '' });
    expect(refused.stderr).toContain(`metrics cannot be served, on 127.0.0.1:${holder.port}`);
    const up = await world.run(['up', '--timeout', '10ms']);
    expect(up.stderr).toContain('metrics cannot be served');
    const status = await world.run(['status']);
    expect(status.stderr).toContain('metrics cannot be served');
    expect((await world.status()).supervisor.metricsError).toContain('in use');
  });

  test.each([
    [['--timeout', '5s'], 'tunnel wait'],
    [['--drain', '5'], 'tunnel up --foreground --drain 30s'],
  ])('takes no %s', async (options, hint) => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9 }\n');
    const refused = await world.run(['up', '--foreground', ...options]);
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain(`hint: ${hint}`);
  });

  test('has options that up in the background does not take', async () => {
    await using world = createWorld();
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9 }\n');
    expect(await world.run(['up', '--drain', '5s'])).toMatchObject({ code: 2, stdout: '' });
    expect((await world.status()).supervisor.running).toBe(false);
  });

  test.skipIf(namespaceMissing() !== null)(
    'warns when it is the first process, which inherits zombies',
    async () => {
      await using world = createWorld();
      world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9 }\n');
      const beside = world.start(['up', '--foreground']);
      expect(await saidUntil(beside, /serves/)).not.toContain('--init');
      beside.kill('SIGTERM');
      await once(beside, 'exit');
      const inside = ['-pf', '--mount-proc', '--kill-child', process.execPath, built, 'up', '--foreground'];
      const first = spawn('unshare', inside, { env: world.env, stdio: ['ignore', 'ignore', 'pipe'] });
      expect(await saidUntil(first, /serves/)).toMatch(/ warn .*process 1.*docker run --init/);
      first.kill('SIGKILL');
      await once(first, 'exit');
    },
  );

  test.skipIf(sshdMissing() !== null)('remaps a taken port and accepts a new key, when told to', async () => {
    await using sshd = await startSshd();
    await using holder = await startTarget(uppercase);
    await using world = createWorld();
    world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false }
tunnels:
  db: { host: box, local: ${holder.port}, remote: "127.0.0.1:${holder.port}" }
`);
    const child = world.start(['up', '--foreground', '--remap', '--accept-new']);
    const ended = once(child, 'exit');
    await said(child, /serves/);
    expect(await world.run(['wait'])).toMatchObject({ code: 0 });
    const { listen } = (await world.tunnel('db')).forwards[0] ?? { listen: '' };
    const port = Number(listen.split(':').at(-1));
    expect(port).not.toBe(holder.port);
    expect(await request(port, 'x')).toEqual({ text: 'X', error: null });
    child.kill('SIGTERM');
    expect(await ended).toEqual([0, null]);
  });
});
