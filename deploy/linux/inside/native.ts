// Machine code out of the executable: the system loads it from files alone, so that it is one for the moment in which it is loaded.
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCacheFile, writeCacheFile } from '../../../src/files/cache-file.ts';
import { processFacts } from '../../../src/files/process-facts.ts';
import { placesOf } from '../../../src/paths.ts';
import type { LoadNative } from './archive.ts';

/** Throws what the last place threw: it may not be written to, or is mounted noexec, or a library that the code needs is not there. */
export const loadNative: LoadNative = (bytes, name, dlopen) => {
  try {
    inCacheFolder(bytes, name, dlopen);
  } catch {
    inTemporaryFolder(bytes, name, dlopen);
  }
};

type Use = (file: string) => void;

function inCacheFolder(bytes: Buffer, name: string, use: Use): void {
  const facts = processFacts();
  const file = join(placesOf(facts).cacheDir, `${process.pid}-${name}`);
  writeCacheFile(file, [bytes], facts);
  // It tells of nothing that kept it from writing; what is read back is ours, in a folder that is ours alone.
  if (readCacheFile(file, facts, bytes.length)?.equals(bytes) !== true)
    throw new Error(`${file} is not ours`);
  try {
    use(file);
  } finally {
    rmSync(file, { force: true });
  }
}

function inTemporaryFolder(bytes: Buffer, name: string, use: Use): void {
  const around = tmpdir();
  const { mode, uid } = statSync(around);
  const isOthers = uid !== 0 && uid !== process.getuid?.();
  if (isOthers || ((mode & 0o022) !== 0 && (mode & 0o1000) === 0))
    throw new Error(`somebody else could have changed what is in ${around}`);
  const folder = mkdtempSync(join(around, 'tunnel-'));
  try {
    const file = join(folder, name);
    writeFileSync(file, bytes, { flag: 'wx', mode: 0o600 });
    use(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
