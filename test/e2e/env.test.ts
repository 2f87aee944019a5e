// `tunnel env` from outside: what a real sh has after eval, with a supervisor and without, and what cannot be known.
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bringUp, onlyForward, portOf } from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { built, createWorld, finished, type Ran, type World } from '../helpers/world.ts';

/** Evaluates what `tunnel env WORDS` prints, in sh, then runs the rest there. */
function evaluated(world: World, words: string, script: string): Promise<Ran> {
  const text = `eval "$("$NODE" "$TUNNEL" env ${words})"; ${script}`;
  const env = { ...world.env, NODE: process.execPath, TUNNEL: built };
  return finished(spawn('sh', ['-c', text], { env, cwd: world.folder }));
}

const withSshd = test.skipIf(sshdMissing() !== null);

withSshd('a shell has the port that is bound, and the own variables of the tunnel', async () => {
  await using sshd = await startSshd();
  await using world = createWorld();
  await bringUp(
    world,
    sshd,
    `  db: { host: box, local: auto, remote: 9, env: { URL: "pg://{address}/x" } }
  idle: { host: box, local: auto, remote: 9, autostart: false }
  fixed: { host: box, local: 15432, remote: 9, autostart: false }`,
  );
  const port = portOf(onlyForward(await world.tunnel('db')).listen);
  expect(port).toBeGreaterThan(0);
  const ran = await evaluated(world, 'db', 'printf "%s|" "$DB_HOST" "$DB_PORT" "$URL"');
  expect(ran).toMatchObject({ code: 0, stderr: '', stdout: `127.0.0.1|${port}|pg://127.0.0.1:${port}/x|` });
  const all = await world.run(['env', '--json']);
  expect(all).toMatchObject({ code: 9 });
  expect(JSON.parse(all.stdout)).toMatchObject({ DB_PORT: String(port), FIXED_PORT: '15432' });
  expect(all.stdout).not.toContain('IDLE');
  expect(all.stderr).toContain('the port of idle is auto');
  expect(all.stderr).toMatch(/^hint: tunnel up idle\b/m);
});

test('odd values come through a shell as they are', async () => {
  const odd = [
    `it's "$HOME" \`id\` $(id) \\n ; & | * ? ~ # !`,
    'two\nlines\n\tand a tab',
    '~/x',
    '',
    ' -n ',
    'ä€😀',
  ];
  await using world = createWorld();
  const env = Object.fromEntries(odd.map((value, index) => [`V${index}`, value]));
  world.config(
    `tunnels: { 3x: { host: "me@127.0.0.1:1", local: 5, remote: 9, env: ${JSON.stringify(env)} } }\n`,
  );
  const names = Object.keys(env).map((name) => `"$${name}"`);
  const ran = await evaluated(world, '3x', `printf '%s\\0' "$_3X_PORT" ${names.join(' ')}`);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(ran.stdout.split('\0')).toEqual(['5', ...odd, '']);
  const map = await world.run(['env', '--json']);
  expect(JSON.parse(map.stdout)).toEqual({ _3X_HOST: '127.0.0.1', _3X_PORT: '5', ...env });
});

test('without a supervisor a fixed port is known, an auto one is not, and one name of two is refused', async () => {
  await using world = createWorld();
  world.config(`
defaults: { host: "me@127.0.0.1:1", remote: 9 }
tunnels:
  db-a: { local: 0.0.0.0:5432 }
  db.a: { local: 5433 }
  free: { local: auto }
  back: { type: remote, remote: 80, local: 81 }
`);
  expect(await world.run(['env', 'db-a'])).toMatchObject({
    code: 0,
    stdout: 'export DB_A_HOST=127.0.0.1\nexport DB_A_PORT=5432\n',
    stderr: '',
  });
  expect(await world.run(['env', 'free'])).toMatchObject({
    code: 9,
    stdout: '',
    stderr: expect.stringMatching(/^hint: tunnel up free\b/m) as string,
  });
  expect(await world.run(['env', 'db*'])).toMatchObject({
    code: 2,
    stdout: '',
    stderr: expect.stringContaining('db-a and db.a come to one name, DB_A_HOST') as string,
  });
  expect(await world.run(['env', 'back'])).toMatchObject({ code: 0, stdout: '' });
  expect(await world.run(['env', 'nope'])).toMatchObject({ code: 2, stdout: '' });
});

test('nothing of a project file that nobody has allowed reaches a shell', async () => {
  await using world = createWorld();
  const folder = join(world.folder, 'work');
  mkdirSync(folder);
  const file = join(folder, 'tunnels.yaml');
  writeFileSync(
    file,
    'tunnels: { db: { host: "me@127.0.0.1:1", local: 5, remote: 9, env: { EDITOR: x } } }\n',
  );
  chmodSync(file, 0o600);
  const place = { cwd: folder, env: { TUNNEL_HOME: '' } };
  expect(await world.run(['env'], place)).toMatchObject({
    code: 3,
    stdout: '',
    stderr: expect.stringContaining('is not allowed yet') as string,
  });
  const allowed = await world.run(['allow'], place);
  expect(allowed.stderr).toContain('sets variables for env and exec EDITOR=x (db)');
  expect((await world.run(['env'], place)).stdout).toContain('\nexport EDITOR=x\n');
});
