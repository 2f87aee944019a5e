// An update removes or replaces the package under a supervisor that runs: it has loaded all that it needs.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { copyPackage } from '../helpers/package-copy.ts';
import { makeKey, sshdMissing, startSshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, finished } from '../helpers/world.ts';

test.skipIf(sshdMissing() !== null)(
  'a supervisor whose package is gone serves, connects again, opens an encrypted key and ends in good order',
  async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const folder = temporaryFolder('package');
    const copy = copyPackage(folder, { native: true });
    await using world = createWorld();
    const locked = makeKey(join(world.folder, 'locked'), ['-t', 'ed25519', '-a', '2'], 'correct horse');
    writeFileSync(sshd.authorizedKeys, readFileSync(`${locked}.pub`), { flag: 'a' });
    const phrase = join(world.folder, 'phrase');
    writeFileSync(phrase, 'correct horse\n', { mode: 0o600 });
    const box = `hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, agent: false, host_keys: accept-new`;
    world.config(`hosts:
  plain: { ${box}, identity: [${sshd.identity}] }
  locked: { ${box}, identity: [${locked}], passphrase: "file:${phrase}" }
tunnels:
  one: { host: plain, local: auto, remote: ${target.port} }
  two: { host: locked, local: auto, remote: ${target.port}, probe: tcp }
  three: { host: plain, type: dynamic, local: auto }
  four: { host: plain, type: remote, remote: 0, local: ${target.port} }
`);
    const first = await finished(spawn(process.execPath, [copy, 'up', 'one'], { env: world.env }));
    expect(first, first.stderr).toMatchObject({ code: 0 });
    const { pid } = (await world.status()).supervisor;
    rmSync(folder, { recursive: true });
    sshd.signalSessions('SIGKILL');
    const up = await world.run(['up', 'one', 'two', 'three', 'four']);
    expect(up, up.stderr).toMatchObject({ code: 0 });
    const { supervisor, tunnels } = await world.status();
    expect(supervisor.pid).toBe(pid);
    const ports = tunnels.slice(0, 2).map(({ forwards }) => Number(forwards[0]?.listen.split(':').at(-1)));
    for (const port of ports) expect(await request(port, 'x')).toEqual({ text: 'X', error: null });
    expect(await world.run(['down'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('supervisor ended') as string,
    });
  },
);
