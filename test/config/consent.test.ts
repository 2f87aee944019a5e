// Consent: what a change of a project file needs to be asked again, what is remembered, and what it says it would do.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../helpers/config.ts';
import { summarizeProject, allow, consentDigest, isAllowed } from '../../src/config/consent.ts';
import type { Declared } from '../../src/config/declared.ts';
import { createHome } from './home.ts';

const text = `
defaults: { keepalive: { interval: 5s } }
hosts:
  katie: { hostname: k.x, user: u, jump: b }
  b: { hostname: b.x }
tunnels:
  a: { host: katie, local: 5432, remote: "db:5432", tags: [x], env: { A: "1" } }
  c: { host: katie, type: remote, remote: 8080, local: 3000 }
  d: { host: katie, forwards: [{ name: n, local: 127.0.0.1:1, remote: 2 }, "D 1080"] }
`;

function declared(written: string): Declared {
  const read = parseConfig('/x/tunnels.yaml', written);
  if ('issues' in read) throw new Error(JSON.stringify(read.issues));
  return read.config;
}

describe('the digest of consent', () => {
  const changed = (from: string, to: string): boolean => {
    expect(text).toContain(from);
    return consentDigest(declared(text)) !== consentDigest(declared(text.replace(from, to)));
  };

  test.each([
    ['local: 5432', 'local: 6543'],
    ['"db:5432"', '"other:1"'],
    ['tags: [x]', 'tags: [y, z]'],
    ['127.0.0.1:1', '127.0.0.1:2'],
    ['"D 1080"', '"D 1081"'],
    ['{ hostname: k.x, user: u, jump: b }', '{ user: u, jump: b, hostname: k.x }'],
    ['tunnels:', '# a comment\ntunnels:'],
  ])('stays when %s becomes %s', (from, to) => {
    expect(changed(from, to)).toBe(false);
  });

  test.each([
    ['hostname: k.x', 'hostname: evil.x'],
    ['user: u', 'user: v'],
    ['jump: b', 'proxy_command: touch x'],
    ['interval: 5s', 'interval: 6s'],
    ['remote: 8080', 'remote: 8081'],
    ['local: 3000', 'local: 22'],
    ['local: 5432', 'local: 0.0.0.0:5432'],
    ['"D 1080"', '"L 1080:h:1"'],
    ['env: { A: "1" }', 'password: "command:[touch, x]"'],
    ['name: n, ', ''],
    ['name: n, ', 'name: n, protocol: ftp, '],
    ['name: n, ', 'name: n, probe: { greeting: x }, '],
    ['defaults:', 'notify: false\ndefaults:'],
    ['  a: {', '  z: { host: katie, local: 9, remote: 9 }\n  a: {'],
  ])('changes when %s becomes %s', (from, to) => {
    expect(changed(from, to)).toBe(true);
  });
});

test('the digest of consent changes with what stands in the known_hosts of the project, and of nobody else', () => {
  const home = createHome();
  const digest = (known: string): string => {
    const read = parseConfig(
      join(home.folder, 'project/tunnels.yaml'),
      text.replace('hostname: b.x', `hostname: b.x, known_hosts: [${known}]`),
    );
    if ('issues' in read) throw new Error(JSON.stringify(read.issues));
    return consentDigest(read.config);
  };
  const own = ['kh', './keys/../kh', '../shared', `${home.folder}/project/kh`];
  const others = ['~/kh', `${home.folder}/shared`, 'none'];
  for (const [known, counts] of [
    ...own.map((path) => [path, true] as const),
    ...others.map((path) => [path, false] as const),
  ]) {
    const digests = new Set([digest(known)]);
    for (const content of ['one', 'two']) {
      for (const path of ['project/kh', 'kh', 'shared']) home.write(path, content);
      digests.add(digest(known));
    }
    expect(digests.size, known).toBe(counts ? 3 : 1);
    for (const path of ['project/kh', 'kh', 'shared']) rmSync(join(home.folder, path));
  }
});

describe('what was allowed', () => {
  test('is kept by real path in a file of our own', async () => {
    const home = createHome();
    const state = join(home.folder, 'state');
    const [one, two] = [home.write('1.yaml', ''), home.write('2.yaml', '')];
    expect(isAllowed(state, one, 'd')).toBe(false);
    await allow(state, one, 'd', 0);
    await allow(state, two, 'e', 0);
    expect([isAllowed(state, one, 'd'), isAllowed(state, one, 'e'), isAllowed(state, two, 'e')]).toEqual([
      true,
      false,
      true,
    ]);
    expect(statSync(join(state, 'allowed.json')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(state, 'allowed.json'), 'utf8')).toContain('1970-01-01T00:00:00.000Z');
  });

  test('is all kept when several processes are allowed something at once', async () => {
    const home = createHome();
    const files = Array.from({ length: 12 }, (_, index) => home.write(`${index}.yaml`, ''));
    const state = join(home.folder, 'state');
    const source = JSON.stringify(resolve(import.meta.dirname, '../../src/config/consent.ts'));
    const program = `import { allow } from ${source};
      for (const file of process.argv.slice(1)) await allow(${JSON.stringify(state)}, file, 'd', 0);`;
    const racer = (mine: readonly string[]): Promise<unknown> =>
      once(
        spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program, ...mine]),
        'exit',
      );
    const ends = await Promise.all([0, 4, 8].map((from) => racer(files.slice(from, from + 4))));
    expect(ends).toEqual([0, 0, 0].map((code) => [code, null]));
    await Promise.all(files.map((file) => allow(state, `${file}.more`, 'd', 0)));
    for (const file of files)
      expect([isAllowed(state, file, 'd'), isAllowed(state, `${file}.more`, 'd')]).toEqual([true, true]);
  });

  test.each(['', 'null', '[]', '{"version":1}', '{"version":1,"files":null}', '{"version":2,"files":{}}'])(
    'counts as nothing where the file holds %j',
    async (content) => {
      const home = createHome();
      const file = home.write('t.yaml', '');
      writeFileSync(join(home.folder, 'allowed.json'), content);
      expect(isAllowed(home.folder, file, 'd')).toBe(false);
      await allow(home.folder, file, 'd', 0);
      expect(isAllowed(home.folder, file, 'd')).toBe(true);
    },
  );
});

test.skipIf(process.getuid === undefined)('what others could have written allows nothing', async () => {
  const home = createHome();
  const state = join(home.folder, 'state');
  const file = home.write('1.yaml', '');
  await allow(state, file, 'd', 0);
  const store = join(state, 'allowed.json');
  chmodSync(store, 0o666);
  expect(isAllowed(state, file, 'd')).toBe(false);
  chmodSync(store, 0o600);
  expect(isAllowed(state, file, 'd')).toBe(true);
  chmodSync(state, 0o777);
  expect(isAllowed(state, file, 'd')).toBe(false);
  await expect(allow(state, file, 'd', 0)).rejects.toThrow('others may write to it');
});

test('the summary of a project file names everything it would do', () => {
  const bold = `
defaults: { host_keys: accept-new, hooks: { down: [rm, /tmp/x] } }
hooks: { up: [touch, /tmp/x] }
metrics: 0.0.0.0:9464
hosts:
  katie: { hostname: k.x, user: u, port: 2222, jump: b, identity: ~/.ssh/id, password: "command:[cat, pw]" }
  b: { hostname: b.x, proxy_command: "nc %h %p", passphrase: "env:P", known_hosts: ./kh, agent: ./a.sock }
  p: { hostname: p.x, proxy: { url: "socks5://u@proxy:1", password: keychain } }
tunnels:
  a: { host: katie, local: 5432, remote: 1, env: { URL: "x\\ny{address}" }, open: "http://{address}" }
  w: { host: p, local: 0.0.0.0:80, remote: 1, ways: [alias, direct] }
  r: { host: katie, type: remote, remote: 8080, local: 3000 }
  s: { host: katie, type: remote, remote: 8081, allow: ["*:22"], hooks: { needs_you: [beep, -l] } }
  d: { host: me@10.0.0.1, type: dynamic, local: "[::]:1080", socks_auth: { user: u, password: "file:pw" } }
`;
  const lines = summarizeProject(declared(bold)).map(({ what, items }) => `${what}: ${items.join(' | ')}`);
  expect(lines).toEqual([
    'connects to: katie (u@k.x:2222) | b (b.x:22) | p (p.x:22) | alias (as in your ssh_config, if it is there) | me@10.0.0.1 (as in your ssh_config, if it is there) | socks5 proxy proxy:1 (to reach p)',
    'runs: cat pw (for katie) | nc %h %p (to reach b) | touch /tmp/x (on up) | rm /tmp/x (on down) | beep -l (on needs_you of s)',
    'reads secrets: command:[cat, pw] (password of katie) | env:P (passphrase of b) | keychain (proxy password of p) | file:pw (SOCKS password of d)',
    'uses: key ~/.ssh/id (for katie) | agent ./a.sock (for b)',
    'trusts: host keys in ./kh (b) | new host keys without asking (defaults)',
    'sets variables for env and exec: URL=x y{address} (a)',
    'opens by tunnel open: http://{address} (a)',
    'opens on the server: 127.0.0.1:8080, which reaches 127.0.0.1:3000 here (r) | 127.0.0.1:8081, which reaches anything from here that matches *:22 (s)',
    'listens beyond this machine: 0.0.0.0:80 (w) | [::]:1080 (d) | 0.0.0.0:9464 (metrics)',
  ]);
});

test('the summary of a project file tells of the page, which others on the machine can read', () => {
  const shown = (metrics: string) =>
    summarizeProject(
      declared(`metrics: ${metrics}\ntunnels: { a: { host: h, local: 1, remote: 1 } }\n`),
    ).filter(({ what }) => what.startsWith('shows'));
  expect(shown('9464')).toEqual([]);
  expect(shown('{ listen: 9464, page: true }')).toEqual([
    { what: 'shows to every user of this machine', items: ['its tunnels on 127.0.0.1:9464'] },
  ]);
});

test('the summary of a project file shows where a tunnel really leads, whatever name its host has', () => {
  const sly = `
defaults: { port: 2222 }
hosts:
  prod: { hostname: prod.x, user: u }
  other: { hostname: evil.x, ssh_config: prod, host_key_alias: prod.x, certificate: ~/.ssh/id-cert.pub }
  issued: { hostname: i.x, certificate: { command: [vault, sign], file: ~/i-cert.pub } }
tunnels:
  a: { host: prod, hostname: evil.x, local: 1, remote: 1 }
  b: { host: github.com, hostname: evil.x, user: git, port: 22, local: 2, remote: 1 }
  c: { host: alias, user: root, local: 3, remote: 1 }
  d: { host: other, local: 4, remote: 1, proxy: "http://evil.x:8080" }
  e: { host: prod, local: 5, remote: 1 }
`;
  const lines = summarizeProject(declared(sly)).map(({ what, items }) => `${what}: ${items.join(' | ')}`);
  expect(lines).toEqual([
    'connects to: prod (u@evil.x:2222) | github.com (git@evil.x:22) | alias (user root, port 2222, as in your ssh_config, if it is there) | other (evil.x:2222) | prod (u@prod.x:2222) | http proxy evil.x:8080 (to reach d)',
    'runs: vault sign (for the certificate of issued)',
    'uses: certificate ~/.ssh/id-cert.pub (for other) | your ssh_config of prod (for other) | certificate ~/i-cert.pub (for issued)',
    'trusts: the host keys of prod.x (other)',
  ]);
});
