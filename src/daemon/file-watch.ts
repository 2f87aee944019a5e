// Watches a few files by content: tells when any of them has really changed, whatever the editor or ConfigMap did.
import { createHash } from 'node:crypto';
import { realpathSync, statSync, watch, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import { readForeignTextNow } from '../files/foreign-file.ts';
import { fileSystemAnswers } from '../files/mounts.ts';
import type { Cancel, Clock } from '../model/clock.ts';

/** A save is several events: the content is looked at when none came for this long. */
const settleMs = 100;
/** Watching is blind on network file systems, for a folder that was replaced, and without inotify instances. */
const lookMs = 5000;

/** Files as they were at a moment. */
export interface Seen {
  readonly files: readonly string[];
  readonly stamp: string;
  /** A digest. */
  readonly content: string;
}

/** Look before reading: what is written while the reading goes on is a change then. */
export function lookAt(paths: readonly string[]): Seen {
  const files = [...new Set(paths)];
  return { files, stamp: stampOf(files), content: contentOf(files) ?? '' };
}

export interface FileWatch {
  /** Replaces the files to watch. What differs from then on is a change. */
  follow(seen: Seen): void;
  close(): void;
}

/** Calls `changed` when the content of a followed file differs from when it was last looked at. */
export function watchFiles(clock: Clock, changed: () => void): FileWatch {
  return new Watch(clock, changed);
}

class Watch implements FileWatch {
  readonly #clock: Clock;
  readonly #changed: () => void;
  #files: readonly string[] = [];
  #watchers: FSWatcher[] = [];
  #settle: Cancel | null = null;
  #look: Cancel | null = null;
  #stamp = '';
  #content = '';
  #over = false;

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  follow({ files, stamp, content }: Seen): void {
    this.#files = files;
    this.#content = content;
    this.#stamp = stamp;
    this.#watchFolders();
    this.#lookLater();
    if (stampOf(files) !== stamp) this.#soon();
  }

  close(): void {
    this.#over = true;
    this.#settle?.();
    this.#look?.();
    for (const watcher of this.#watchers) watcher.close();
  }

  #watchFolders(): void {
    for (const watcher of this.#watchers.splice(0)) watcher.close();
    // The folder of the name and the one of what it leads to: either may be where the change happens.
    const folders = new Set(this.#files.flatMap((file) => [dirname(file), dirname(realPath(file))]));
    for (const folder of folders) {
      try {
        const watcher = watch(folder, { persistent: false }, () => this.#soon());
        watcher.on('error', () => watcher.close()); // the folder is gone: the regular look goes on
        this.#watchers.push(watcher);
      } catch {
        // no such folder now, or no inotify instance left: the regular look has to do
      }
    }
  }

  #soon(): void {
    if (this.#over) return;
    this.#settle?.();
    this.#settle = this.#clock.schedule(settleMs, () => {
      this.#settle = null;
      void this.#whenReachable(() => this.#compare());
    });
  }

  #lookLater(): void {
    this.#look?.();
    this.#look = this.#clock.schedule(lookMs, () => {
      this.#lookLater();
      void this.#whenReachable(() => {
        if (stampOf(this.#files) !== this.#stamp) this.#compare();
      });
    });
  }

  /** A look at a dead mount would be the last that this process does. */
  async #whenReachable(look: () => void): Promise<void> {
    const answers = await Promise.all(this.#files.map((file) => fileSystemAnswers(file)));
    if (!this.#over && answers.every(Boolean)) look();
  }

  #compare(): void {
    const stamp = stampOf(this.#files);
    const content = contentOf(this.#files);
    if (content === null) return; // the next look compares again
    // A replaced folder or another target of a link has other inodes: watch those.
    if (stamp !== this.#stamp) this.#watchFolders();
    this.#stamp = stamp;
    if (content === this.#content) return;
    this.#content = content;
    this.#changed();
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file; // not there now
  }
}

/** Cheap to make: differs whenever a file was written, replaced or removed, or its folder replaced. */
function stampOf(files: readonly string[]): string {
  return files
    .flatMap((file) => [file, dirname(file)])
    .map((path, index) => {
      try {
        const { dev, ino, mtimeNs, size } = statSync(path, { bigint: true });
        return index % 2 === 1 ? String(ino) : `${dev}:${ino}:${mtimeNs}:${size}`;
      } catch (thrown) {
        return (thrown as NodeJS.ErrnoException).code;
      }
    })
    .join(' ');
}

/** Null: a file cannot be read now, which says nothing of its content. */
function contentOf(files: readonly string[]): string | null {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`\0${file}\0`);
    try {
      hash.update(readForeignTextNow(file));
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      if (['EMFILE', 'ENFILE', 'ENOMEM', 'EIO'].includes(code ?? '')) return null;
      hash.update(code ?? message);
    }
  }
  return hash.digest('hex');
}
