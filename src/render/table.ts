// Tables: columns two spaces apart, no borders, so that they can be read by eye, grep and awk. On a narrow terminal names
// are shortened, then columns are left out, and what stands below a row wraps at its indent.
import type { Paint } from './color.ts';
import { displayWidth, shorten, wrap } from './width.ts';

/** A cell that is painted after its width is known. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

export interface Note extends Cell {
  /** Never broken into lines of ours: a command that a terminal has wrapped can still be copied. */
  readonly whole?: boolean;
}

export interface Row {
  readonly cells: readonly (Cell | string)[];
  /** Lines below the row, set in under the second column. */
  readonly notes?: readonly Note[];
}

/** What a table has room for. */
export interface Frame {
  /** Of the terminal; Infinity where there is none. */
  readonly columns: number;
  /** Columns, by their heads, that are shortened first, and what they need to tell anything. */
  readonly shorten: Readonly<Record<string, number>>;
  /** Columns, by their heads, that are left out together when that is not enough, the first ones first. */
  readonly leaveOut: readonly (readonly string[])[];
}

const gap = '  ';
/** Fewer columns hold no sentence. */
const leastText = 20;
/** Under a wide first column a reason would have no room. */
const narrowIndent = 4;

/** The head (null for none) and the rows as lines, without spaces at the end. The last column wraps in a frame without a head. */
export function renderTable(
  head: readonly string[] | null,
  rows: readonly Row[],
  paint: Paint,
  frame?: Frame,
): string[] {
  const headRow: Row[] = head === null ? [] : [{ cells: head.map((text) => ({ text, paint: paint.bold })) }];
  const whole = [...headRow, ...rows];
  if (frame === undefined || frame.columns === Infinity) return linesOf(whole, columnWidths(whole), Infinity);
  if (head === null) {
    const widths = columnWidths(whole);
    const indent = noteIndent(widths, frame.columns);
    return rows.flatMap((row) => [
      ...wrapLast(row, widths, frame.columns),
      ...noteLines(row, indent, frame.columns),
    ]);
  }
  const kept = columnsThatFit(head, whole, frame);
  const keep = (row: Row): Row => ({ ...row, cells: row.cells.filter((_, column) => kept.has(column)) });
  const widths = [...kept.values()];
  return linesOf(whole.map(keep), widths, frame.columns);
}

function linesOf(rows: readonly Row[], widths: readonly number[], columns: number): string[] {
  const indent = noteIndent(widths, columns);
  return rows.flatMap((row) => [renderRow(row, widths), ...noteLines(row, indent, columns)]);
}

function noteIndent(widths: readonly number[], columns: number): string {
  const wide = (widths[0] ?? 0) + gap.length;
  return ' '.repeat(columns === Infinity || wide * 3 <= columns ? wide : narrowIndent);
}

function noteLines(row: Row, indent: string, columns: number): string[] {
  return (row.notes ?? []).flatMap((note) => {
    const whole = columns === Infinity || note.whole === true;
    const lines = whole ? [note.text] : wrap(note.text, columns - indent.length);
    return lines.map((text) => indent + painted({ ...note, text }));
  });
}

/** The columns that are shown, with their widths, in order. */
function columnsThatFit(head: readonly string[], rows: readonly Row[], frame: Frame): Map<number, number> {
  const natural = columnWidths(rows);
  const shown = new Map(natural.map((width, column) => [column, width]));
  const room = (): number =>
    frame.columns -
    gap.length * (shown.size - 1) -
    [...shown.values()].reduce((sum, width) => sum + width, 0);
  const leaveOut = [...frame.leaveOut];
  for (;;) {
    for (const column of shown.keys()) shown.set(column, natural[column] ?? 0);
    squeeze(shown, head, frame.shorten, -room());
    const titles = room() < 0 ? leaveOut.shift() : undefined;
    if (titles === undefined) return shown;
    for (const title of titles) shown.delete(head.indexOf(title));
  }
}

/** Takes columns from the widest of those that may be shortened, until enough are taken or none has any to give. */
function squeeze(
  shown: Map<number, number>,
  head: readonly string[],
  least: Frame['shorten'],
  missing: number,
): void {
  for (let left = missing; left > 0; left -= 1) {
    const spare = Object.entries(least)
      .map(([title, needed]) => ({ column: head.indexOf(title), needed }))
      .filter(({ column, needed }) => (shown.get(column) ?? 0) > needed)
      .toSorted((a, b) => (shown.get(b.column) ?? 0) - (shown.get(a.column) ?? 0))[0];
    if (spare === undefined) return;
    shown.set(spare.column, (shown.get(spare.column) ?? 0) - 1);
  }
}

function columnWidths(rows: readonly Row[]): number[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.cells.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, displayWidth(textOf(cell)));
    });
  }
  return widths;
}

/** A row whose last cell goes on below itself. */
function wrapLast(row: Row, widths: readonly number[], columns: number): string[] {
  const last = row.cells.length - 1;
  const indent = widths.slice(0, last).reduce((sum, width) => sum + width + gap.length, 0);
  const cell = row.cells[last] ?? '';
  const [first = '', ...others] = wrap(textOf(cell), Math.max(columns - indent, leastText));
  const style = typeof cell === 'string' ? {} : cell;
  return [
    renderRow({ cells: [...row.cells.slice(0, last), { ...style, text: first }] }, widths),
    ...others.map((text) => ' '.repeat(indent) + painted({ ...style, text })),
  ];
}

function renderRow(row: Row, widths: readonly number[]): string {
  const cells = row.cells.map((cell, column): Cell => {
    const style = typeof cell === 'string' ? {} : cell;
    return { ...style, text: shorten(textOf(cell), widths[column] ?? Infinity) };
  });
  const last = cells.findLastIndex(({ text }) => text !== '');
  return cells
    .slice(0, last + 1)
    .map((cell, column) => {
      const padding = column === last ? 0 : (widths[column] ?? 0) - displayWidth(cell.text);
      return painted(cell) + ' '.repeat(Math.max(0, padding));
    })
    .join(gap);
}

const textOf = (cell: Cell | string): string => (typeof cell === 'string' ? cell : cell.text);

const painted = (cell: Cell): string => (cell.text === '' ? '' : (cell.paint ?? String)(cell.text));
