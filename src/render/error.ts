// Errors as people read them: `tunnel: WHAT failed, on WHAT: WHY` and, below it, `hint: a command to paste`.
import type { ErrorReport } from '../errors.ts';
import { cleanText, visibleCommand } from '../model/clean.ts';
import type { Paint } from './color.ts';

/**
 * The lines of an error. Whatever it names (a folder somebody gave an odd name, a host) is shown without what a
 * terminal would obey. A hint of several lines gives several `hint:` lines.
 */
export function renderError(error: Pick<ErrorReport, 'message' | 'hint'>, paint: Paint): string[] {
  return [`${paint.red('tunnel:')} ${cleanText(error.message)}`, ...renderHint(error.hint, paint)];
}

export function renderHint(hint: string | null, paint: Paint): string[] {
  if (hint === null) return [];
  return hint.split('\n').map((line) => `${paint.cyan('hint:')} ${visibleCommand(line)}`);
}

/** What failed the same way is said once: errors with the names of all tunnels they hit, in the order they first came. */
export function groupFailures<Failure extends Pick<ErrorReport, 'code' | 'message'>>(
  failures: readonly { readonly tunnel: string; readonly error: Failure }[],
): { readonly tunnels: readonly string[]; readonly error: Failure }[] {
  const groups = new Map<string, { tunnels: string[]; error: Failure }>();
  for (const { tunnel, error } of failures) {
    const key = `${error.code} ${error.message}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { tunnels: [tunnel], error });
    else group.tunnels.push(tunnel);
  }
  return [...groups.values()];
}

/** `db`, `db and cache`, `db, cache and 3 more`. */
export function listNames(names: readonly string[], most = 3): string {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= most) return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  return `${names.slice(0, most - 1).join(', ')} and ${names.length - most + 1} more`;
}
