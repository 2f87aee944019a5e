// Temp folders for tests: 0700, all below the run's own root (global-setup.ts removes it), short, since sockets live below them.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A fresh folder of our own. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(process.env['TUNNEL_TEST_ROOT'] ?? tmpdir(), `${name}-`));
}
