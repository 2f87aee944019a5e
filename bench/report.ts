// What a run is told as: the table on a terminal, and the page docs/performance.md. Pure.
import { goalText, judge, type Cell, type Goal, type Judged, type Row } from './rows.ts';

/** A whole run, as `--json` writes it. */
export interface Result {
  readonly version: 1;
  readonly at: string;
  /** What made it. */
  readonly command: string;
  readonly form: 'short' | 'full';
  /** "cpu", "node", "OpenSSH" and so on, in words. */
  readonly machine: Readonly<Record<string, string>>;
  /** The share of the processors' time that others took, 0 to 1, at the beginning and at the end; null: not known. */
  readonly busy: readonly [number, number] | null;
  readonly rows: readonly Row[];
}

/** Three digits that count, and no more than the value has. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return String(Number(value.toFixed(Math.min(digits, 3))));
}

export interface Verdict {
  readonly row: Row;
  readonly goal: Goal;
  readonly text: string;
  readonly judged: Judged;
}

export function verdictsOf(rows: readonly Row[]): readonly Verdict[] {
  return rows.flatMap((row) =>
    row.goals.map((each) => ({ row, goal: each, text: goalText(row, each), judged: judge(row, each) })),
  );
}

/** What a goal's figures are in: of processor time it is milliseconds. */
export const unitOf = ({ row, goal: { figure: of } }: Verdict): string =>
  of === 'processor' || of === 'sshd' ? `ms/${row.per}` : row.unit;

const markOf = ({ isReached }: Judged): string =>
  isReached === null ? 'not measured' : isReached ? '✓ reached' : '✗ missed';

/** "21 of 24 goals reached". */
export function summaryOf(rows: readonly Row[]): string {
  const measured = verdictsOf(rows).filter(({ judged }) => judged.isReached !== null);
  const reached = measured.filter(({ judged }) => judged.isReached);
  return `${reached.length} of ${measured.length} goals reached`;
}

const ratioOf = (row: Row, cell: Cell): string | null => {
  const base = row.cells.find(({ name }) => name === row.base);
  return base === undefined ? null : `${(cell.median / base.median).toFixed(2)} x`;
};

/** One row on a terminal. */
export function tableOf(row: Row): string {
  const unit = row.unit === '' ? '' : ` (${row.unit})`;
  const per =
    row.per === undefined ? '' : `; ms of processor time for each ${row.per}: own, sshd, target, client`;
  const cells = row.cells.map((cell) => {
    const { name, median, lowest, highest, processor } = cell;
    const spread = lowest === highest ? '' : `[${figure(lowest)}-${figure(highest)}]`;
    const spent =
      processor === null
        ? ''
        : [processor.way, processor.sshd, processor.target, processor.client].map(whole).join(' ');
    return `  ${name.padEnd(22)} ${figure(median).padStart(8)} ${spread.padEnd(16)} ${(ratioOf(row, cell) ?? '').padStart(8)}  ${spent}`.trimEnd();
  });
  const goals = verdictsOf([row]).map(
    ({ text, judged }) => `  ${markOf(judged)}: ${text} (${figure(judged.seen)} of ${figure(judged.limit)})`,
  );
  return [`${row.what}${unit}${per}`, ...cells, ...goals].join('\n');
}

const whole = (value: number): string => value.toFixed(value < 10 ? 1 : 0);

/** A share that others take from which on figures are theirs, too. */
const busyFrom = 0.2;

const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** The page: its text is made again by the command that it names. */
export function pageOf(result: Result, plot: string): string {
  const { machine, rows, busy } = result;
  const facts = Object.entries(machine).map(([name, value]) => `| ${cellText(name)} | ${cellText(value)} |`);
  return [
    '# Performance',
    '',
    '<!-- Written by npm run bench with --write: its words are in bench/report.ts. -->',
    '',
    'How fast `tunnel` is beside `ssh -L`, measured side by side in one run: each way in turns, the median of all rounds with the lowest and the',
    'highest beside it. Ratios are of the same run; other machines have other figures, so read the ratios, and run it on yours:',
    '',
    '```sh',
    result.command,
    '```',
    '',
    `**${summaryOf(rows)}** in the ${result.form} form, ${result.at.slice(0, 10)}.${busy === null ? '' : ` Other work took ${percent(busy[0])} of the processors before it and ${percent(busy[1])} after it.`}`,
    ...(Math.max(...(busy ?? [0])) < busyFrom
      ? ['']
      : ['**Other work ran beside it: the figures say little. Run it again on a quiet machine.**', '']),
    '`npm run bench -- --help` tells the sections and options.',
    '',
    `![Each goal and how far it is reached](${plot})`,
    '',
    '## The machine',
    '',
    '| | |',
    '| --- | --- |',
    ...facts,
    '',
    '## Goals',
    '',
    '| what | goal | seen | limit | |',
    '| --- | --- | ---: | ---: | --- |',
    ...verdictsOf(rows).map(goalLine),
    '',
    '## Rows',
    '',
    'Processor time is that of all four processes of a transfer: `tunnel` or `ssh` itself, the session of `sshd`, the target, the client.',
    '',
    ...rows.flatMap(sectionOf),
  ].join('\n');
}

function goalLine(verdict: Verdict): string {
  const { row, text, judged } = verdict;
  const seen = `${figure(judged.seen)} ${unitOf(verdict)}`.trim();
  return `| ${[cellText(row.what), cellText(text), seen, figure(judged.limit), markOf(judged)].join(' | ')} |`;
}

const cellText = (text: string): string => text.replaceAll('|', '\\|');

function sectionOf(row: Row): readonly string[] {
  const { unit, per } = row;
  const spends = per !== undefined && row.cells.some(({ processor }) => processor !== null);
  const heads = [
    '',
    `median${unit === '' ? '' : `, ${unit}`}`,
    'lowest - highest',
    ...(row.base === undefined ? [] : ['ratio']),
  ];
  const processorHeads = spends ? [`own, ms for each ${per}`, 'sshd', 'target', 'client'] : [];
  const lines = row.cells.map((cell) => {
    const ratio = row.base === undefined ? [] : [ratioOf(row, cell) ?? ''];
    const spent = spends ? processorCells(cell) : [];
    const spread = `${figure(cell.lowest)} - ${figure(cell.highest)}`;
    return `| ${[cellText(cell.name), figure(cell.median), spread, ...ratio, ...spent].join(' | ')} |`;
  });
  const columns = [...heads, ...processorHeads];
  return [
    `### ${row.what}`,
    '',
    row.meaning,
    row.goals.length === 0 ? 'No goal: it is told.' : '',
    '',
    `| ${columns.join(' | ')} |`,
    `| --- | ${columns
      .slice(1)
      .map(() => '---:')
      .join(' | ')} |`,
    ...lines,
    '',
  ];
}

function processorCells({ processor }: Cell): readonly string[] {
  if (processor === null) return ['-', '-', '-', '-'];
  return [processor.way, processor.sshd, processor.target, processor.client].map(whole);
}
