// Ad-hoc tunnels (`up -L …`): kept in the state folder of their supervisor, in the words of a config file. Read beside that file, and
// removed with the last of them.
import { rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { replaceFile } from '../files/atomic.ts';
import { underLock } from '../files/lock.ts';
import { readOwned } from '../files/owned.ts';
import type { PlaceFacts } from '../paths.ts';
import type { NewTunnel } from './edit.ts';
import { textLimitBytes } from './source.ts';

export type AdhocTunnels = Readonly<Record<string, NewTunnel>>;

export const adhocTag = 'adhoc';

/** None where there is no file, or none that we could have written. */
export function readAdhoc(path: string, facts: Pick<PlaceFacts, 'uid' | 'platform'>): AdhocTunnels {
  try {
    const read = existsSync(path) ? readOwned(path, facts, textLimitBytes) : { problem: 'is not there' };
    return 'text' in read ? parse(read.text) : {};
  } catch {
    return {}; // removed meanwhile, or damaged: what runs goes on as an orphan
  }
}

function parse(text: string): AdhocTunnels {
  const { tunnels } = JSON.parse(text) as { tunnels?: unknown };
  return typeof tunnels === 'object' && tunnels !== null ? (tunnels as AdhocTunnels) : {};
}

/** From the tunnels that are there to those that shall be. The folder must be there. Throws the system's error. */
export async function changeAdhoc(
  path: string,
  facts: Pick<PlaceFacts, 'uid' | 'platform'>,
  change: (tunnels: AdhocTunnels) => AdhocTunnels,
): Promise<void> {
  await underLock(path, async () => {
    const before = readAdhoc(path, facts);
    const after = change(before);
    if (after === before) return;
    if (Object.keys(after).length === 0) await rm(path, { force: true });
    else await replaceFile(path, `${JSON.stringify({ version: 1, tunnels: after })}\n`);
  });
}

/** Forgets those of the tunnels that are ad-hoc; answers their names. */
export async function forgetAdhoc(
  path: string,
  facts: Pick<PlaceFacts, 'uid' | 'platform'>,
  names: readonly string[],
): Promise<readonly string[]> {
  const gone = names.filter((name) => Object.hasOwn(readAdhoc(path, facts), name));
  if (gone.length === 0) return [];
  await changeAdhoc(path, facts, (tunnels) =>
    Object.fromEntries(Object.entries(tunnels).filter(([name]) => !gone.includes(name))),
  );
  return gone;
}
