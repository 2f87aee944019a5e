// Addresses through the built program: IPv6, names with several addresses, names that come to mean another one.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, finished, type Ran, type World } from '../helpers/world.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');
const hasIpv6 = ((): boolean => {
  try {
    return readFileSync('/proc/net/if_inet6', 'utf8').includes('00000000000000000000000000000001');
  } catch {
    return false;
  }
})();

/** `tunnel ARGS`, with a hosts file of its own; the supervisor it starts has it too. */
function runWithHosts(world: World, hosts: string, args: readonly string[]): Promise<Ran> {
  const script = `mount --bind ${hosts} /etc/hosts && exec "$@"`;
  return finished(
    spawn('unshare', ['-m', 'sh', '-c', script, 'sh', process.execPath, bin, ...args], {
      env: world.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
}

describe.skipIf(sshdMissing() !== null || !hasIpv6)('an IPv6 server', () => {
  test.each([
    ['as hostname of an entry', (port: number) => [`hostname: "::1", port: ${port}, `, 'box']],
    ['as [address]:port', (port: number) => ['hostname: unused.invalid, ', `"root@[::1]:${port}"`]],
  ])('is reached %s, and its key kept under its brackets', async (_, entry) => {
    await using sshd = await startSshd({ config: ['ListenAddress ::1'] });
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const local = await freePort();
    const [place, host] = entry(sshd.port);
    world.config(`defaults: { identity: [${sshd.identity}], agent: false, host_keys: accept-new }
hosts:
  box: { ${place}user: ${sshd.user} }
tunnels:
  db: { host: ${host}, local: "[::1]:${local}", remote: "127.0.0.1:${target.port}" }
`);
    const up = await world.run(['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await world.tunnel('db')).toMatchObject({
      endpoint: `${sshd.user}@[::1]:${sshd.port}`,
      forwards: [{ listen: `[::1]:${local}` }],
    });
    expect(readFileSync(join(world.folder, 'known_hosts'), 'utf8')).toMatch(
      new RegExp(`^\\[::1\\]:${sshd.port} ssh-ed25519 `),
    );
    expect((await world.run(['why', 'db'])).stdout).toContain('::1');
  });
});

describe.skipIf((sshdMissing() ?? namespaceMissing()) !== null)('a name', () => {
  test('with several addresses is reached at the one that answers', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [local, hosts] = [await freePort(), join(world.folder, 'hosts')];
    writeFileSync(
      hosts,
      '::1 many.test\n127.0.0.3 many.test\n127.0.0.2 many.test\n127.0.0.1 many.test\n127.0.0.1 localhost\n',
    );
    world.config(`hosts:
  box: { hostname: many.test, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}" }
`);
    const up = await runWithHosts(world, hosts, ['up']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    expect(await request(local, 'found')).toEqual({ text: 'FOUND', error: null });
  });

  test('that does not exist, or comes to mean another address, is looked up afresh on each attempt', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const [local, hosts] = [await freePort(), join(world.folder, 'hosts')];
    writeFileSync(hosts, '127.0.0.1 localhost\n');
    world.config(`hosts:
  box: { hostname: moving.test, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: ${local}, remote: "127.0.0.1:${target.port}", reconnect: { initial: 100ms, max: 200ms } }
`);
    const up = await runWithHosts(world, hosts, ['up', '--timeout', '2s']);
    expect(up, up.stderr).toMatchObject({ code: 5 });
    expect(up.stderr).toContain('moving.test');
    writeFileSync(hosts, '127.0.0.2 moving.test\n');
    await world.until('db', ({ error }) => error?.message.includes('127.0.0.2') === true);
    writeFileSync(hosts, '127.0.0.1 moving.test\n');
    await world.until('db', ({ state }) => state === 'up');
    expect(await request(local, 'found')).toEqual({ text: 'FOUND', error: null });
  });
});
