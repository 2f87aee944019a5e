// Words of somebody else on a terminal: every row of them says whose they are, so that none can look like one of ours. Pure.
import { displayWidth } from './width.ts';

/** So that a long name leaves room for words. */
const fewestColumns = 20;
const mostRows = 40;

/**
 * `text` (clean) behind `(who) ` on every row: a line that a terminal of so many columns would wrap is wrapped here, or
 * blanks in it could move its end to the beginning of a row. What is left out after 40 rows is said.
 */
export function attributed(who: string, text: string, columns = Number.POSITIVE_INFINITY): string[] {
  const prefix = `(${who}) `;
  const room = Math.max(fewestColumns, columns - displayWidth(prefix) - 1);
  const rows = text.split('\n').flatMap((line) => aroundAddresses(line, room));
  const shown = rows.length <= mostRows ? rows : rows.slice(0, mostRows - 1);
  const more = rows.length - shown.length;
  return [...shown, ...(more === 0 ? [] : [`… (${more} more lines)`])].map((row) => prefix + row);
}

/** A web address that is longer than a row stays in one piece, by itself: in two nobody could copy it. It has no blanks. */
function aroundAddresses(line: string, room: number): string[] {
  const parts = line.split(/(?<=^|\s)(https?:\/\/[\w.~:/?#[\]@!$&'()*+,;=%-]{1,2000})(?=\s|$)/);
  if (!parts.some((part, at) => at % 2 === 1 && part.length > room)) return wrapped(line, room);
  return parts
    .filter((part) => part.trim() !== '')
    .flatMap((part) => (/^https?:\S+$/.test(part) ? [part] : wrapped(part.trim(), room)));
}

/** At blanks where there are some, else anywhere. */
function wrapped(line: string, room: number): string[] {
  const rows: string[] = [];
  let row = '';
  let width = 0;
  for (const character of line) {
    width += displayWidth(character);
    if (width > room) {
      const blank = character === ' ' ? row.length : row.lastIndexOf(' ');
      const end = blank > 0 ? blank : row.length;
      rows.push(row.slice(0, end).trimEnd());
      row = row.slice(end).trimStart();
      width = displayWidth(row + character);
    }
    row += character;
  }
  rows.push(row.trimEnd());
  return rows;
}
