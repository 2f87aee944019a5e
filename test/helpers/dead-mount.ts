// A dead mount: a FUSE file system whose server never says a word, as an NFS server that is gone. Whoever touches it hangs.
import { spawn, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

const words = (folder: string): string[] => [
  '-c',
  // cat ends with this process, and with it the server: then the mount refuses, and hangs nobody
  `exec 3<>/dev/fuse && mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 dead "$1" && echo dead && cat; umount -l "$1"`,
  'bash',
  folder,
];

/** Null where tests may mount (root, and the kernel has FUSE); else why they are skipped. */
export function mountMissing(): string | null {
  try {
    const folder = temporaryFolder('mount');
    const said = execFileSync('bash', words(folder), { input: '', stdio: ['pipe', 'pipe', 'ignore'] });
    return said.toString() === 'dead\n' ? null : 'nothing can be mounted here';
  } catch {
    return 'nothing can be mounted here';
  }
}

export async function deadMount(): Promise<{ readonly folder: string } & AsyncDisposable> {
  const folder = join(temporaryFolder('dead'), 'mount point');
  mkdirSync(folder);
  const holder = spawn('bash', words(folder), { stdio: ['pipe', 'pipe', 'ignore'] });
  await once(holder.stdout, 'data');
  return {
    folder,
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await once(holder, 'exit');
    },
  };
}
