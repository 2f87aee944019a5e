// Spent one-time codes: a server takes each only once (RFC 6238 5.2), so each is handed out once, whoever of us asks for it.
import { createHash } from 'node:crypto';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolders } from '../../files/folders.ts';
import type { TotpParameters } from '../../secrets/totp.ts';

export interface SpentCodes {
  /** Takes the code of a step (see TotpCode) for the caller alone. False: somebody has it. */
  take(parameters: TotpParameters, step: number): boolean;
}

/** Of each seed: the newest, and the one before, which a caller that looked at the clock a moment ago may still ask for. */
const kept = 2;

/** Of one process, for all its links: for a state folder that cannot be written, and for tests. */
export function spentInMemory(): SpentCodes {
  const steps = new Map<string, readonly number[]>();
  return {
    take(parameters, step) {
      const mark = markOf(parameters);
      const taken = steps.get(mark) ?? [];
      if (taken.includes(step)) return false;
      steps.set(mark, [...taken, step].slice(-kept));
      return true;
    },
  };
}

/**
 * Of all processes with this state folder, and of the next one: `down` and `up` in half a minute would send a code twice.
 * A code is an empty file that only one can make. `failed` hears, once, why that cannot be done; memory then has to do.
 */
export function openSpentCodes(folder: string, failed: (why: string) => void): SpentCodes {
  const memory = spentInMemory();
  let broken = false;
  return {
    take(parameters, step) {
      if (!memory.take(parameters, step)) return false;
      try {
        return takeFile(folder, markOf(parameters), step);
      } catch (error) {
        if (!broken) failed(error instanceof Error ? error.message : String(error));
        broken = true;
        return true;
      }
    },
  };
}

function takeFile(folder: string, mark: string, step: number): boolean {
  makeFolders(folder);
  try {
    writeFileSync(join(folder, `${mark}-${step}`), '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
  const mine = readdirSync(folder).filter((name) => name.startsWith(`${mark}-`));
  const age = (name: string): number => Math.abs(step - Number(name.slice(mark.length + 1)));
  for (const name of mine) if (!(age(name) < kept)) rmSync(join(folder, name), { force: true });
  return true;
}

/** Tells seeds apart and says nothing of them: 32 bits of a digest. Two that look alike cost a wait. */
function markOf({ key, digits, periodSeconds, algorithm }: TotpParameters): string {
  const kind = `one-time code ${algorithm} ${digits} ${periodSeconds} `;
  return createHash('sha256').update(kind).update(key).digest('hex').slice(0, 8);
}
