// Prints one status document, and what its states mean for the exit code.
import type { StatusDocument } from '../model/status.ts';
import { renderStatus, supervisorNotes } from '../render/status.ts';
import { isProblem, summaryLine } from '../render/summary.ts';
import { widthOf, type Context } from './context.ts';
import { forConfig } from './hints.ts';

export interface Lines {
  /** What their hints must name; by default what this command line named. */
  readonly config?: string | null;
  readonly sum?: boolean;
}

export function statusLines(context: Context, document: StatusDocument, more: Lines = {}): string[] {
  const config = more.config ?? context.options.config ?? null;
  const lines = renderStatus(document, {
    now: context.now(),
    paint: context.paint,
    columns: widthOf(context.stdout),
    every: context.options.verbose,
    sum: more.sum ?? true,
  });
  return config === null
    ? lines
    : lines.map((line) => (line.includes('hint: ') ? forConfig(line, config) : line));
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

/** 0, or with `check` 9 unless every tunnel is up or asleep (SPEC 4), shown or not. */
export function showStatus(
  context: Context,
  document: StatusDocument,
  { check, problems }: { readonly check: boolean; readonly problems: boolean },
): number {
  const shown = problems ? onlyProblems(document) : document;
  if (context.options.json) context.out(JSON.stringify(shown, null, 2));
  else {
    for (const line of statusLines(context, shown)) context.out(line);
    if (problems && shown.tunnels.length === 0) context.talk(`no problem: ${summaryLine(document)}`);
    for (const note of supervisorNotes(document)) context.talk(note);
  }
  return check ? checkCode(document) : 0;
}

export function checkCode(document: StatusDocument): number {
  const serves = document.tunnels.every(({ state }) => state === 'up' || state === 'asleep');
  return serves ? 0 : 9;
}
