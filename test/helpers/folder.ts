// Temp folders for tests: 0700, all below the run's own root (global-setup.ts removes it), short, since sockets live below them.
import { lstatSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A fresh folder of our own. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(process.env['TUNNEL_TEST_ROOT'] ?? tmpdir(), `${name}-`));
}

export interface Entry {
  /** Its path below the folder. */
  readonly name: string;
  readonly isFolder: boolean;
  /** In octal: '600'. */
  readonly mode: string;
  /** A file's content, byte by byte; of everything else ''. */
  readonly text: string;
}

/** All that stands below a folder now. What a running program takes away meanwhile, as a lock, may be missing. */
export function entriesBelow(folder: string): readonly Entry[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
    const path = join(folder, name);
    try {
      const stat = lstatSync(path);
      const text = stat.isFile() ? readFileSync(path, 'latin1') : '';
      return [{ name, isFolder: stat.isDirectory(), mode: (stat.mode & 0o777).toString(8), text }];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}
