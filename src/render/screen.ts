// The screen of a live view: an alternate screen redrawn in place, only the lines that changed.
import { displayWidth } from './width.ts';

const escape = '\u001b[';

export const enterScreen = `${escape}?1049h${escape}?25l${escape}2J${escape}H`;
export const leaveScreen = `${escape}?25h${escape}?1049l`;

/** What turns the screen that shows `before` into one that shows `after`; `rows` and `columns` of the terminal. */
export function redraw(
  before: readonly string[],
  after: readonly string[],
  size: { readonly rows: number; readonly columns: number },
): string {
  const shown = fit(after, size);
  const previous = fit(before, size);
  const changed = shown.flatMap((line, index) =>
    line === previous[index] ? [] : [`${escape}${index + 1};1H${escape}2K${line}`],
  );
  const gone = previous.length > shown.length ? [`${escape}${shown.length + 1};1H${escape}0J`] : [];
  return [...changed, ...gone].join('');
}

/** Lines above a foot that is always seen: what does not fit between is counted. */
export function withFoot(lines: readonly string[], foot: readonly string[], rows: number): string[] {
  const room = rows - foot.length;
  if (lines.length <= room || room < 2) return [...lines, ...foot];
  return [...lines.slice(0, room - 1), `… ${lines.length - room + 1} more lines`, ...foot];
}

/** As many lines as there are rows; a line that is too long is cut, never wrapped. */
function fit(lines: readonly string[], size: { readonly rows: number; readonly columns: number }): string[] {
  const kept =
    lines.length <= size.rows
      ? lines
      : [...lines.slice(0, size.rows - 1), `… ${lines.length - size.rows + 1} more lines`];
  return kept.map((line) => cut(line, size.columns));
}

/** Cuts a line to a width; color codes take no room and are always closed. */
export function cut(line: string, columns: number): string {
  if (displayWidth(line) <= columns) return line;
  let width = 0;
  let kept = '';
  // eslint-disable-next-line no-control-regex -- SGR sequences of our own painting are what this looks for
  for (const [piece] of line.matchAll(/\u001b\[[0-9;]*m|./gu)) {
    const isColor = piece.startsWith('\u001b');
    const next = isColor ? 0 : displayWidth(piece);
    if (width + next > columns - 1) break;
    width += next;
    kept += piece;
  }
  return `${kept}…${line.includes('\u001b') ? `${escape}0m` : ''}`;
}
