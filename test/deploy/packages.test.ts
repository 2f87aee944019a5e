// What `npm run package` makes: the single file runs where there is nothing else, and the Debian package installs and goes away again.
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import type { StatusDocument } from '../../src/model/status.ts';
import { nativeCrypto } from '../../src/ssh/ssh2/parts.ts';
import { layOutEmptyRoot } from '../helpers/empty-root.ts';
import { entriesBelow, temporaryFolder } from '../helpers/folder.ts';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { freePort } from '../helpers/ports.ts';
import { newerOpenssh, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { request, startTarget, uppercase, type Target } from '../helpers/targets.ts';
import { built, finished, type Ran } from '../helpers/world.ts';

const top = resolve(import.meta.dirname, '../..');

const has = (program: string): boolean =>
  (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));
const possible = process.platform === 'linux' && has('strip') && nativeCrypto();
const isRoot = process.getuid?.() === 0 && namespaceMissing() === null;
const hasDebian = has('dpkg-deb') && has('dpkg-shlibdeps');

describe.runIf(possible)('the packages for Linux', () => {
  const into = temporaryFolder('packages');
  const made = (end: RegExp): string => {
    const name = readdirSync(into).find((each) => end.test(each));
    if (name === undefined) throw new Error(`nothing was made that ends in ${end}`);
    return join(into, name);
  };
  const executable = (): string => made(/-linux-\w+$/);

  beforeAll(async () => {
    const words = ['--import', 'tsx', 'deploy/linux/package.ts', '--into', into];
    const env = { ...process.env, DPKG_DEB_COMPRESSOR_TYPE: 'none' }; // it would take minutes
    const ran = await finished(spawn(process.execPath, words, { cwd: top, env }));
    expect(ran, 'npm run package').toMatchObject({ code: 0, stderr: '' });
  });

  test('the single file names no folder of the machine that made it: it is the same wherever it is made', () => {
    const bytes = readFileSync(executable());
    for (const folder of [top, into, 'tunnel-package-']) expect(bytes.includes(folder), folder).toBe(false);
  });

  describe.runIf(isRoot && sshdMissing() === null)('the single file in an empty root folder', () => {
    /** A place with a key that may log in, and how `tunnel` is run there. */
    const layOut = (sshd: Sshd, noexec: readonly string[]) => {
      const root = layOutEmptyRoot(executable(), 'tunnel');
      mkdirSync(join(root.folder, 'root/.ssh'), { mode: 0o700 });
      cpSync(sshd.identity, join(root.folder, 'root/.ssh/id_ed25519'));
      const env = { HOME: '/root', PATH: '/usr/sbin:/usr/bin:/sbin:/bin', TUNNEL_HOME: '/state' };
      const run = async (...words: string[]): Promise<Ran> => {
        const ran = await root.run(['/usr/bin/tunnel', ...words], { env, noexec });
        expect(ran, words.join(' ')).toMatchObject({ code: 0 });
        return ran;
      };
      const status = async (): Promise<StatusDocument> =>
        JSON.parse((await run('status', '--json')).stdout) as StatusDocument;
      const init = (target: Target, port: number): Promise<Ran> => {
        const host = `${sshd.user}@127.0.0.1:${sshd.port}`;
        return run('init', '--host', host, '--remote', `127.0.0.1:${target.port}`, '--local', `${port}`);
      };
      return { root, run, status, init };
    };

    test('does the main job, and writes nothing but its state', async () => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      const { root, run, status, init } = layOut(sshd, []);
      const before = root.listing(['state']);
      const { version } = JSON.parse(readFileSync(join(top, 'package.json'), 'utf8')) as { version: string };
      expect(await run('--version')).toMatchObject({ stdout: `${version}\n`, stderr: '' });
      const port = await freePort();
      await init(target, port);
      try {
        const up = await run('up', '--accept-new');
        expect(up.stdout).toContain('  up  ');
        expect(up.stderr).not.toMatch(/native part|Warning/);
        expect(await request(port, 'abc')).toEqual({ text: 'ABC', error: null });
        const { supervisor, tunnels } = await status();
        expect(supervisor).toMatchObject({ running: true, nativeCrypto: true });
        expect(tunnels).toMatchObject([{ state: 'up' }]);
        await run('restart', '--supervisor');
        expect((await status()).supervisor.pid).not.toBe(supervisor.pid);
        expect(await request(port, 'abc')).toEqual({ text: 'ABC', error: null });
      } finally {
        await run('down');
      }
      expect((await status()).supervisor.running).toBe(false);
      expect(root.listing(['state'])).toBe(before);
      const kept = entriesBelow(join(root.folder, 'state/cache')).map(({ name }) => name);
      expect(kept.filter((name) => !/^code-[a-z]+-[a-z0-9]+$/.test(name))).toEqual([]); // V8's own, as of npm's program
    });

    test('serves without its machine code where that may not be loaded, and says so', async () => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      const { run, init, status } = layOut(sshd, ['/state', '/tmp']);
      const port = await freePort();
      await init(target, port);
      try {
        const { stderr } = await run('up', '--accept-new');
        expect(stderr).toContain('ssh2 runs without its native part');
        expect(stderr).toContain('hint: tunnel down && TMPDIR=/var/tmp tunnel up ');
        expect(await request(port, 'abc')).toEqual({ text: 'ABC', error: null });
      } finally {
        await run('down');
      }
      expect((await status()).supervisor.running).toBe(false);
    });
  });

  describe.runIf(hasDebian)('the Debian package', () => {
    const shown = (program: string, ...words: string[]): string =>
      execFileSync(program, words, { encoding: 'utf8' });

    test('unpacks to the program, its pages, completions and papers, all owned by root', () => {
      const root = temporaryFolder('unpacked');
      const deb = made(/\.deb$/);
      execFileSync('dpkg-deb', ['--extract', deb, root]);
      const at = (path: string): Buffer => readFileSync(join(root, 'usr', path));
      expect(at('bin/tunnel').equals(readFileSync(executable()))).toBe(true);
      for (const [section, name] of [
        [1, 'tunnel'],
        [5, 'tunnels.yaml'],
      ] as const) {
        const page = gunzipSync(at(`share/man/man${section}/${name}.${section}.gz`));
        expect(page.equals(readFileSync(join(top, `dist/man/${name}.${section}`)))).toBe(true);
      }
      for (const [shell, path] of [
        ['bash', 'bash-completion/completions/tunnel'],
        ['zsh', 'zsh/vendor-completions/_tunnel'],
        ['fish', 'fish/vendor_completions.d/tunnel.fish'],
      ] as const)
        expect(String(at(`share/${path}`))).toBe(shown(process.execPath, built, 'completion', shell));
      expect(String(at('share/doc/tunnel/copyright'))).toMatch(/^Node\.js v[^]+^ssh2 1\.17\.0$/m);
      const modes = entriesBelow(root).map(({ name, mode, isFolder }) => [
        name,
        isFolder ? 'folder' : '',
        mode,
      ]);
      expect(
        modes.filter(([name, kind, mode]) => mode !== (kind || name === 'usr/bin/tunnel' ? '755' : '644')),
      ).toEqual([]);
      expect(
        shown('dpkg-deb', '--contents', deb)
          .split('\n')
          .filter((line) => !/ root\/root |^$/.test(line)),
      ).toEqual([]);
    });

    test.runIf(isRoot && newerOpenssh !== null)(
      'installs on a Debian, does the main job, and goes again',
      async () => {
        const root = join(temporaryFolder('debian'), 'root');
        execFileSync('cp', ['--archive', '--one-file-system', newerOpenssh ?? '', root]);
        cpSync(made(/\.deb$/), join(root, 'tunnel.deb'));
        const inside = async (...words: string[]): Promise<Ran> => {
          const script = `mount --bind /dev/null ${root}/dev/null\nmount --rbind /proc ${root}/proc\nexec chroot "$@"`;
          const env = { HOME: '/root', PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };
          return finished(spawn('unshare', ['-m', 'sh', '-ec', script, 'sh', root, ...words], { env }));
        };
        expect(await inside('dpkg', '--install', '/tunnel.deb')).toMatchObject({ code: 0 });
        expect(await inside('dpkg', '--verify', 'tunnel')).toMatchObject({ code: 0, stdout: '' });
        const demo = await inside('tunnel', 'demo', '--yes');
        expect(demo).toMatchObject({ code: 0 });
        expect(demo.stdout).toContain('nothing of it is left');
        expect(await inside('dpkg', '--remove', 'tunnel')).toMatchObject({ code: 0 });
        expect(existsSync(join(root, 'usr/bin/tunnel'))).toBe(false);
      },
    );
  });
});
