// The schema beside a config, for the editor: written with it, renewed with it, and told where it is of another version.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { modeline } from '../../src/config/schema.ts';
import { createWorld } from '../helpers/world.ts';

const add = ['add', 'db', '-L', '5432:db:5432', 'me@bastion.example.org'];

test('init and add write it beside a new config that names it, and renew it', async () => {
  for (const command of [['init', '--host', 'me@bastion.example.org', '--remote', 'db:5432'], add]) {
    await using world = createWorld();
    expect((await world.run(command)).code).toBe(0);
    expect(readFileSync(join(world.folder, 'tunnels.yaml'), 'utf8').split('\n')[0]).toBe(modeline);
    const schema = join(world.folder, modeline.split('=')[1] ?? '');
    const written = readFileSync(schema, 'utf8');
    expect(JSON.parse(written)).toEqual({
      $comment: expect.stringContaining('tunnel schema --write') as unknown,
      ...(JSON.parse((await world.run(['schema'])).stdout) as object),
    });
    writeFileSync(schema, written.replace('"jump"', '"jmp"'));
    expect((await world.run(['add', 'other', '-D', '1080', 'me@bastion.example.org'])).code).toBe(0);
    expect(readFileSync(schema, 'utf8')).toBe(written);
  }
});

test('check and doctor tell of one of another version and of a missing one, with the command that mends it', async () => {
  await using world = createWorld();
  await world.run(add);
  const schema = join(world.folder, 'tunnels.schema.json');
  const written = readFileSync(schema, 'utf8');
  expect((await world.run(['check'])).stderr).toBe('');
  writeFileSync(schema, written.replace('"jump"', '"jmp"'));
  const checked = await world.run(['check']);
  expect(checked).toMatchObject({ code: 0 });
  expect(checked.stderr).toMatch(
    /^warning: tunnels.schema.json .* another version\nhint: tunnel schema --write$/m,
  );
  expect((await world.run(['doctor', '--json'])).stdout).toContain('"hint": "tunnel schema --write"');
  expect(await world.run(['schema', '--write'])).toMatchObject({ code: 0, stderr: '' });
  expect(readFileSync(schema, 'utf8')).toBe(written);
  expect((await world.run(['check'])).stderr).toBe('');
});

test("somebody else's file of that name stays as it is, and a config without the line is left alone", async () => {
  await using world = createWorld();
  const schema = join(world.folder, 'tunnels.schema.json');
  writeFileSync(schema, '{}');
  expect((await world.run(add)).stderr).toContain('is not ours');
  expect((await world.run(['schema', '--write'])).code).toBe(2);
  expect(readFileSync(schema, 'utf8')).toBe('{}');
  await using other = createWorld();
  other.config('tunnels:\n  web: { host: a.example.org, local: 1, remote: 1 }\n');
  expect((await other.run(add)).code).toBe(0);
  expect(existsSync(join(other.folder, 'tunnels.schema.json'))).toBe(false);
  expect((await other.run(['check'])).stderr).toBe('');
  expect((await other.run(['schema', '--write'])).stderr).toContain(modeline);
});
