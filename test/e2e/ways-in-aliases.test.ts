// Aliases of ~/.ssh/config through the built program: `tunnel show` says the same with ssh on PATH and without.
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sshdMissing } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const names = [
  'plain',
  'web.example',
  'db.example',
  'deep',
  'commanded',
  'canonical',
  'v6',
  'alias',
  'never',
];

const sshConfig = `Include conf.d/*.conf
Host plain
  HostName 192.0.2.1
  Port 2201
  User alice
  IdentityFile ~/.ssh/plain_key
Host *.example !db.example
  User www
  HostName %h.internal
  IdentitiesOnly yes
  IdentityFile ~/.ssh/%r_at_%n
  ServerAliveInterval 7
Host db.example
  ProxyJump alice@plain,gate:2299
  HostKeyAlias the-db
  StrictHostKeyChecking accept-new
Host deep
  ProxyJump db.example
  UserKnownHostsFile ~/.ssh/deep_hosts ~/.ssh/more_hosts
Host commanded
  ProxyCommand nc -X 5 %h %p
  Port 2222
Match originalhost canonical user root
  Port 2345
Host canonical
  HostName 192.0.2.9
  CertificateFile ~/.ssh/cert.pub
  IdentityAgent ~/.ssh/agent.sock
Host v6
  HostName 2001:db8::1
  ConnectTimeout 3
Host alias
  HostName plain
Match host 192.0.2.9
  Compression yes
Host *
  IdentityFile ~/.ssh/last_key
  ForwardAgent no
`;

/** A PATH with ssh or without, and nothing else on it. */
function pathOf(world: World, withSsh: boolean): string {
  const folder = join(world.folder, withSsh ? 'with' : 'without');
  mkdirSync(folder);
  if (withSsh) symlinkSync(execFileSync('which', ['ssh'], { encoding: 'utf8' }).trim(), join(folder, 'ssh'));
  return folder;
}

describe.skipIf(sshdMissing() !== null)('show', () => {
  test('resolves aliases the same with ssh on PATH and without', async () => {
    await using world = createWorld();
    const folder = join(world.env['HOME'] ?? '', '.ssh');
    mkdirSync(join(folder, 'conf.d'), { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, 'config'), sshConfig, { mode: 0o600 });
    writeFileSync(join(folder, 'conf.d', 'gate.conf'), 'Host gate\n  HostName 192.0.2.7\n  User bob\n', {
      mode: 0o600,
    });
    const tunnels = names.map((name, index) => `  t${index}: { host: ${name}, local: auto, remote: 80 }`);
    world.config(
      `hosts:\n  alias: { port: 2244 }\n  never: { hostname: 192.0.2.44, user: me }\ntunnels:\n${tunnels.join('\n')}\n`,
    );
    const show = async (withSsh: boolean): Promise<unknown[]> => {
      const ran = await world.run(['show', '--json'], { env: { PATH: pathOf(world, withSsh) } });
      expect(ran, ran.stderr).toMatchObject({ code: 0 });
      return JSON.parse(ran.stdout) as unknown[];
    };
    const asked = await show(true);
    expect(asked).toHaveLength(names.length);
    expect(await show(false)).toEqual(asked);
    expect(asked[3]).toMatchObject({
      hops: [
        { hostname: '192.0.2.1', user: 'alice', port: 2201 },
        { hostname: '192.0.2.7', port: 2299, user: 'bob' },
        { hostname: 'db.example', hostKeyAlias: 'the-db', hostKeys: 'accept-new' },
        { hostname: 'deep', knownHosts: expect.arrayContaining([join(folder, 'deep_hosts')]) },
      ],
    });
  });
});
