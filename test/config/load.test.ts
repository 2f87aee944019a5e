// Reading config files: owners and modes, includes, missing files, consent, what tells the supervisor of a change.
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allow, consentDigest } from '../../src/config/consent.ts';
import { formatIssue } from '../../src/config/issue.ts';
import { checkConfig, loadConfig, readDeclared, readSources } from '../../src/config/load.ts';
import { createHome, type Home } from './home.ts';

const good = 'tunnels:\n  db: { host: h, local: 1, remote: 2 }\n';
const isRoot = process.getuid?.() === 0;

async function issuesOf(home: Home, file: string): Promise<string[]> {
  return (await checkConfig(file, home.account)).issues.map(formatIssue);
}

describe('a config file', () => {
  test('that is not there is CONFIG_MISSING', async () => {
    const { account, folder } = createHome();
    await expect(loadConfig(join(folder, 'x.yaml'), account)).rejects.toMatchObject({
      code: 'CONFIG_MISSING',
    });
    await expect(checkConfig(join(folder, 'x.yaml'), account)).rejects.toMatchObject({
      code: 'CONFIG_MISSING',
    });
  });

  test('that everybody may write is refused before a byte of it is read', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', '{{{', 0o606);
    expect(await issuesOf(home, file)).toEqual(['tunnels.yaml:1:1 can be written by everybody']);
    await expect(loadConfig(file, home.account)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      hint: `chmod go-w ${file}`,
    });
    const sly = home.write('a;id/tunnels.yaml', good, 0o606);
    await expect(loadConfig(sly, home.account)).rejects.toMatchObject({ hint: `chmod go-w '${sly}'` });
  });

  test.skipIf(!isRoot)(
    'that belongs to another user, or is writable by a group of several, is refused',
    async () => {
      const home = createHome();
      const file = home.write('tunnels.yaml', good);
      chownSync(file, 12345, 12345);
      expect(await issuesOf(home, file)).toEqual([
        "tunnels.yaml:1:1 belongs to another user (uid 12345): it must be yours or root's",
      ]);
      chownSync(file, 0, 1);
      chmodSync(file, 0o660);
      expect(await issuesOf(home, file)).toEqual(['tunnels.yaml:1:1 can be written by its group']);
      chownSync(file, 0, 0);
      expect(await issuesOf(home, file)).toEqual([]);
    },
  );

  test('that is a folder or cannot be read is an issue, not a crash', async () => {
    const home = createHome();
    expect(await issuesOf(home, home.folder)).toEqual([expect.stringMatching(/:1:1 is a folder$/)]);
  });

  test('that is a pipe is refused, not waited for', async () => {
    const home = createHome();
    const file = join(home.folder, 'tunnels.yaml');
    execFileSync('mkfifo', ['-m', '600', file]);
    expect(await issuesOf(home, file)).toEqual(['tunnels.yaml:1:1 is not a regular file']);
  });

  test('may be a link, as ConfigMaps and Nix make them', async () => {
    const home = createHome();
    home.write('real.yaml', good);
    symlinkSync('real.yaml', join(home.folder, 'tunnels.yaml'));
    expect((await checkConfig(join(home.folder, 'tunnels.yaml'), home.account)).ok).toBe(true);
  });

  test('with a merge key and anchors reads as it says', async () => {
    const home = createHome();
    const file = home.write(
      'tunnels.yaml',
      'defaults: &d { user: u }\nhosts:\n  a: &a { <<: *d, hostname: a.x }\n  b: { <<: *a, hostname: b.x }\ntunnels:\n  t: { host: b, local: 1, remote: 2 }\n',
    );
    const config = await loadConfig(file, home.account);
    expect(config.tunnels[0]?.ways[0][0]).toMatchObject({ user: 'u', hostname: 'b.x' });
  });
});

describe('include:', () => {
  test('adds hosts and tunnels of other files, with paths from where they stand', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', `include: [sub/more.yaml]\ndefaults: { user: d }\n${good}`);
    home.write('sub/more.yaml', 'include: deep.yaml\nhosts: { m: { hostname: m.x, identity: key } }\n');
    home.write('sub/deep.yaml', 'tunnels:\n  deep: { host: m, local: ./d.sock, remote: 2 }\n');
    const config = await loadConfig(file, home.account);
    expect(config.tunnels.map(({ name }) => name)).toEqual(['db', 'deep']);
    expect(config.tunnels[1]).toMatchObject({
      ways: [[{ hostname: 'm.x', user: 'd', identities: [`${home.folder}/sub/key`] }]],
      forwards: [{ listen: { path: `${home.folder}/sub/d.sock` } }],
    });
  });

  test('tells of a socket that two tunnels claim, whatever each file calls it', async () => {
    const home = createHome();
    const file = home.write(
      'tunnels.yaml',
      `include: sub/more.yaml
defaults: { host: h, remote: 2 }
tunnels:
  a: { local: ~/run/x.sock }
  b: { local: HOME/run/x.sock }
  c: { local: ./run/../run/x.sock }
  d: { local: HOME/run/x.sock, autostart: false }
  e: { type: remote, remote: HOME/run/x.sock, local: 3 }
  f: { local: HOME/~/run/x.sock }
`,
    );
    home.write('sub/more.yaml', 'tunnels:\n  g: { local: ~/sub/../run//x.sock }\n');
    const remedy = 'one of the two tunnels must have autostart: false';
    expect(await issuesOf(home, file)).toEqual([
      `tunnels.yaml:5:15 tunnels.b.local: is the address of tunnels.a too; ${remedy}`,
      `tunnels.yaml:6:15 tunnels.c.local: is the address of tunnels.a too; ${remedy}`,
      `more.yaml:2:15 tunnels.g.local: is the address of tunnels.a too; ${remedy}`,
    ]);
  });

  test('tells the faults of an included file in that file', async () => {
    const home = createHome();
    const file = home.write(
      'tunnels.yaml',
      'include:\n  - more.yaml\n  - gone.yaml\n  - more.yaml\ntunnels:\n  a: { host: h, local: x, remote: 2 }\n',
    );
    home.write(
      'more.yaml',
      'defaults: { user: u }\ntunnels:\n  a: { host: h, local: 5, remote: 2 }\n  b: { host: h, local: 99999, remote: 2 }\n',
    );
    expect(await issuesOf(home, file)).toEqual([
      'tunnels.yaml:3:5 include.1: is not there',
      'tunnels.yaml:4:5 include.2: is included already',
      'tunnels.yaml:6:24 tunnels.a.local: must be PORT, HOST:PORT, "[V6]:PORT", /path.sock or auto',
      'more.yaml:1:1 defaults: belongs in the main file, not in an included one',
      `more.yaml:3:3 tunnels.a: is in another file already (${file}:6)`,
      'more.yaml:4:24 tunnels.b.local: must be 1-65535',
    ]);
  });

  test('in a circle is refused', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', `include: b.yaml\n${good}`);
    home.write('b.yaml', 'include: [tunnels.yaml]\n');
    expect(await issuesOf(home, file)).toEqual([
      'b.yaml:1:11 include.0: goes in a circle: tunnels.yaml → b.yaml → tunnels.yaml',
    ]);
  });

  test('asks the same of the owner and mode of an included file', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', `include: b.yaml\n${good}`);
    home.write('b.yaml', 'tunnels: {}\n', 0o602);
    expect(await issuesOf(home, file)).toEqual(['b.yaml:1:1 can be written by everybody']);
  });

  test('tells nothing of a file that is no config at all', async () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', `include: [netrc, shadow]\n${good}`);
    home.write('netrc', 'machine h login l password hunter2\n', 0o600);
    home.write('shadow', 'root:$y$hunter2:19000: {}\nsecret: hunter2\n', 0o600);
    const issues = await issuesOf(home, file);
    expect(issues).toEqual([
      'netrc:1:1 must be a map of keys such as tunnels:',
      'shadow:1:1 has neither hosts: nor tunnels:',
    ]);
  });

  test('is watched: the digests tell which file changed', () => {
    const home = createHome();
    const file = home.write('tunnels.yaml', `include: b.yaml\n${good}`);
    const other = home.write('b.yaml', 'hosts: {}\n');
    const before = readSources(file, home.account);
    expect([...before.keys()]).toEqual([file, other]);
    writeFileSync(other, 'hosts: { x: { hostname: y } }\n');
    const after = readSources(file, home.account);
    expect(after.get(file)).toBe(before.get(file));
    expect(after.get(other)).not.toBe(before.get(other));
    rmSync(other);
    expect(readSources(file, home.account).get(other)).toBeNull();
  });
});

describe('a project file', () => {
  const text = `
hosts: { katie: { hostname: k.x, user: u } }
tunnels:
  a: { host: katie, local: 5432, remote: db:5432, tags: [x] }
  b: { host: katie, type: remote, remote: 8080, local: 3000 }
`;

  test('is CONFIG_NOT_ALLOWED until it is allowed, and again when it changed', async () => {
    const home = createHome();
    const state = join(home.folder, 'state');
    const file = home.write('tunnels.yaml', text);
    await expect(loadConfig(file, home.account, { allowedIn: state })).rejects.toMatchObject({
      code: 'CONFIG_NOT_ALLOWED',
      hint: 'tunnel allow',
    });
    await allow(state, file, consentDigest(readDeclared(file, home.account)), 0);
    expect((await loadConfig(file, home.account, { allowedIn: state })).tunnels).toHaveLength(2);
    home.write('tunnels.yaml', text.replace('k.x', 'evil.x'));
    await expect(loadConfig(file, home.account, { allowedIn: state })).rejects.toMatchObject({
      code: 'CONFIG_NOT_ALLOWED',
    });
  });
});
