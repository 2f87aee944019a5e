// Two `tunnel up` at the same instant: one supervisor, and both say that the tunnel is up.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld, finished, type World } from '../helpers/world.ts';

/** How often; `TWO_AT_ONCE=50` is the long form. */
const rounds = Number(process.env['TWO_AT_ONCE'] ?? 3);

/** How many supervisors said so far that they serve. */
function started({ folder }: World): number {
  const logs = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('tunnel.log'),
  );
  const text = logs.map((name) => readFileSync(join(folder, name), 'utf8')).join('');
  return text.split('\n').filter((line) => line.includes('"event":"start"')).length;
}

test.skipIf(sshdMissing() !== null)(
  'two `up` at the same instant start one supervisor',
  async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    world.config(`hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  one: { host: box, local: auto, remote: 9 }
`);
    for (let round = 1; round <= rounds; round += 1) {
      const both = await Promise.all([1, 2].map(() => finished(world.start(['up']))));
      for (const { code, stdout, stderr } of both)
        expect([code, stdout.slice(0, 8)], stderr).toEqual([0, 'one  up ']);
      expect(started(world), `in round ${round}`).toBe(round);
      expect((await world.run(['down'])).code).toBe(0);
    }
  },
  300_000,
);
