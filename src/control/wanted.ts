// The tunnels that should be up, and the ports that `auto` listeners had: on disk, so that a crash forgets nothing.
import { readFileSync, renameSync } from 'node:fs';
import { replaceFile } from '../files/atomic.ts';
import type { SupervisorPlaces } from '../paths.ts';
import { takeLock } from '../files/lock.ts';

export interface Wanted {
  readonly names: readonly string[];
  /** By "tunnel/forward". */
  readonly ports: Readonly<Record<string, number>>;
}

const nothing: Wanted = { names: [], ports: {} };

/**
 * The tunnels that were wanted when the last supervisor ended. A file that cannot be understood is put aside as `….broken` and
 * counts as empty, told through `complain`: it must not keep a supervisor from starting.
 */
export function readWanted(path: string, complain: (why: string) => void): Wanted {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT')
      complain(`${path} cannot be read: ${String(thrown)}`);
    return nothing;
  }
  const wanted = parseWanted(text);
  if (wanted !== null) return wanted;
  complain(`${path} is damaged; it was put aside as ${path}.broken`);
  try {
    renameSync(path, `${path}.broken`);
  } catch {
    // a read-only folder: it is then looked past at each start
  }
  return nothing;
}

function parseWanted(text: string): Wanted | null {
  try {
    const { names, ports } = JSON.parse(text) as Partial<Wanted>;
    if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) return null;
    const entries = Object.entries(ports ?? {}).filter(([, port]) => Number.isInteger(port));
    return { names, ports: Object.fromEntries(entries) };
  } catch {
    return null; // not JSON, or not an object
  }
}

/**
 * What no supervisor is there to take down is wanted no more, so that the next one does not bring it back. `isMeant`
 * chooses. Answers the names; null where a supervisor has come meanwhile.
 */
export async function forgetWanted(
  at: Pick<SupervisorPlaces, 'lock' | 'wanted'>,
  platform: NodeJS.Platform,
  isMeant: (name: string) => boolean,
): Promise<readonly string[] | null> {
  const meant = (names: readonly string[]): readonly string[] => names.filter((name) => isMeant(name));
  if (meant(readWanted(at.wanted, () => undefined).names).length === 0) return [];
  const claim = takeLock(at.lock, platform);
  if (claim.kind === 'held') return null;
  try {
    const wanted = readWanted(at.wanted, () => undefined);
    const names = wanted.names.filter((name) => !isMeant(name));
    await writeWanted(at.wanted, { ...wanted, names });
    return meant(wanted.names);
  } finally {
    claim.release();
  }
}

function writeWanted(path: string, wanted: Wanted): Promise<void> {
  return replaceFile(path, `${JSON.stringify({ version: 1, ...wanted })}\n`);
}

export interface WantedFile {
  /** Remembers the change; written soon. */
  remember(change: Partial<Wanted>): void;
  /** Resolves when everything remembered so far is on disk, or could not be written. */
  written(): Promise<void>;
}

/** Keeps the file equal to what it is told. One write at a time, and only the newest. */
export function openWanted(path: string, initial: Wanted, complain: (failure: unknown) => void): WantedFile {
  let current = initial;
  let stored = initial;
  let writing: Promise<void> | null = null;
  const write = async (): Promise<void> => {
    while (stored !== current) {
      const next = current;
      try {
        await writeWanted(path, next);
      } catch (thrown) {
        complain(thrown);
      }
      stored = next;
    }
    writing = null;
  };
  return {
    remember(change) {
      const next = { ...current, ...change };
      if (JSON.stringify(next) === JSON.stringify(current)) return;
      current = next;
      writing ??= write();
    },
    written: () => writing ?? Promise.resolve(),
  };
}
