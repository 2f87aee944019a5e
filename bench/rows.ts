// Rows of the table: a measure over all ways in turn, round by round, with the processor time it took.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { quantile } from './measures.ts';
import type { Way } from './ways.ts';

export const rounds = Number(process.env['ROUNDS'] ?? 5);

export interface Cell {
  readonly name: string;
  readonly median: number;
  /** Milliseconds of processor time that the process in the middle took; null where nobody can tell. */
  readonly cpuMs: number | null;
}

export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly goal: string;
  /** The first is ours, or what all are compared to when `base` says so. */
  readonly cells: readonly Cell[];
  /** Which cell the ratios refer to. */
  readonly base: number;
}

/** Processor time of all threads of a process, in milliseconds; null where there is no /proc. */
export function cpuMs(pid: number): number | null {
  try {
    const spent = readdirSync(`/proc/${pid}/task`).map((task) =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    );
    return spent.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6;
  } catch {
    return null;
  }
}

/** Runs a measure over all ways in turn, so that noise hits all alike; the medians count. */
export async function compare(
  row: { readonly what: string; readonly unit: string; readonly goal: string },
  ways: readonly Way[],
  measure: (port: number) => Promise<number>,
): Promise<Row> {
  const seen = ways.map((way) => ({ way, values: [] as number[], cpu: [] as number[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { way, values, cpu } of seen) {
      const before = cpuMs(way.pid);
      values.push(await measure(way.port));
      const after = cpuMs(way.pid);
      if (before !== null && after !== null) cpu.push(after - before);
    }
  }
  const cells = seen.map(({ way, values, cpu }) => ({
    name: way.name,
    median: quantile(values, 0.5),
    cpuMs: cpu.length === 0 ? null : quantile(cpu, 0.5),
  }));
  return shown({ ...row, cells, base: 1 });
}

/** A row of which every cell was measured elsewhere. */
export function plainRow(
  row: { readonly what: string; readonly unit: string; readonly goal: string; readonly base?: number },
  medians: Readonly<Record<string, number>>,
): Row {
  const cells = Object.entries(medians).map(([name, value]) => ({ name, median: value, cpuMs: null }));
  return shown({ ...row, cells, base: row.base ?? 1 });
}

function shown(row: Row): Row {
  console.log(`${row.what} (${row.unit}), goal: ${row.goal}, load ${loadavg()[0]?.toFixed(1)}`);
  const base = row.cells[row.base];
  for (const { name, median, cpuMs: cpu } of row.cells) {
    const ratio = `${(median / (base?.median ?? Number.NaN)).toFixed(2)} x`;
    const processor =
      cpu === null
        ? ''
        : `   cpu ${cpu.toFixed(0).padStart(6)} ms  ${(cpu / (base?.cpuMs ?? 1)).toFixed(2)} x`;
    console.log(`  ${name.padEnd(24)} ${median.toFixed(2).padStart(9)}  ${ratio}${processor}`);
  }
  return row;
}

/** Writes results/latest.json. */
export function save(rows: readonly Row[]): void {
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  const result = { at: new Date().toISOString(), node: process.version, load: loadavg(), rows };
  writeFileSync(join(folder, 'latest.json'), JSON.stringify(result, null, 2));
}
