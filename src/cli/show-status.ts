// Prints one status document, and what its states mean for the exit code.
import { isReady, meantByDefault, type StatusDocument } from '../model/status.ts';
import { isProblem, renderStatus, summaryLine, supervisorNotes } from '../render/status.ts';
import type { Context } from '../client/context.ts';

export interface Lines {
  /** What their hints must name; by default what this command line named. */
  readonly config?: string | null;
  readonly sum?: boolean;
}

export function statusLines(context: Context, document: StatusDocument, more: Lines = {}): string[] {
  const config = more.config ?? context.options.config;
  return renderStatus(document, {
    now: context.now(),
    paint: context.paint,
    columns: context.columns,
    every: context.options.verbose,
    sum: more.sum ?? true,
    ...(config === undefined ? {} : { config }),
  });
}

/** Which tunnels a status is about. */
export interface StatusChoice {
  readonly selectors: readonly string[];
  /** Only those that somebody should look at. */
  readonly problems: boolean;
}

export function onlyProblems(document: StatusDocument): StatusDocument {
  return { ...document, tunnels: document.tunnels.filter(isProblem) };
}

/** `check`: what was selected is asked for, none for all that is meant without; the code is 9 unless that is ready, shown or not. */
export function showStatus(
  context: Context,
  document: StatusDocument,
  { check, problems }: { readonly check: readonly string[] | null; readonly problems: boolean },
): number {
  const shown = problems ? onlyProblems(document) : document;
  if (context.options.json) context.json(shown);
  else {
    const lines = statusLines(context, shown);
    if (lines.length > 0) context.out(lines.join('\n'));
    if (problems && shown.tunnels.length === 0) context.talk(`no problem: ${summaryLine(document)}`);
    for (const note of supervisorNotes(document)) context.talk(note);
  }
  return check === null ? 0 : checkCode(document, check);
}

/** The tunnels of the document are those that the selectors named, all of them without one. */
export function checkCode({ tunnels }: StatusDocument, selectors: readonly string[]): number {
  const meant = selectors.length > 0 ? tunnels : meantByDefault(tunnels);
  return meant.length > 0 && meant.every(isReady) ? 0 : 9;
}
