// What a supervisor cannot write down it says in its log, and goes on.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createWorld } from '../helpers/world.ts';

const tunnels = `defaults: { host: "me@127.0.0.1:1", local: auto, remote: 9, hold: 0s }
tunnels: { a: {}, b: {} }
`;

test('marks and a history that cannot be written are told in the log, and commands do what they are to do', async () => {
  await using world = createWorld();
  world.config(tunnels);
  await world.run(['up', 'a', '--timeout', '10ms']);
  const state = readdirSync(world.folder, { recursive: true, encoding: 'utf8' });
  for (const name of ['wanted.json', 'history.jsonl']) {
    const path = join(world.folder, state.find((each) => each.endsWith(name)) ?? '');
    rmSync(path);
    mkdirSync(path); // in the place of a file a folder: nobody can write that, root neither
  }
  await world.run(['up', 'b', '--timeout', '10ms']);
  expect((await world.status()).tunnels.map(({ wanted }) => wanted)).toEqual([true, true]);
  const log = async (): Promise<string> => (await world.run(['logs', '-n', '1000'])).stdout;
  await expect.poll(log).toMatch(/error +\S*wanted\.json cannot be written: .*\n/);
  await expect.poll(log).toMatch(/error +\S*history\.jsonl cannot be written: .*\n/);
});
