// Keys, certificates, secrets and known_hosts that hang whoever reads them, or never end: such tunnels need a person, all others go on, and
// what is told to end ends.
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { deadMount, mountMissing } from '../helpers/dead-mount.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, isAlive, type World } from '../helpers/world.ts';

/** A tunnel that works, and four whose files are in `folder`: each wants another kind of file of its own. */
function configure(world: World, sshd: Sshd, target: number, folder: string): void {
  const server = `hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, agent: false, host_keys: accept-new`;
  const forward = `local: auto, remote: "127.0.0.1:${target}"`;
  const file = (name: string): string => `"${join(folder, name)}"`;
  world.config(`hosts:
  good: { ${server}, identity: [${sshd.identity}] }
  key: { ${server}, auth: [publickey], identity: [${file('key')}] }
  certificate: { ${server}, auth: [publickey], identity: [${file('other')}], certificate: [${file('certificate')}] }
  secret: { ${server}, identity: [], password: ${JSON.stringify(`file:${join(folder, 'secret')}`)}, auth: [password] }
  hosts: { ${server}, identity: [${sshd.identity}], known_hosts: [${file('known_hosts')}] }
tunnels:
  good: { host: good, ${forward} }
  key: { host: key, ${forward} }
  certificate: { host: certificate, ${forward} }
  secret: { host: secret, ${forward} }
  hosts: { host: hosts, ${forward} }
`);
}

async function hold(folder: string, why: string): Promise<void> {
  await using sshd = await startSshd({ config: ['PasswordAuthentication yes'] });
  await using target = await startTarget(uppercase);
  await using world = createWorld();
  configure(world, sshd, target.port, folder);
  const up = await world.run(['up', '--timeout', '30s']);
  expect(up, up.stderr).toMatchObject({ code: 7 });
  const { supervisor, tunnels } = await world.status();
  const states = Object.fromEntries(
    tunnels.map(({ name, state, error }) => [name, `${state} ${error?.code}`]),
  );
  expect(states).toEqual({
    good: 'up undefined',
    key: 'needs-you KEY_UNREADABLE',
    certificate: 'needs-you KEY_UNREADABLE',
    secret: 'needs-you SECRET_MISSING',
    hosts: 'needs-you HOST_KEY_UNKNOWN',
  });
  for (const { name, error } of tunnels) if (name !== 'good') expect(error?.message, name).toContain(why);
  sshd.signalSessions('SIGKILL');
  const back = await world.until('good', ({ state, reconnects }) => state === 'up' && reconnects === 1);
  const port = Number(back.forwards[0]?.listen?.split(':').at(-1));
  expect(await request(port, 'abc')).toMatchObject({ text: 'ABC' });
  expect(await world.run(['down'])).toMatchObject({ code: 0 });
  await expect.poll(() => isAlive(supervisor.pid ?? 0), { timeout: 20_000 }).toBe(false);
}

const names = ['key', 'other', 'other.pub', 'certificate', 'secret', 'known_hosts'];

describe.skipIf(sshdMissing() !== null)('files that hang whoever reads them', () => {
  test.each<[string, string, (path: string) => void]>([
    [
      'pipes that nobody writes to',
      'it is not a regular file',
      (path) => void execFileSync('mkfifo', ['-m', '600', path]),
    ],
    [
      'devices that never end',
      'it is not a regular file',
      (path) => symlinkSync(path.endsWith('r') ? '/dev/random' : '/dev/zero', path),
    ],
    [
      'files of 1 GB',
      'it is larger than',
      (path) => {
        writeFileSync(path, '', { mode: 0o600 });
        truncateSync(path, 1024 ** 3);
      },
    ],
  ])('as %s stop neither other tunnels nor the end of the supervisor', async (_how, why, make) => {
    await using world = createWorld();
    const folder = join(world.folder, 'files');
    mkdirSync(folder);
    for (const name of names) make(join(folder, name));
    await hold(folder, why);
  });

  test.skipIf(mountMissing() !== null)('on a mount that is dead', async () => {
    await using mount = await deadMount();
    await hold(mount.folder, 'its file system does not answer');
  });
});
