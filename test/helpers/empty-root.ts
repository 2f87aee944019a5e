// A root folder with nothing in it but a program, the libraries that it is linked with, /dev/null and empty folders: no shell, no Node,
// no /etc. Programs run in it by chroot(1), in a mount namespace that has /proc too. Needs root.
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import { finished, type Ran } from './world.ts';

export interface EmptyRoot {
  readonly folder: string;
  /** `noexec`: folders in it that are mounted so. */
  run(
    words: readonly string[],
    options?: { env?: Record<string, string>; noexec?: readonly string[] },
  ): Promise<Ran>;
  /** What stands in it outside the folders named, with sizes and times. */
  listing(but: readonly string[]): string;
}

/** `program` becomes /usr/bin/NAME. */
export function layOutEmptyRoot(program: string, name: string): EmptyRoot {
  const folder = join(temporaryFolder('empty'), 'root');
  for (const path of ['dev', 'proc', 'root', 'state', 'tmp', 'usr/bin'])
    mkdirSync(join(folder, path), { recursive: true });
  chmodSync(join(folder, 'tmp'), 0o1777);
  for (const path of ['root', 'state']) chmodSync(join(folder, path), 0o700);
  writeFileSync(join(folder, 'dev/null'), '');
  copyFileSync(program, join(folder, 'usr/bin', name));
  for (const library of librariesOf(program)) {
    mkdirSync(dirname(join(folder, library)), { recursive: true });
    copyFileSync(library, join(folder, library));
  }
  return {
    folder,
    run: (words, { env = {}, noexec = [] } = {}) => {
      const mounts = [
        `mount --bind /dev/null ${folder}/dev/null`,
        `mount --rbind /proc ${folder}/proc`,
        ...noexec
          .map((path) => folder + path)
          .map((at) => `mount --bind ${at} ${at}\nmount -o remount,bind,noexec ${at}`),
      ];
      const script = `${mounts.join('\n')}\nexec chroot "$@"`;
      return finished(spawn('unshare', ['-m', 'sh', '-ec', script, 'sh', folder, ...words], { env }));
    },
    listing: (but) => {
      const pruned = but.flatMap((path) => ['-path', join(folder, path), '-prune', '-o']);
      return execFileSync('find', [folder, ...pruned, '-printf', '%P %y %s %T@\n'], { encoding: 'utf8' });
    },
  };
}

/** The loader among them. */
function librariesOf(program: string): readonly string[] {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...text.matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
}
