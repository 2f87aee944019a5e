// A user that the machine does not know, as in a container under a bare uid: the built program works, with HOME and without.
import { chownSync, copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type World } from '../helpers/world.ts';

const stranger = 54_321;
const possible = sshdMissing() === null && process.getuid?.() === 0;

/** A way that needs nothing but Node, and shows what a command is told of us. */
function configure(world: World, sshd: Sshd, target: number): void {
  const identity = join(world.folder, 'id');
  copyFileSync(sshd.identity, identity);
  chownSync(identity, stranger, stranger);
  const pipe = `const s=require("net").connect(process.argv[1],"127.0.0.1");process.stdin.pipe(s).pipe(process.stdout)`;
  world.config(`hosts:
  box:
    hostname: 127.0.0.1
    port: ${sshd.port}
    user: ${sshd.user}
    identity: [${identity}]
    agent: false
    host_keys: accept-new
    proxy_command: >-
      who="%u %i %d"; echo "i am $who" >&2; exec ${process.execPath} -e '${pipe}' %p
tunnels:
  db: { host: box, local: auto, remote: "127.0.0.1:${target}" }
`);
}

describe.runIf(possible)('a user without a passwd entry', () => {
  test.each([
    ['without HOME', (env) => delete env['HOME'], 'i am 54321 54321 /'],
    ['with an empty HOME', (env) => Object.assign(env, { HOME: '', USER: 'vivian' }), 'i am vivian 54321 /'],
    [
      'with no place of its own but XDG folders',
      (env) => {
        const folder = env['TUNNEL_HOME'] ?? '';
        for (const name of ['CONFIG', 'STATE', 'RUNTIME']) {
          const path = join(folder, name);
          mkdirSync(path, { mode: 0o700 });
          chownSync(path, stranger, stranger);
          env[`XDG_${name}_${name === 'RUNTIME' ? 'DIR' : 'HOME'}`] = path;
        }
        env['TUNNEL_CONFIG'] = join(folder, 'tunnels.yaml');
        delete env['TUNNEL_HOME'];
        env['HOME'] = '';
      },
      'i am 54321 54321 /',
    ],
  ] as [string, (env: Record<string, string>) => void, string][])(
    '%s: tunnels through a proxy command, and finds its supervisor again',
    async (_, change, said) => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      await using world = createWorld({ uid: stranger });
      configure(world, sshd, target.port);
      change(world.env);
      const up = await world.run(['up']);
      expect(up).toMatchObject({ code: 0, stderr: expect.not.stringContaining(' at ') as string });
      const { forwards } = await world.tunnel('db');
      expect(await request(Number(forwards[0]?.listen?.split(':').at(-1)), 'abc')).toMatchObject({
        text: 'ABC',
      });
      expect((await world.run(['logs'])).stdout).toContain(said);
      expect((await world.run(['down'])).code).toBe(0);
      expect((await world.status()).supervisor.running).toBe(false);
    },
  );

  test('without any place to write is told so in a sentence', async () => {
    await using world = createWorld({ uid: stranger });
    world.config('tunnels: { db: { host: me@127.0.0.1:1, local: auto, remote: 1 } }\n');
    const env = { PATH: world.env['PATH'] ?? '' };
    for (const name of Object.keys(world.env)) delete world.env[name];
    Object.assign(world.env, env);
    const up = await world.run(['up', '--config', join(world.folder, 'tunnels.yaml')]);
    expect(up.code).toBe(4);
    expect(up.stderr).toMatch(/^tunnel: the supervisor cannot start: .*\/\.local\/state\/.+\nhint: .+\n$/);
    const status = await world.run(['status']);
    expect(status).toMatchObject({ code: 0, stderr: 'no supervisor is running\n' });
  });
});
