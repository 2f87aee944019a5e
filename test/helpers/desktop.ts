// A desktop for `tunnel open` and its kin: a program that opens URLs.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { World } from './world.ts';

/** A desktop whose opener writes down what it gets. */
export function desktopIn(world: World): {
  readonly env: Record<string, string>;
  readonly opened: () => Promise<string>;
} {
  const folder = join(world.folder, 'bin');
  const said = join(world.folder, 'opened');
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'xdg-open'),
    `#!/bin/sh\nprintf '%s|' "$@" > ${said}.part && mv ${said}.part ${said}\n`,
  );
  chmodSync(join(folder, 'xdg-open'), 0o755);
  const env = { PATH: `${folder}:${world.env['PATH'] ?? ''}`, DISPLAY: ':9' };
  return {
    env,
    opened: () => vi.waitUntil(() => readFile(said, 'utf8').catch(() => ''), { timeout: 20_000 }),
  };
}
