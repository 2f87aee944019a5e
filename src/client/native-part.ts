// ssh2's native part: where it was not built at install time, the sentence about it and the command that builds it.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { shellWord } from '../model/shell-word.ts';

/** What `up` says when its new supervisor runs without native code: talk, and a command to paste. */
export function missingNativePart(
  folder = packageFolder(),
  prefix = dirname(dirname(process.execPath)),
): string[] {
  return [
    'ssh2 runs without its native part, which was not built at install time: transfers are slower, nothing else changes',
    `hint: ${rebuildCommand(folder, prefix)}    # needs python3, make and a C++ compiler; serves the next supervisor`,
  ];
}

/** `prefix`: where this Node is installed; with its headers there, nothing has to be downloaded to build. */
function rebuildCommand(folder: string, prefix: string): string {
  const headers = existsSync(join(prefix, 'include/node/node.h')) ? ` --nodedir=${shellWord(prefix)}` : '';
  return `(cd ${shellWord(folder)} && npm rebuild ssh2 --ignore-scripts=false${headers})`;
}

/** The folder whose node_modules holds ssh2: npm acts on that one. */
function packageFolder(): string {
  return dirname(dirname(dirname(createRequire(import.meta.url).resolve('ssh2/package.json'))));
}
