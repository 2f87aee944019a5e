// A copy of the built package in a folder of its own, as npm installs one.
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

const top = resolve(import.meta.dirname, '../..');

export interface CopyOptions {
  /** False: as `npm install --ignore-scripts` leaves it. */
  readonly native: boolean;
  /** It calls itself so, and not as it was built. */
  readonly version?: string;
  /** The only protocol that it speaks. */
  readonly protocol?: number;
  /** Words of its supervisor's code, and what stands there instead. */
  readonly changed?: readonly (readonly [RegExp, string])[];
}

/** Answers the path of its program. */
export function copyPackage(
  folder: string,
  { native, version, protocol, changed = [] }: CopyOptions,
): string {
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
  if (version !== undefined) change(folder, /"0\.1\.0"/g, JSON.stringify(version));
  if (protocol !== undefined)
    change(folder, /current:\s*1,\s*oldest:\s*1/g, `current:${protocol},oldest:${protocol}`);
  for (const [words, to] of changed) change(folder, words, to, /^rooms\.cjs$/);
  return join(folder, 'bin/tunnel.js');
}

/** In what was built. */
function change(folder: string, words: RegExp, to: string, names = /js$/): void {
  let found = 0;
  for (const name of readdirSync(join(folder, 'dist'))) {
    const path = join(folder, 'dist', name);
    if (!names.test(name)) continue;
    const text = readFileSync(path, 'utf8');
    const changed = text.replace(words, to);
    if (changed === text) continue;
    found += 1;
    writeFileSync(path, changed);
  }
  if (found === 0) throw new Error(`what was built has no ${words}`);
}
