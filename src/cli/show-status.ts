// Prints one status document, and what its states mean for the exit code.
import type { StatusDocument } from '../model/status.ts';
import { renderStatus, supervisorNotes } from '../render/status.ts';
import type { Context } from './context.ts';
import { forConfig } from './hints.ts';

/** `config`: what its hints must name; by default what this command line named. */
export function statusLines(
  context: Context,
  document: StatusDocument,
  config: string | null = context.options.config ?? null,
): string[] {
  const lines = renderStatus(document, context.now(), context.paint);
  return config === null
    ? lines
    : lines.map((line) => (line.includes('hint: ') ? forConfig(line, config) : line));
}

/** 0, or with `check` 9 unless every tunnel is up or asleep (SPEC 4). */
export function showStatus(context: Context, document: StatusDocument, check: boolean): number {
  if (context.options.json) context.out(JSON.stringify(document, null, 2));
  else {
    for (const line of statusLines(context, document)) context.out(line);
    for (const note of supervisorNotes(document)) context.talk(note);
  }
  return check ? checkCode(document) : 0;
}

export function checkCode(document: StatusDocument): number {
  const serves = document.tunnels.every(({ state }) => state === 'up' || state === 'asleep');
  return serves ? 0 : 9;
}
