// Rows of distance: a line of 100 ms without a limit, and links with a rate and a delay, directly and through a jump host.
import { startSshd } from '../test/helpers/sshd.ts';
import { compare, type Measured } from './compare.ts';
import type { Form } from './form.ts';
import { down, downRate } from './measures.ts';
import { timesOf } from './near.ts';
import { cellOf, goal, type Cell, type Head, type Row } from './rows.ts';
import { startLink, startService, viaSsh, viaTunnel } from './ways.ts';

interface Path {
  readonly roundTripMs: number;
  readonly bytesPerSecond?: number;
  /** The distance lies before the jump host. */
  readonly hasJump: boolean;
}

async function over(
  { roundTripMs, bytesPerSecond, hasJump }: Path,
  head: Head,
  { rounds, ofSsh = rounds }: { readonly rounds: number; readonly ofSsh?: number },
  measure: (port: number) => Promise<Measured>,
): Promise<Row> {
  await using sshd = await startSshd({ config: ['LogLevel ERROR'] });
  await using gate = await startSshd({ config: ['LogLevel ERROR'] });
  await using target = await startService();
  await using link = await startLink((hasJump ? gate : sshd).port, roundTripMs / 2, bytesPerSecond);
  const server = { sshd, port: hasJump ? sshd.port : link.port };
  const route = hasJump ? { jump: { sshd: gate, port: link.port } } : {};
  await using tunnel = await viaTunnel(server, target, route);
  await using ssh = await viaSsh('ssh -L', server, target, route);
  return await compare(head, [tunnel, ssh], rounds, measure, { [ssh.name]: ofSsh });
}

export async function far(form: Form): Promise<Row[]> {
  const rows: Row[] = [];
  for (const hasJump of [false, true]) {
    const head: Head = {
      what: `download at 100 ms, no limit${hasJump ? ', jump host' : ''}`,
      unit: 'MB/s',
      per: 'GB',
      base: 'ssh -L',
      meaning: `${form.farBytes / 2 ** 20} MiB over a line that is only late, from the first byte to the last: most of it is the time until the windows are open.`,
      goals: [],
    };
    const measure = async (port: number): Promise<Measured> =>
      timesOf(await down(port, form.farBytes), form.farBytes / 1e9);
    rows.push(await over({ roundTripMs: 100, hasJump }, head, form, measure));
  }
  return rows;
}

const links = [
  { megabytes: 50, roundTripMs: 100, hasJump: false, part: 0.95 },
  { megabytes: 110, roundTripMs: 50, hasJump: false, part: 0.95 },
  { megabytes: 50, roundTripMs: 100, hasJump: true, part: 0.9 },
];
const skipSeconds = 2;

function runsOf({ linkRuns, rounds }: Form): string {
  if (linkRuns === 1) return 'one run';
  return `${linkRuns} runs, ${Math.min(linkRuns, rounds)} of ssh -L`;
}

export async function rated(form: Form): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { megabytes, roundTripMs, hasJump, part } of links) {
    const head: Head = {
      what: `a link of ${megabytes} MB/s and ${roundTripMs} ms${hasJump ? ', jump host' : ''}`,
      unit: 'MB/s',
      per: 'GB',
      base: 'ssh -L',
      meaning: `A download over a link with that rate and round trip, after its first ${skipSeconds} s; ${runsOf(form)}. The window of ssh -L is small, so its sshd has the least to copy; the link itself is one run without SSH.`,
      goals: [
        goal('>=', { plus: Number((megabytes * part).toFixed(1)) }),
        ...(hasJump ? [] : [goal('>=', { plus: megabytes * 0.8 }, { figure: 'lowest' })]),
        goal('<=', { times: 1.5, of: 'ssh -L' }, { figure: 'sshd' }),
      ],
    };
    const measure = async (port: number): Promise<Measured> => {
      const { rate, bytes } = await downRate(port, skipSeconds, form.linkSeconds);
      await new Promise((resolve) => setTimeout(resolve, 500)); // what was under way is gone before the next one
      return timesOf(rate, bytes / 1e9);
    };
    const path = { roundTripMs, bytesPerSecond: megabytes * 1e6, hasJump };
    const row = await over(path, head, { rounds: form.linkRuns, ofSsh: form.rounds }, measure);
    rows.push({ ...row, cells: [...row.cells, await linkItself(path, form)] });
  }
  return rows;
}

/** What the link carries without SSH, once: it is a process too, and a busy machine may not let it keep its rate. */
async function linkItself({ roundTripMs, bytesPerSecond }: Path, form: Form): Promise<Cell> {
  await using target = await startService();
  await using link = await startLink(target.port, roundTripMs / 2, bytesPerSecond);
  const { rate } = await downRate(link.port, skipSeconds, form.linkSeconds);
  return cellOf('the link itself', [rate]);
}
