// Small files that several processes write: read, changed and replaced as a whole under a lock, so that no word is lost.
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { underLock } from './lock.ts';

/**
 * Writes beside the file and renames: whoever reads it sees the old text or the new, whole. 0600, or with `isPrivate` false, for
 * a file of the user's, the mode that it has. Throws the system's error.
 */
export async function replaceFile(path: string, text: string, isPrivate = true): Promise<void> {
  // Loaded here: most commands write nothing, and threads and signals come with it.
  const { default: writeFileAtomic } = await import('write-file-atomic');
  await writeFileAtomic(path, text, isPrivate ? { mode: 0o600 } : {});
  if (isPrivate) await removeHalves(path); // in a folder of the user's, such a name may be a copy that he made
}

/** A write takes milliseconds: what is older belongs to a process that was killed in the middle of one. */
const abandonedAfterMs = 60_000;

/** Removes what killed writers left beside the file: PATH.NUMBER, as write-file-atomic names what it will rename. */
async function removeHalves(path: string): Promise<void> {
  const folder = dirname(path);
  const start = `${basename(path)}.`;
  const names = await readdir(folder).catch(() => []); // litter is no reason to fail a write that is done
  for (const name of names) {
    if (!name.startsWith(start) || !/^\d+$/.test(name.slice(start.length))) continue;
    const half = join(folder, name);
    const { mtimeMs } = (await stat(half).catch(() => null)) ?? { mtimeMs: Date.now() };
    if (Date.now() - mtimeMs > abandonedAfterMs) await rm(half, { force: true }).catch(() => undefined);
  }
}

/** From the text that is there ('' where there is none, or none that can be read) to the text that shall be. */
export type TextChange = (text: string) => string;

/** Replaces the file, 0600. Its folder must be there. Throws INTERNAL where it cannot be locked, else the system's error. */
export async function updateFile(path: string, change: TextChange): Promise<void> {
  await underLock(path, async () => {
    const before = await readFile(path, 'utf8').catch(() => '');
    const after = change(before);
    if (after !== before) await replaceFile(path, after);
  });
}

export interface Updates {
  /** Made soon, in order, those that wait meanwhile in one go. Rejects where it cannot be written. */
  update(change: TextChange): Promise<void>;
}

/** The updates of one file by one process, which are never in each other's way. */
export function openUpdates(path: string): Updates {
  let pending: TextChange[] = [];
  let running: Promise<void> | null = null;
  const flush = async (): Promise<void> => {
    while (pending.length > 0) {
      const changes = pending.splice(0);
      await updateFile(path, (text) => changes.reduce((before, change) => change(before), text));
    }
  };
  return {
    update(change) {
      pending.push(change);
      running ??= flush().finally(() => {
        running = null;
        pending = [];
      });
      return running;
    },
  };
}
