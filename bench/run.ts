// npm run bench -- [SECTION …] [--short] [--json FILE] [--plot FILE.svg] [--write] [--beside NAME=COMMAND]
// [--congestion NAME]: the promise "faster than ssh -L", both sides in turns within one run, medians with their spread; never in a test.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { format, resolveConfig } from 'prettier';
import { runScript } from '../test/helpers/script.ts';
import { commands } from './commands.ts';
import { runWithCongestion } from './congestion.ts';
import { far, rated } from './far.ts';
import { formOf, sizeVariables, type Form } from './form.ts';
import { busyShare, machine } from './machine.ts';
import { crowds, many } from './many.ts';
import { growth, memory } from './memory.ts';
import { native } from './native.ts';
import { beside, bulk, flows, parts, small, worn } from './near.ts';
import { pgbench } from './pgbench.ts';
import { plotOf } from './plot.ts';
import { recovery } from './recovery.ts';
import { pageOf, summaryOf, tableOf, type Result } from './report.ts';
import type { Row } from './rows.ts';
import { unlock } from './unlock.ts';

interface Section {
  readonly run: (form: Form) => Promise<Row[]>;
  readonly words: string;
}

const sections: Readonly<Record<string, Section>> = {
  bulk: { run: bulk, words: 'one transfer, down and up' },
  flows: { run: flows, words: 'eight transfers at once' },
  worn: { run: worn, words: 'both after many short connections' },
  small: { run: small, words: 'new connections, request and answer' },
  parts: { run: parts, words: 'an answer in two small parts' },
  pgbench: { run: pgbench, words: 'pgbench -C, where PostgreSQL is installed' },
  beside: { run: beside, words: 'requests beside a transfer' },
  far: { run: far, words: 'a download at 100 ms without a limit' },
  rated: { run: rated, words: 'links with a rate and a delay' },
  many: { run: many, words: '50 tunnels, and the memory of 100' },
  crowds: { run: crowds, words: 'the life of 1,000 tunnels' },
  memory: { run: memory, words: 'memory, idle and after a load' },
  growth: { run: growth, words: 'what connection after connection leaves behind' },
  recovery: { run: recovery, words: 'a server that is killed and comes back' },
  commands: { run: commands, words: 'status, --help, Tab, up' },
  native: { run: native, words: 'the package without its native code' },
  unlock: { run: unlock, words: 'a slow key beside a flow' },
};

const usage = `usage: npm run bench -- [SECTION …] [OPTION …]

Measures tunnel beside ssh -L. Without a section: all of them.

${Object.entries(sections)
  .map(([name, { words }]) => `  ${name.padEnd(10)} ${words}`)
  .join('\n')}

  --short                four to five minutes; without it about twenty
  --json FILE            the figures (always in bench/results/latest.json, too)
  --plot FILE.svg        a plot of the goals
  --write                writes docs/performance.md and its plot from this run
  --beside NAME=COMMAND  another forwarder beside them in bulk, flows, worn and small; in COMMAND {local}, {target},
                         {port}, {user} and {identity} are filled in. May be given several times
  --congestion NAME      TCP's congestion control, in a network of this run's own: cubic is what Linux has where nobody
                         chose another one (root only)

ROUNDS, BULK_MB, CONNECTIONS and CROWD (100,400,1000) in the environment change single sizes.`;

interface Asked {
  readonly argv: readonly string[];
  readonly chosen: readonly Section[];
  readonly form: Form;
  readonly files: { readonly json?: string | undefined; readonly plot?: string | undefined };
  readonly writes: boolean;
  /** Null: the machine's. */
  readonly congestion: string | null;
}

function readWords(argv: readonly string[]): Asked {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'string' },
      plot: { type: 'string' },
      write: { type: 'boolean', default: false },
      beside: { type: 'string', multiple: true, default: [] },
      congestion: { type: 'string' },
    },
  });
  const { json, plot, short, write, beside: others, congestion = null } = values;
  const form = { ...formOf(short ? 'short' : 'full', process.env), others: othersOf(others) };
  return { argv, chosen: sectionsOf(positionals), form, files: { json, plot }, writes: write, congestion };
}

async function run({ argv, chosen, form, files, writes, congestion }: Asked): Promise<number> {
  const elsewhere = congestion === null ? null : runWithCongestion(congestion);
  if (elsewhere !== null) return elsewhere;
  const before = await busyShare();
  const rows = await measured(chosen, form);
  const busy = [before, await busyShare()] as const;
  const result: Result = {
    version: 1,
    at: new Date().toISOString(),
    command: commandOf(argv),
    form: form.name,
    machine: machine(),
    busy,
    rows,
  };
  console.log(`\n${summaryOf(rows)}`);
  const folder = join(import.meta.dirname, 'results');
  mkdirSync(folder, { recursive: true });
  for (const file of [join(folder, 'latest.json'), ...(files.json === undefined ? [] : [files.json])])
    writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  if (files.plot !== undefined) writeFileSync(files.plot, plotOf(result));
  if (writes) await writePage(result);
  return 0;
}

/** The line that makes this run again. */
function commandOf(argv: readonly string[]): string {
  const sizes = sizeVariables.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [`${name}=${quoted(value)}`];
  });
  return [...sizes, 'npm run bench', ...(argv.length > 0 ? ['--', ...argv.map(quoted)] : [])].join(' ');
}

const quoted = (word: string): string =>
  /^[\w./:=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

function sectionsOf(names: readonly string[]): readonly Section[] {
  return (names.length > 0 ? names : Object.keys(sections)).map((name) => {
    const section = sections[name];
    if (section === undefined) throw new RangeError(`there is no section ${name}`);
    return section;
  });
}

function othersOf(specs: readonly string[]): Form['others'] {
  return specs.map((spec) => {
    const [, name, command] = /^([^=]+)=(.+)$/.exec(spec) ?? [];
    if (name === undefined || command === undefined)
      throw new RangeError(`--beside ${spec}: it is NAME=COMMAND`);
    return { name, command };
  });
}

async function measured(asked: readonly Section[], form: Form): Promise<Row[]> {
  const root = mkdtempSync(join(tmpdir(), 'tunnel-bench-'));
  process.env['TUNNEL_TEST_ROOT'] = root;
  try {
    const rows: Row[] = [];
    for (const { run } of asked) {
      const found = await run(form);
      for (const row of found) console.log(`${tableOf(row)}\n`);
      rows.push(...found);
    }
    return rows;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

async function writePage(result: Result): Promise<void> {
  const folder = join(import.meta.dirname, '../docs');
  const file = join(folder, 'performance.md');
  const options = { ...(await resolveConfig(file)), filepath: file };
  writeFileSync(join(folder, 'performance.svg'), plotOf(result));
  writeFileSync(file, await format(pageOf(result, 'performance.svg'), options));
  console.log('docs/performance.md and docs/performance.svg are written');
}

await runScript({ usage, read: readWords, run });
