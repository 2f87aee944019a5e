// Makes folders, 0700. Not by mkdir's `recursive: true`, which never ends where a file system answers ENOENT (/proc, and
// some read-only ones).
import { existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** Makes the folder, and what is missing above it. Throws the system's error. */
export function makeFolders(path: string): void {
  if (existsSync(path)) return;
  makeFolders(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (thrown) {
    // Somebody else was faster, or a dangling link lies there.
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
  }
}
