// Tables: columns two spaces apart, no borders, so that they can be read by eye, grep and awk.
import type { Paint } from './color.ts';
import { displayWidth } from './width.ts';

/** A cell that is painted after its width is known. */
export interface Cell {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

export interface Row {
  readonly cells: readonly (Cell | string)[];
  /** Lines below the row, set in under the second column. */
  readonly notes?: readonly Cell[];
}

const gap = '  ';

/** The head (null for none) and the rows as lines, without spaces at the end. */
export function renderTable(head: readonly string[] | null, rows: readonly Row[], paint: Paint): string[] {
  const headRow: Row[] = head === null ? [] : [{ cells: head.map((text) => ({ text, paint: paint.bold })) }];
  const all = [...headRow, ...rows];
  const widths = columnWidths(all);
  const indent = ' '.repeat((widths[0] ?? 0) + gap.length);
  return all.flatMap((row) => [
    renderRow(row, widths),
    ...(row.notes ?? []).map((note) => indent + painted(note)),
  ]);
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

function renderRow(row: Row, widths: readonly number[]): string {
  const last = row.cells.findLastIndex((cell) => textOf(cell) !== '');
  return row.cells
    .slice(0, last + 1)
    .map((cell, column) => {
      const padding = column === last ? 0 : (widths[column] ?? 0) - displayWidth(textOf(cell));
      return painted(cell) + ' '.repeat(Math.max(0, padding));
    })
    .join(gap);
}

const textOf = (cell: Cell | string): string => (typeof cell === 'string' ? cell : cell.text);

const painted = (cell: Cell | string): string =>
  typeof cell === 'string' || cell.text === '' ? textOf(cell) : (cell.paint ?? String)(cell.text);
