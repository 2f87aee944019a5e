// Temp folders for tests: 0700, removed when the test process ends.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];

process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A fresh folder of our own. Short, since sockets live below it. */
export function temporaryFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `t-${name}-`));
  folders.push(folder);
  return folder;
}
