// The image of our Dockerfile, laid out as its COPY lines say and run in a mount namespace (unshare(1), chroot(1)): a root that
// cannot be written, a user that nobody knows. Needs root. What comes with its base is this machine's: node, /usr, /dev.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execForm, readDockerfile, repository, type Stage } from './dockerfile.ts';
import { temporaryFolder } from './folder.ts';

export interface ContainerOptions {
  readonly user: number;
  readonly group: number;
  /** Folders by where they are mounted. */
  readonly volumes: Readonly<Record<string, string>>;
  /** In place of the image's CMD. */
  readonly args?: readonly string[];
}

export interface Image {
  readonly health: readonly string[];
  /** Its ENTRYPOINT. The child's pid is the program's. */
  start(options: ContainerOptions): ChildProcess;
  /** Any other program in it, as `docker exec` runs it beside. */
  run(words: readonly string[], options: ContainerOptions): ChildProcess;
}

/** Built by the Dockerfile's own stage, from nothing but what it copies. */
export function layOutImage(): Image {
  const [build, image] = readDockerfile();
  if (build === undefined || image === undefined) throw new Error('the Dockerfile has two stages');
  const folder = temporaryFolder('image');
  const root = join(folder, 'root');
  chmodSync(dirname(folder), 0o711);
  chmodSync(folder, 0o711);
  layOutBuild(build, join(folder, 'build'));
  for (const { sources, target } of image.copies) {
    const [source = ''] = sources;
    if (source.endsWith('/node_modules')) continue; // mounted: it is large
    cpSync(join(folder, 'build', source), join(root, target), { recursive: true });
  }
  layOutBase(root);
  const run: Image['run'] = (words, options) => {
    const mounts = { ...baseMounts(), '/app/node_modules': join(repository, 'node_modules') };
    const env = { PATH: '/usr/local/bin:/usr/bin:/bin', ...image.env };
    const script = mountScript(root, mounts, options.volumes);
    const identity = [`--userspec=${options.user}:${options.group}`, '--groups='];
    const pairs = Object.entries(env).map((pair) => pair.join('='));
    return spawn(
      'unshare',
      ['-m', 'sh', '-ec', script, 'sh', 'chroot', ...identity, root, 'env', '-i', ...pairs, ...words],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
  };
  return {
    health: execForm(image, 'HEALTHCHECK'),
    start: (options) =>
      run([...execForm(image, 'ENTRYPOINT'), ...(options.args ?? execForm(image, 'CMD'))], options),
    run,
  };
}

function layOutBuild({ copies }: Stage, root: string): void {
  for (const { sources, target } of copies)
    for (const source of sources) {
      const into = sources.length > 1 ? join(root, target, source) : join(root, target);
      cpSync(join(repository, source), into, { recursive: true });
    }
  symlinkSync(join(repository, 'node_modules'), join(root, 'app/node_modules'));
  execFileSync(process.execPath, [join(root, 'app/build.mjs')]);
}

/** What the RUN lines of the image's stage leave behind, and a stand-in for tini where this machine has none. */
function layOutBase(root: string): void {
  for (const path of ['usr/local/bin', 'etc', 'state', 'keys', 'etc/tunnel', 'app/node_modules'])
    mkdirSync(join(root, path), { recursive: true, mode: 0o755 });
  chmodSync(join(root, 'state'), 0o1777);
  symlinkSync('/app/bin/tunnel.js', join(root, 'usr/local/bin/tunnel'));
  writeFileSync(join(root, 'usr/local/bin/node'), '');
  if (!existsSync('/usr/bin/tini'))
    writeFileSync(join(root, 'usr/local/bin/tini'), '#!/bin/sh\nshift\nexec "$@"\n', { mode: 0o755 });
  for (const path of Object.keys(baseMounts()))
    if (!existsSync(join(root, path))) mkdirSync(join(root, path), { recursive: true });
}

function baseMounts(): Record<string, string> {
  const folders = ['/usr/bin', '/usr/lib', '/bin', '/lib', '/lib64', '/dev', '/proc'];
  const here = folders.filter((path) => existsSync(path));
  return { ...Object.fromEntries(here.map((path) => [path, path])), '/usr/local/bin/node': process.execPath };
}

/** The root becomes read-only before what may be writable is mounted. */
function mountScript(
  root: string,
  mounts: Readonly<Record<string, string>>,
  volumes: Readonly<Record<string, string>>,
): string {
  const bind = ([path, from]: [string, string]): string => `mount --rbind ${from} ${join(root, path)}`;
  return [
    `mount --bind ${root} ${root}`,
    ...Object.entries(mounts).map(bind),
    `mount -o remount,ro,bind ${root}`,
    ...Object.entries(volumes).map(bind),
    'exec "$@"',
  ].join('\n');
}
