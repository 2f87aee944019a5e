// A copy of the built package in a folder of its own, as npm installs one.
import { cpSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const top = resolve(import.meta.dirname, '../..');

/** `native: false`: as `npm install --ignore-scripts` leaves it. Answers the path of its program. */
export function copyPackage(folder: string, { native }: { readonly native: boolean }): string {
  for (const part of ['bin', 'dist', 'package.json'])
    cpSync(join(top, part), join(folder, part), { recursive: true });
  const packages = join(folder, 'node_modules');
  mkdirSync(packages);
  const shipped = (path: string): boolean => native || basename(path) !== 'build';
  for (const name of readdirSync(join(top, 'node_modules'))) {
    const from = join(top, 'node_modules', name);
    if (name === 'ssh2') cpSync(from, join(packages, name), { recursive: true, filter: shipped });
    else symlinkSync(from, join(packages, name));
  }
  return join(folder, 'bin/tunnel.js');
}
