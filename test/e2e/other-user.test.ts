// Another user of this machine, who tries what we keep and where we listen: nothing of it opens, is written or is believed.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sshdMissing, startSshd } from '../helpers/sshd.ts';
import { createWorld, finished, type World } from '../helpers/world.ts';

const owner = 54_321;
const stranger = 54_322;
const isRoot = process.getuid?.() === 0;

/** What the stranger gets of each path: to read it, to write it, to lay a file beside it, to remove it, to connect. */
const tries = `
const fs = require('fs'), net = require('net'), path = require('path');
const code = (act) => { try { act(); return 'done'; } catch (e) { return e.code; } };
const connect = (p) => new Promise((resolve) => {
  const s = net.connect(p, () => { s.destroy(); resolve('done'); });
  s.on('error', (e) => resolve(e.code));
});
(async () => {
  const found = {};
  for (const p of process.argv.slice(1)) found[p] = [
    code(() => fs.closeSync(fs.openSync(p, 'r'))), code(() => fs.closeSync(fs.openSync(p, 'r+'))),
    code(() => fs.writeFileSync(path.join(path.dirname(p), 'laid'), '')), code(() => fs.chmodSync(p, 0o777)),
    code(() => fs.unlinkSync(p)), await connect(p),
  ];
  console.log(JSON.stringify(found));
})();`;

async function tryAll(paths: readonly string[]): Promise<Record<string, string[]>> {
  const child = spawn(process.execPath, ['-e', tries, ...paths], { uid: stranger, gid: stranger, cwd: '/' });
  const ran = await finished(child);
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout) as Record<string, string[]>;
}

/** Everything below a folder, but what the tests put there, and what is there for a moment: locks and files on their way. */
function below(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !/^(home|tunnels\.yaml|id)|\.(lock|\d+)$/.test(name))
    .map((name) => join(folder, name));
}

function configure(world: World, port: number, user: string, identity: string): void {
  const key = join(world.folder, 'id');
  writeFileSync(key, readFileSync(identity), { mode: 0o600 });
  chownSync(key, owner, owner);
  world.config(`tunnels:
  db: { host: "${user}@127.0.0.1:${port}", identity: ["${key}"], agent: false, host_keys: accept-new, local: auto, remote: 9 }
`);
}

describe.runIf(isRoot && process.platform === 'linux')('another user of this machine', () => {
  test.skipIf(sshdMissing() !== null)(
    'can neither read nor write what we keep, nor speak to the supervisor, where the folders are open too',
    async () => {
      await using sshd = await startSshd();
      await using world = createWorld({ uid: owner });
      configure(world, sshd.port, sshd.user, sshd.identity);
      // Named, so that allowed.json is written too.
      const up = await world.run(['-c', join(world.folder, 'tunnels.yaml'), 'up']);
      expect(up, up.stderr).toMatchObject({ code: 0 });
      const paths = below(world.folder);
      const kinds = paths.map((path) => lstatSync(path));
      const names = paths.map((path) => path.split('/').at(-1) ?? '');
      for (const name of ['known_hosts', 'wanted.json', 'address.json', 'tunnel.log', 'allowed.json'])
        expect(names).toContain(name);
      expect(kinds.filter((stats) => stats.isSocket())).toHaveLength(1);
      for (const [index, stats] of kinds.entries()) {
        const mode = (stats.mode & 0o777).toString(8);
        expect([paths[index], stats.uid, mode]).toEqual([
          paths[index],
          owner,
          stats.isDirectory() ? '700' : '600',
        ]);
      }
      for (const results of Object.values(await tryAll(paths)))
        expect(new Set(results)).toEqual(new Set(['EACCES']));
      // As if somebody had opened every folder to look: the files and the socket stand for themselves.
      for (const path of [world.folder, ...paths]) if (lstatSync(path).isDirectory()) chmodSync(path, 0o755);
      const files = paths.filter((path) => !lstatSync(path).isDirectory());
      for (const [path, [read, write, lay, mode, remove, connect]] of Object.entries(await tryAll(files))) {
        expect([path, read, write, lay, mode, remove]).toEqual([
          path,
          'EACCES',
          'EACCES',
          'EACCES',
          'EPERM',
          'EACCES',
        ]);
        expect([path, connect]).toEqual([path, 'EACCES']);
      }
      for (const path of [world.folder, ...paths]) if (lstatSync(path).isDirectory()) chmodSync(path, 0o700);
      expect((await world.tunnel('db')).state).toBe('up');
    },
  );

  test.each(['a folder', 'a link to a folder'])(
    'who laid %s where the control socket goes gets nothing: the supervisor does not start there',
    async (kind) => {
      await using world = createWorld({ uid: owner });
      const shared = join(world.folder, 'tmp');
      mkdirSync(shared);
      chmodSync(shared, 0o1777);
      const bait = join(world.folder, 'bait');
      mkdirSync(bait, { mode: 0o777 });
      chmodSync(bait, 0o777);
      const place = join(shared, `tunnel-${owner}`);
      if (kind === 'a folder') mkdirSync(place, { mode: 0o777 });
      else symlinkSync(bait, place);
      lchownSync(place, stranger, stranger);
      world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: auto, remote: 9 } }\n');
      const file = join(world.folder, 'tunnels.yaml');
      const state = join(world.folder, 'own-state');
      const env = { TUNNEL_HOME: '', XDG_RUNTIME_DIR: '', XDG_STATE_HOME: state, TMPDIR: shared };
      const up = await world.run(['-c', file, 'up', '--timeout', '1s'], { env });
      expect(up).toMatchObject({ code: 4 });
      expect(up.stderr).toMatch(/is not used: it (belongs to user 54322|is not a folder)/);
      expect(readdirSync(bait)).toEqual([]);
      if (kind === 'a folder') expect(readdirSync(place)).toEqual([]);
    },
  );

  test.each([
    ['belongs to him', (file: string) => chownSync(file, stranger, stranger), /belongs to another user/],
    ['everybody may write', (file: string) => chmodSync(file, 0o666), /can be written by everybody/],
  ] as const)('has no config used that %s', async (_what, open, why) => {
    await using world = createWorld({ uid: owner });
    world.config('tunnels: { db: { host: "me@127.0.0.1:1", local: auto, remote: 9 } }\n');
    open(join(world.folder, 'tunnels.yaml'));
    if (/belongs/.test(why.source)) chmodSync(join(world.folder, 'tunnels.yaml'), 0o644);
    const up = await world.run(['up']);
    expect(up).toMatchObject({ code: 3 });
    expect(up.stderr).toMatch(why);
    expect(existsSync(join(world.folder, 'run'))).toBe(false);
  });
});
