// Measures all ways in turns, so that what else the machine does hits them alike, with the processor time of the four processes.
import { countCpu } from './processes.ts';
import { cellOf, median, type Head, type Processor, type Row } from './rows.ts';
import type { Way } from './ways.ts';

export interface Measured {
  readonly value: number;
  /** How much was done, in the unit that processor time is told for: gigabytes, thousands of connections. */
  readonly work: number;
}

export async function compare(
  head: Head,
  ways: readonly Way[],
  rounds: number,
  measure: (port: number) => Promise<Measured>,
  /** By the name of a way that needs fewer rounds: spread over all of them. */
  fewer: Readonly<Record<string, number>> = {},
): Promise<Row> {
  const seen = ways.map((way) => ({ way, values: [] as number[], spent: [] as Processor[] }));
  for (let round = 0; round < rounds; round += 1) {
    for (const { way, values, spent } of seen) {
      if (round % Math.ceil(rounds / (fewer[way.name] ?? rounds)) !== 0) continue;
      const stop = countProcessor(way);
      const { value, work } = await measure(way.port);
      values.push(value);
      const processor = head.per === undefined ? null : stop(work);
      if (processor !== null) spent.push(processor);
    }
  }
  const cells = seen.map(({ way, values, spent }) => cellOf(way.name, values, medianOf(spent)));
  return { ...head, cells };
}

function countProcessor(way: Way): (work: number) => Processor | null {
  const counts = {
    way: countCpu(way.pids()),
    sshd: countCpu(way.sshdPids),
    target: countCpu([way.targetPid]),
  };
  const client = process.cpuUsage();
  return (work) => {
    const { user, system } = process.cpuUsage(client);
    const [own, sshd, target] = [counts.way(), counts.sshd(), counts.target()];
    if (own === null || sshd === null || target === null) return null;
    return {
      way: own / work,
      sshd: sshd / work,
      target: target / work,
      client: (user + system) / 1000 / work,
    };
  };
}

function medianOf(spent: readonly Processor[]): Processor | null {
  if (spent.length === 0) return null;
  const of = (part: keyof Processor): number => median(spent.map((each) => each[part]));
  return { way: of('way'), sshd: of('sshd'), target: of('target'), client: of('client') };
}
