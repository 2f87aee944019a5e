// The files that an `Include` of ssh_config means: a pattern of shells, part by part (ssh_config(5)).
import { existsSync, readdirSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { globMatches } from '../glob.ts';
import { expandAnyHome } from './tokens.ts';

/** Relative names begin at `folder`. Files that are not there are left out. */
export function includedFiles(pattern: string, folder: string, home: string): string[] {
  const expanded = expandAnyHome(pattern, home);
  const absolute = isAbsolute(expanded) ? expanded : join(folder, expanded);
  let found = ['/'];
  for (const part of absolute.split('/').filter(Boolean))
    found = found.flatMap((each) => entries(each, part));
  return found;
}

function entries(folder: string, part: string): string[] {
  if (!/[*?[]/.test(part)) return existsSync(join(folder, part)) ? [join(folder, part)] : [];
  try {
    return readdirSync(folder)
      .filter((name) => globMatches(part, name) && (part.startsWith('.') || !name.startsWith('.')))
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return []; // not a folder, or not ours to list: nothing matches there
  }
}
