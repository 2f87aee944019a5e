// `tunnel doctor`: each check ok, or with what to do and the exit code of its kind; nothing of a foreign project file is touched.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../helpers/folder.ts';
import { copyPackage } from '../helpers/package-copy.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { createWorld, type Ran, type World } from '../helpers/world.ts';

interface Check {
  readonly name: string;
  readonly status: 'ok' | 'warning' | 'failed';
  readonly detail: string;
  readonly hint: string | null;
}

interface Document {
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

function configure(world: World, local: number, host: string): void {
  world.config(`hosts:
  box: { hostname: 127.0.0.1, port: 1, user: me, ${host} }
tunnels:
  db: { host: box, local: ${local}, remote: 9 }
`);
}

async function examine(world: World, options: Parameters<World['run']>[1] = {}): Promise<[Ran, Document]> {
  const ran = await world.run(['doctor', '--json'], options);
  return [ran, JSON.parse(ran.stdout) as Document];
}

const troubles = ({ checks }: Document): Check[] =>
  checks.filter(({ name, status }) => status !== 'ok' && name !== 'native crypto');

test('is ok, line by line, where all is well', async () => {
  await using world = createWorld();
  const key = makeKey(join(world.folder, 'id'));
  configure(world, await freePort(), `identity: [${key}], agent: false`);
  const [ran, document] = await examine(world);
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(document.ok).toBe(true);
  expect(troubles(document)).toEqual([]);
  expect(document.checks.map(({ name }) => name)).toEqual([
    'config',
    'known_hosts',
    'keys',
    'agent',
    'clock',
    'keychain',
    'ports',
    'folders',
    'supervisor',
    'service',
    'ssh',
    'native crypto',
  ]);
  const shown = await world.run(['doctor']);
  expect(shown.stdout).toMatch(/^config +ok +.*tunnels\.yaml: 1 tunnel/m);
  expect(shown.stdout).toMatch(/^ports +ok +1 free, 0 bound by the supervisor$/m);
});

test('names a key that is missing and a port that another program has, and ends with the graver code', async () => {
  await using world = createWorld();
  await using holder = await startTarget(uppercase);
  configure(world, holder.port, `identity: [${join(world.folder, 'no key')}], agent: false`);
  const [ran, document] = await examine(world);
  expect(ran.code).toBe(6);
  expect(document.ok).toBe(false);
  expect(troubles(document)).toMatchObject([
    { name: 'config', status: 'warning' }, // as `check` and `up` say it
    { name: 'keys', status: 'failed', detail: expect.stringContaining('no key') as string },
    { name: 'ports', status: 'failed', detail: expect.stringContaining(`${holder.port}`) as string },
  ]);
  for (const { hint } of troubles(document)) expect(hint).not.toBeNull();
  const shown = await world.run(['doctor']);
  expect(shown).toMatchObject({ code: 6 });
  expect(shown.stdout).toMatch(/^keys +FAILED .*\n +hint: /m);
});

test('a port in use alone is 8, and one that the supervisor itself has bound is none', async () => {
  await using world = createWorld();
  await using holder = await startTarget(uppercase);
  const key = makeKey(join(world.folder, 'id'));
  configure(world, holder.port, `identity: [${key}], agent: false`);
  expect((await examine(world))[0].code).toBe(8);

  configure(world, await freePort(), `identity: [${key}], agent: false`);
  expect((await world.run(['up', '--timeout', '0s'])).code).toBe(5);
  await world.until('db', ({ forwards }) => forwards[0]?.bound === true);
  const [ran, document] = await examine(world);
  expect(ran.code).toBe(0);
  expect(document.checks.find(({ name }) => name === 'ports')?.detail).toBe(
    '0 free, 1 bound by the supervisor',
  );
  expect(document.checks.find(({ name }) => name === 'supervisor')?.detail).toMatch(
    /^pid \d+ runs, of this version/,
  );
});

test('an agent that is gone is a warning beside a key, and 6 where no other key is', async () => {
  await using world = createWorld();
  const key = makeKey(join(world.folder, 'id'));
  const gone = join(world.folder, 'agent.sock');
  configure(world, await freePort(), `identity: [${key}], agent: ${gone}`);
  const beside = await examine(world);
  expect(beside[0].code).toBe(0);
  expect(troubles(beside[1])).toMatchObject([{ name: 'agent', status: 'warning' }]);

  configure(world, await freePort(), `agent: ${gone}`);
  const alone = await examine(world);
  expect(alone[0].code).toBe(6);
  expect(troubles(alone[1])).toMatchObject([{ name: 'agent', status: 'failed' }]);
});

test('a config that others may write, one with faults and none at all are 3, and the rest is looked at all the same', async () => {
  await using world = createWorld();
  configure(world, await freePort(), 'agent: false');
  const path = join(world.folder, 'tunnels.yaml');
  chmodSync(path, 0o666);
  const [open, document] = await examine(world);
  expect(open.code).toBe(3);
  expect(troubles(document)).toMatchObject([
    { name: 'config', status: 'failed', hint: expect.stringContaining('chmod') as string },
  ]);
  expect(document.checks.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['folders', 'supervisor', 'ssh', 'native crypto']),
  );

  chmodSync(path, 0o600);
  world.config('tunnels:\n  db: { host: box, local: 99999, remote: 9 }\n  two: { locl: 1 }\n');
  const [faulty, faults] = await examine(world);
  expect(faulty.code).toBe(3);
  expect(troubles(faults).length).toBeGreaterThan(1);
});

test('a project file that is not allowed is 3, and nothing that it names is run or opened', async () => {
  await using world = createWorld();
  const cwd = join(world.folder, 'work');
  mkdirSync(cwd, { mode: 0o700 });
  const trace = join(world.folder, 'ran');
  writeFileSync(
    join(cwd, 'tunnels.yaml'),
    `tunnels: { db: { host: "me@127.0.0.1:1", local: 2345, remote: 9, proxy_command: "touch ${trace}" } }\n`,
    { mode: 0o600 },
  );
  const runtime = join(world.folder, 'rt');
  mkdirSync(runtime, { mode: 0o700 });
  const [ran, document] = await examine(world, { cwd, env: { TUNNEL_HOME: '', XDG_RUNTIME_DIR: runtime } });
  expect(ran.code).toBe(3);
  expect(document.checks[0]).toMatchObject({
    name: 'config',
    status: 'failed',
    hint: expect.stringContaining('tunnel allow') as string,
  });
  expect(document.checks.map(({ name }) => name)).not.toContain('keys');
  expect(document.checks.map(({ name }) => name)).not.toContain('ports');
  expect(existsSync(trace)).toBe(false);
});

test('always says that the native part is missing, with the command that builds it', async () => {
  const folder = temporaryFolder('no scripts');
  await using world = createWorld({ bin: copyPackage(folder, { native: false }) });
  configure(world, await freePort(), 'agent: false');
  for (let time = 0; time < 2; time += 1) {
    const native = (await examine(world))[1].checks.find(({ name }) => name === 'native crypto');
    expect(native).toMatchObject({
      status: 'warning',
      detail: expect.stringContaining('without its native part') as string,
    });
    expect(native?.hint).toContain('npm rebuild ssh2 ');
  }
});
