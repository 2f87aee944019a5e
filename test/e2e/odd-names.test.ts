// Names that a terminal would obey, in paths of ours and in files of others: nothing raw of them comes out, in no command.
import { chmodSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createWorld } from '../helpers/world.ts';

/** Colours, a title, an 8-bit sequence, a turn of the text, and a mark that hides. */
const odd = 'x\u001b[8my\u001b]0;owned\u0007\u009b31m\u202ez\u{e0041}';
const raw =
  // oxlint-disable-next-line no-control-regex -- exactly these must not come out
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/u;
const key = 'AAAAC3NzaC1lZDI1NTE5AAAAIJ5Cm4Q2kNJ1Yq3c0oZtq8Nf5cK0cJ1m7y7m3h3w2f1Q';

describe('a name that a terminal would obey', () => {
  test('is shown without that, is itself in JSON, and is quoted in a command', async () => {
    await using world = createWorld();
    const folder = join(world.folder, odd);
    const config = join(folder, 'tunnels.yaml');
    mkdirSync(folder, { mode: 0o700 });
    world.config('tunnels:\n  db: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }\n');
    renameSync(join(world.folder, 'tunnels.yaml'), config);
    mkdirSync(join(world.folder, 'home', '.ssh'), { mode: 0o700 });
    const knownHosts = join(world.folder, 'home', '.ssh', 'known_hosts');
    writeFileSync(knownHosts, `${odd} ssh-ed25519 ${key} ${odd}\nkatie ssh-ed25519 ${key} ${odd}\n`);
    await world.run(['--config', config, 'up', '--timeout', '1ms']);
    for (const args of [
      ['status', '--all'],
      ['status', '--all', '--json'],
      ['--config', config, 'status'],
      ['--config', config, 'check'],
      ['--config', config, 'check', '--json'],
      ['--config', config, 'show'],
      ['--config', config, 'logs', '--json'],
      ['--config', config, 'why', 'db'],
      ['--config', join(folder, 'none.yaml'), 'up'],
      ['--config', config, 'up', odd],
      ['hosts', 'list'],
      ['hosts', 'list', '--json'],
      ['hosts', 'export'],
      ['hosts', 'forget', odd],
    ]) {
      const { stdout, stderr } = await world.run(args);
      const said = `${stdout}${stderr}`.replaceAll('\n', ' ');
      expect(raw.exec(said)?.[0], args.join(' ')).toBeUndefined();
    }
    const all = JSON.parse((await world.run(['status', '--all', '--json'])).stdout) as {
      supervisors: { supervisor: { config: string } }[];
    };
    expect(all.supervisors[0]?.supervisor.config).toBe(config);
    const listed = JSON.parse((await world.run(['hosts', 'list', '--json'])).stdout) as { host: string }[];
    expect(listed.map(({ host }) => host)).toContain(odd);
    expect((await world.run(['hosts', 'export'])).stdout).toBe(`katie ssh-ed25519 ${key} xyz\n`);
    chmodSync(folder, 0o777);
    const refused = await world.run(['--config', config, 'down']);
    expect(raw.exec(`${refused.stdout}${refused.stderr}`.replaceAll('\n', ' '))).toBeNull();
    chmodSync(folder, 0o700);
    expect((await world.run(['--config', config, 'down'])).code).toBe(0);
  });
});
