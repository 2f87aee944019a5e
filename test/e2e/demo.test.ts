// The demo, as a newcomer runs it: off a terminal, in an empty home, without an ssh on PATH.
import { readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { createWorld } from '../helpers/world.ts';

test('the demo shows everything it promises and leaves nothing behind', async () => {
  await using world = createWorld();
  const tmp = `${world.folder}/home`;
  const env = { TMPDIR: tmp, PATH: dirname(process.execPath), TUNNEL_HOME: '' };
  const ran = await world.run(['demo'], { env });
  expect(ran, ran.stderr).toMatchObject({ code: 0 });
  expect(ran.stderr).toMatch(/is new here\. Its ed25519 key:\n {2}SHA256:/);
  expect(ran.stderr).toContain('yes   (no terminal');
  const scenes = [
    'tunnel up',
    'uppercase  up  127.0.0.1:',
    'this is a test',
    'THIS IS A TEST',
    'The server is killed',
    'retrying',
    'The server is back',
    'IS ANYBODY THERE?   (held, then served after',
    'uppercase  up ',
    'closed',
    'nothing of it is left',
  ];
  let at = 0;
  for (const scene of scenes) {
    at = ran.stdout.indexOf(scene, at);
    expect(at, `${scene}, after what comes before it`).toBeGreaterThanOrEqual(0);
  }
  const said = ran.stdout.split('\n').filter((line) => /^(to 127|from there)/.test(line));
  const columns = said.map((line) => line.search(/ [<>] /));
  expect(columns, 'what is said and what is heard, below each other').toEqual(said.map(() => columns[0]));
  expect(readdirSync(tmp)).toEqual([]);
  expect((await world.run(['demo', '--yes', '--quiet'], { env })).code).toBe(0);
});
