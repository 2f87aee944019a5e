// Probes, from outside: what status says of the target, `probe` in JSON, and `wait` that waits for it.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { boxConfig, bringUp, killSessions, onlyForward, toolMissing } from '../helpers/forwards-world.ts';
import { postgresFolder, startPostgres } from '../helpers/postgres.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld } from '../helpers/world.ts';

async function listenAt(port: number, server: Server = createServer()): Promise<Server & { port: number }> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(server, { port: (server.address() as AddressInfo).port });
}

describe.skipIf(sshdMissing() !== null)('a probe', () => {
  test('tells open, refused, HTTP status and a greeting, in status and in JSON', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const closed = await freePort();
    const open = await listenAt(0);
    const web = await listenAt(
      0,
      createHttp((request, response) => {
        response.statusCode = request.url === '/health' ? 204 : 503;
        response.end();
      }),
    );
    const tunnels = `
  open: { host: box, local: auto, remote: ${open.port}, probe: tcp }
  closed: { host: box, local: auto, remote: ${closed}, probe: tcp }
  web: { host: box, local: auto, remote: ${web.port}, probe: "http://localhost/health" }
  sick: { host: box, local: auto, remote: ${web.port}, probe: "http://localhost/other" }
  ssh: { host: box, local: auto, remote: ${sshd.port}, probe: { greeting: "^SSH-2.0-OpenSSH" } }
  smtp: { host: box, local: auto, remote: ${sshd.port}, probe: { greeting: "^220 " } }`;
    await bringUp(world, sshd, tunnels);
    const expected: Record<string, { ok: boolean; text: RegExp }> = {
      open: { ok: true, text: /^target open$/ },
      closed: { ok: false, text: /^target refused$/ },
      web: { ok: true, text: /^http 204$/ },
      sick: { ok: false, text: /^http 503$/ },
      ssh: { ok: true, text: /SSH-2.0-OpenSSH/ },
      smtp: { ok: false, text: /./ },
    };
    for (const [name, { ok, text }] of Object.entries(expected)) {
      const seen = await world.until(name, (tunnel) => onlyForward(tunnel).probe !== null);
      expect(seen.state, name).toBe('up');
      expect(onlyForward(seen).probe).toMatchObject({ ok, at: expect.stringMatching(/Z$/) as string });
      expect(onlyForward(seen).probe?.text).toMatch(text);
      // A probe is nobody's connection.
      expect(onlyForward(seen)).toMatchObject({ total: 0, failed: 0, bytesIn: 0, bytesOut: 0 });
    }
    const shown = (await world.run(['status'])).stdout;
    expect(shown).toMatch(/^closed +up · target refused /m);
    expect(shown).toMatch(/^web +up · http 204 /m);
    open.close();
    web.close();
  });

  test('is what `wait` waits for, and `up` does not', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const port = await freePort();
    await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${port}, probe: tcp }`);
    const early = await world.run(['wait', 'db', '--timeout', '1s']);
    expect(early.code).toBe(9);
    expect(early.stderr).toContain('target refused');
    expect(early.stderr).toContain('hint: tunnel why db');
    const patient = world.run(['wait', 'db', '--timeout', '50s']);
    const target = await listenAt(port);
    expect(await patient).toMatchObject({ code: 0 });
    expect(onlyForward(await world.tunnel('db')).probe).toMatchObject({ ok: true });
    target.close();
    killSessions(sshd); // what was seen over another link says nothing: asked again
    await world.until(
      'db',
      ({ state, forwards }) => state === 'up' && forwards[0]?.probe?.text === 'target refused',
    );
  });

  test('that fails fails every health check, and taken down they fail, whatever starts by itself', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const [port, metrics] = [await freePort(), await freePort()];
    const tunnels = `
  db: { host: box, local: auto, remote: ${port}, probe: tcp }
  spare: { host: box, local: auto, remote: ${port}, autostart: false }`;
    world.config(`metrics: ${metrics}\n${boxConfig(sshd, tunnels)}`);
    const checks = async (): Promise<unknown[]> => {
      const { code } = await world.run(['status', '--check']);
      const waited = await world.run(['wait', '--timeout', '0s']);
      const ready = await fetch(`http://127.0.0.1:${metrics}/readyz`).catch(() => null);
      return [code, waited.code, ready?.status, await ready?.text()];
    };
    const up = await world.run(['up']);
    expect(up).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^db {2}up · target refused {2}/) as string,
    });
    expect(await checks()).toEqual([9, 9, 503, 'db target refused\n']);
    const scraped = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text();
    expect(scraped).toMatch(/^tunnel_probe_up\{tunnel="db"\} 0$/m);
    expect(scraped).not.toContain('tunnel_probe_up{tunnel="spare"}');
    const target = await listenAt(port);
    await world.until('db', ({ forwards }) => forwards[0]?.probe?.ok === true);
    expect(await checks()).toEqual([0, 0, 200, 'ok\n']);
    await world.run(['up', 'spare']);
    await world.run(['down', 'db']);
    expect(await checks()).toEqual([0, 0, 200, 'ok\n']);
    expect((await world.run(['status', '--check', 'db'])).code).toBe(9);
    target.close();
    await world.run(['down']);
    expect(await checks()).toEqual([9, 9, undefined, undefined]);
  });

  test('of a forbidden target names the server’s side', async () => {
    await using sshd = await startSshd({ config: ['PermitOpen 127.0.0.1:1'] });
    await using world = createWorld();
    await bringUp(world, sshd, `  db: { host: box, local: auto, remote: 2, probe: tcp }`);
    const seen = await world.until('db', (tunnel) => onlyForward(tunnel).probe !== null);
    expect(onlyForward(seen).probe).toMatchObject({ ok: false, text: 'the SSH server forbids it' });
  });

  test('on anything but a local forward is a fault of the config', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(boxConfig(sshd, '  hooks: { host: box, type: remote, remote: 0, local: 9, probe: tcp }'));
    const checked = await world.run(['check']);
    expect(checked.code).toBe(3);
    expect(checked.stdout + checked.stderr).toContain('is for local forwards only');
  });
});

async function ended(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGQUIT');
  await gone;
}

describe.skipIf(sshdMissing() !== null || postgresFolder === undefined)(
  'a probe of a real PostgreSQL',
  () => {
    test('waits for it to start, and says so', async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      const port = await freePort();
      await bringUp(world, sshd, `  db: { host: box, local: auto, remote: ${port}, probe: postgres }`);
      const server = startPostgres(postgresFolder ?? '', port);
      const waited = await world.run(['wait', 'db', '--timeout', '50s']);
      expect(waited.code, waited.stderr).toBe(0);
      const { probe } = onlyForward(await world.tunnel('db'));
      expect(probe?.text).toMatch(/^postgres/);
      expect((await world.run(['status'])).stdout).toMatch(/^db +up · postgres/m);
      await ended(server);
    });
  },
);

const redisMissing = existsSync('/usr/bin/redis-server')
  ? toolMissing('redis-server')
  : 'no redis-server here';

describe.skipIf(sshdMissing() !== null || redisMissing !== null)('a probe of a real Redis', () => {
  test.each([
    ['open', []],
    ['behind a password', ['--requirepass', 'secret']],
  ])('that is %s says that it answers', async (_name, options) => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const port = await freePort();
    const at = [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--dir',
      temporaryFolder('redis'),
    ];
    const server = spawn('redis-server', [...at, ...options], { stdio: 'ignore' });
    await bringUp(world, sshd, `  cache: { host: box, local: auto, remote: ${port}, probe: redis }`);
    const waited = await world.run(['wait', 'cache', '--timeout', '50s']);
    expect(waited.code, waited.stderr).toBe(0);
    expect(onlyForward(await world.tunnel('cache')).probe?.text).toMatch(/^redis/);
    await ended(server);
  });
});
