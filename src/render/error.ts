// Errors as people read them: `tunnel: WHAT failed, on WHAT: WHY` and, below it, `hint: a command to paste`.
// The only place where a hint becomes text.
import type { ErrorReport, Hint, HintCommand, Subject } from '../errors.ts';
import { cleanText, jsonText, visibleCommand } from '../model/clean.ts';
import { shellWord } from '../model/shell-word.ts';
import type { Paint } from './color.ts';

/**
 * The lines of an error. Whatever it names (a folder somebody gave an odd name, a host) is shown without what a
 * terminal would obey. A hint of several lines gives several `hint:` lines. `config`: as for `hintText`.
 */
export function renderError(
  error: Pick<ErrorReport, 'message' | 'hint'>,
  paint: Paint,
  config?: string,
): string[] {
  return [`${paint.red('tunnel:')} ${cleanText(error.message)}`, ...renderHint(error.hint, paint, config)];
}

export function renderHint(hint: Hint | null, paint: Paint, config?: string): string[] {
  return hintLines(hint, config).map((line) => `${paint.cyan('hint:')} ${line}`);
}

/** Fit to show; none where there is no hint. */
export function hintLines(hint: Hint | null, config?: string): string[] {
  return hint === null ? [] : hintText(hint, config).split('\n').map(visibleCommand);
}

/** `config`: as given to --config, where one was: a command without it would mean another. */
export function hintText(hint: Hint, config?: string): string {
  if (typeof hint === 'string') return hint;
  if ('meant' in hint) return `did you mean ${hint.meant}?`;
  if ('command' in hint) return commandText(hint, config);
  return hint.map((part) => (typeof part === 'string' ? part : commandText(part, config))).join('');
}

function commandText({ command, on, flags, note }: HintCommand, config: string | undefined): string {
  const file = config === undefined ? [] : ['-c', shellWord(config)];
  const words = ['tunnel', ...file, command, ...subjectWords(on).map(shellWord)];
  return `${[...words, ...(flags === undefined ? [] : [flags])].join(' ')}${note === undefined ? '' : `    # ${note}`}`;
}

function subjectWords(on: Subject | undefined): readonly string[] {
  if (on === undefined) return [];
  if ('words' in on) return on.words;
  if ('host' in on) return [on.host];
  return on.tunnel === null ? [] : [on.tunnel];
}

/** A JSON document as programs read it: the hints of its errors are texts (SPEC 4). */
export function documentText(document: unknown, indent = 0): string {
  return jsonText(document, indent, (_, value) =>
    isHinted(value) ? { ...value, hint: hintText(value.hint) } : value,
  );
}

function isHinted(value: unknown): value is { readonly hint: Hint } {
  if (typeof value !== 'object' || value === null || !('hint' in value) || !('message' in value))
    return false;
  return typeof value.message === 'string' && typeof value.hint === 'object' && value.hint !== null;
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
