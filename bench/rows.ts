// A row of the benchmark: what was measured, the figures of each way, and its goals, which are judged from the figures of the same run. Pure.

/** Milliseconds of processor time of the four processes of a transfer, for each unit of work. */
export interface Processor {
  /** The tunnel's supervisor, or ssh (with the one it runs for its jump host). */
  readonly way: number;
  /** The session processes of sshd, those of a jump host among them. */
  readonly sshd: number;
  readonly target: number;
  readonly client: number;
}

export interface Cell {
  readonly name: string;
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly processor: Processor | null;
}

export type Figure = 'median' | 'lowest' | 'highest' | 'processor' | 'sshd';

/** A figure of a cell against `times` that of another cell, or against a number alone, `plus`; or both. */
export interface Goal {
  readonly cell: string;
  readonly figure: Figure;
  readonly relation: '>=' | '<=';
  readonly times?: number;
  readonly of?: string;
  readonly plus?: number;
}

/** What a section says of a row before it measures. */
export interface Head {
  readonly what: string;
  readonly unit: string;
  /** What the row means, in a sentence for people. */
  readonly meaning: string;
  /** None: the figures are only told. */
  readonly goals: readonly Goal[];
  /** What processor time is told for; without it none is. */
  readonly per?: 'GB' | '1,000 connections' | '1,000 requests';
  /** The way that the ratios refer to. */
  readonly base?: string;
}

export interface Row extends Head {
  readonly cells: readonly Cell[];
}

export function goal(
  relation: Goal['relation'],
  limit: Pick<Goal, 'times' | 'of' | 'plus'>,
  { cell = 'tunnel', figure = 'median' }: Partial<Pick<Goal, 'cell' | 'figure'>> = {},
): Goal {
  return { cell, figure, relation, ...limit };
}

function figureOf(row: Row, name: string, figure: Figure): number {
  const cell = row.cells.find((each) => each.name === name);
  if (cell === undefined) return Number.NaN;
  switch (figure) {
    case 'median':
    case 'lowest':
    case 'highest':
      return cell[figure];
    case 'processor':
      return cell.processor?.way ?? Number.NaN;
    case 'sshd':
      return cell.processor?.sshd ?? Number.NaN;
  }
}

export interface Judged {
  readonly seen: number;
  readonly limit: number;
  /** Null: a figure is missing on this machine, such as processor time without /proc. */
  readonly isReached: boolean | null;
  /** 1 is the goal itself, 2 twice as good. */
  readonly score: number;
}

export function judge(row: Row, { cell, figure, relation, times = 1, of, plus = 0 }: Goal): Judged {
  const seen = figureOf(row, cell, figure);
  const limit = (of === undefined ? 0 : times * figureOf(row, of, figure)) + plus;
  if (Number.isNaN(seen) || Number.isNaN(limit)) return { seen, limit, isReached: null, score: Number.NaN };
  const isReached = relation === '>=' ? seen >= limit : seen <= limit;
  const quotient = relation === '>=' ? seen / limit : limit / seen;
  return { seen, limit, isReached, score: Number.isFinite(quotient) ? quotient : isReached ? 1 : 0 };
}

/** ">= 1.2 x ssh -L", "lowest >= 40 MB/s", "sshd's processor time <= 1.5 x ssh -L". */
export function goalText(row: Head, { cell, figure, relation, times = 1, of, plus }: Goal): string {
  const names: Readonly<Record<Figure, string>> = {
    median: '',
    lowest: 'lowest ',
    highest: 'highest ',
    processor: 'processor time ',
    sshd: "sshd's processor time ",
  };
  const theirs = of === undefined ? [] : [times === 1 && plus !== undefined ? of : `${times} x ${of}`];
  const more = plus === undefined || (plus === 0 && of !== undefined) ? [] : [`${plus} ${row.unit}`.trim()];
  return `${cell === 'tunnel' ? '' : `${cell}: `}${names[figure]}${relation} ${[...theirs, ...more].join(' + ')}`;
}

/** The value below which `part` of all values are: 0.5 is the median. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** Between the two in the middle where the number of values is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((middle[0] ?? Number.NaN) + (middle[1] ?? Number.NaN)) / 2;
}

/** A cell of the values of some rounds. */
export function cellOf(name: string, values: readonly number[], processor: Processor | null = null): Cell {
  return {
    name,
    median: median(values),
    lowest: Math.min(...values),
    highest: Math.max(...values),
    processor,
  };
}

/** A row of which the values were measured elsewhere, way by way. */
export function rowOf(head: Head, values: Readonly<Record<string, readonly number[]>>): Row {
  return { ...head, cells: Object.entries(values).map(([name, each]) => cellOf(name, each)) };
}
