// A disk of 64 KiB that a test can fill: a file system of its own in memory (tmpfs(5)). Needs root and a kernel that lets it.
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

export interface SmallDisk extends Disposable {
  readonly folder: string;
  /** Leaves no byte free. */
  fill(): void;
  free(): void;
}

/** Null where none can be mounted. */
export function smallDisk(): SmallDisk | null {
  const folder = temporaryFolder('disk');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0700', 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return null; // not root, or a container that may not
  }
  const ballast = join(folder, 'ballast');
  return {
    folder,
    fill() {
      for (let bytes = 4096; bytes > 0; bytes = Math.floor(bytes / 2)) {
        try {
          for (;;) writeFileSync(ballast, Buffer.alloc(bytes), { flag: 'a' });
        } catch {
          // no room for so many: fewer
        }
      }
    },
    free: () => rmSync(ballast, { force: true }),
    [Symbol.dispose]: () => void execFileSync('umount', ['-l', folder]),
  };
}
