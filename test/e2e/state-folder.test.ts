// A state folder that cannot be written: read-only as in a container, or on a disk that is full.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { smallDisk } from '../helpers/small-disk.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

/** The state is to be made in /proc, where mkdir answers ENOENT, as it does in a container with a read-only root. */
function withoutState(world: World): Record<string, string> {
  return { TUNNEL_HOME: '', XDG_STATE_HOME: '/proc/state', XDG_RUNTIME_DIR: world.folder };
}

describe('a state folder that cannot be written', () => {
  test.skipIf(sshdMissing() !== null)(
    'keeps new host keys in memory: the link comes back by itself, and another key is refused',
    async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      const file = join(world.folder, 'tunnels.yaml');
      world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false }
tunnels:
  db: { host: box, local: auto, remote: 9 }
`);
      const env = withoutState(world);
      const child = world.start(['--config', file, 'up', '--foreground', '--accept-new'], { env });
      let text = '';
      child.stderr?.on('data', (chunk) => (text += String(chunk)));
      const said = async (pattern: RegExp): Promise<void> => {
        while (!pattern.test(text)) await once(child.stderr ?? child, 'data');
      };
      await said(/db is up/);
      sshd.signalSessions('SIGKILL');
      await said(/link lost[^]*logged in/);
      sshd.changeHostKey();
      await sshd.stop();
      await sshd.start();
      sshd.signalSessions('SIGKILL');
      await said(/host key changed/);
      expect(text.match(/cannot be written/g)).toHaveLength(1);
      child.kill('SIGTERM');
      expect(await once(child, 'exit')).toEqual([0, null]);
    },
  );

  test.each([['up'], ['up', '--foreground'], ['up', '--accept-new', '--timeout', '1s']])(
    'on a full disk is a sentence and exit 4: tunnel %s %s',
    async (...args) => {
      using disk = smallDisk();
      if (disk === null) return;
      await using world = createWorld();
      world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9 }\n');
      const file = join(world.folder, 'tunnels.yaml');
      writeFileSync(join(disk.folder, 'mark'), '');
      disk.fill();
      const env = { TUNNEL_HOME: '', XDG_STATE_HOME: disk.folder, XDG_RUNTIME_DIR: world.folder };
      const ran = await world.run(['--config', file, ...args.filter((word) => word !== undefined)], { env });
      expect(ran).toMatchObject({ code: 4, stdout: '' });
      expect(ran.stderr).toMatch(
        /^tunnel: supervisor start failed, on \/.*: no space left on the device\nhint: df -h \/.*\n$/,
      );
    },
  );
});
