// The image of our Dockerfile, laid out as its COPY lines say and run in a mount namespace (unshare(1), chroot(1)): a root that
// cannot be written, a user that nobody knows. Needs root. What comes with its base is this machine's: node, /usr, /dev.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execForm, readDockerfile, repository } from './dockerfile.ts';
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

/** What its first stage makes is what `npm ci` and the build made here. */
export function layOutImage(): Image {
  const [, image] = readDockerfile();
  if (image === undefined) throw new Error('the Dockerfile has two stages');
  const folder = temporaryFolder('image');
  const root = join(folder, 'root');
  chmodSync(dirname(folder), 0o711);
  chmodSync(folder, 0o711);
  const copied = image.copies.map(({ sources, target }) => [target, madeHere(sources)] as const);
  const mounts = { ...baseMounts(), ...Object.fromEntries(copied) };
  layOutBase(root, mounts);
  const run: Image['run'] = (words, options) => {
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

/** The first stage works in /app, as this repository is laid out. */
function madeHere(sources: readonly string[]): string {
  const [source = ''] = sources;
  if (sources.length !== 1 || !source.startsWith('/app/'))
    throw new Error(`not of /app: ${sources.join(' ')}`);
  return join(repository, source.slice('/app/'.length));
}

/** What the RUN lines of the image's stage leave behind, and a stand-in for tini where this machine has none. */
function layOutBase(root: string, mounts: Readonly<Record<string, string>>): void {
  for (const path of ['usr/local/bin', 'state', 'keys', 'etc/tunnel'])
    mkdirSync(join(root, path), { recursive: true, mode: 0o755 });
  chmodSync(join(root, 'state'), 0o1777);
  symlinkSync('/app/bin/tunnel.js', join(root, 'usr/local/bin/tunnel'));
  if (!existsSync('/usr/bin/tini'))
    writeFileSync(join(root, 'usr/local/bin/tini'), '#!/bin/sh\nshift\nexec "$@"\n', { mode: 0o755 });
  for (const [path, from] of Object.entries(mounts)) {
    const isFolder = statSync(from).isDirectory();
    mkdirSync(isFolder ? join(root, path) : dirname(join(root, path)), { recursive: true });
    if (!isFolder) writeFileSync(join(root, path), '');
  }
}

function baseMounts(): Record<string, string> {
  const folders = ['/usr/bin', '/usr/lib', '/bin', '/lib', '/lib64', '/dev', '/proc'];
  const here = folders.filter((path) => existsSync(path));
  return { ...Object.fromEntries(here.map((path) => [path, path])), '/usr/local/bin/node': process.execPath };
}

/** All but the volumes is read-only: the root, and each part of it that is mounted (mount(8) does no more than one at a time). */
function mountScript(
  root: string,
  mounts: Readonly<Record<string, string>>,
  volumes: Readonly<Record<string, string>>,
): string {
  const bind = ([path, from]: [string, string]): string => `mount --rbind '${from}' '${join(root, path)}'`;
  const readOnly = (path: string): string => `mount -o remount,ro,bind '${join(root, path)}'`;
  return [
    `mount --bind ${root} ${root}`,
    ...Object.entries(mounts).map(bind),
    ...['/', ...Object.keys(mounts).filter((path) => path.startsWith('/app/'))].map(readOnly),
    ...Object.entries(volumes).map(bind),
    'exec "$@"',
  ].join('\n');
}
