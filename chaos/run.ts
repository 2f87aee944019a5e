// npm run chaos -- [--seconds N] [--seed S] [--seeds N] [--json]: rounds of faults against a real sshd and the built program.
// With --kills N instead: N times SIGKILL at a random moment of what changes files (kills.ts).
// Prints its seed, then a table; exit 1 when an invariant broke, with what is needed to see it again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sshdMissing } from '../test/helpers/sshd.ts';
import { runKills } from './kills.ts';
import { again, complaintsOf, keep, tableOf } from './report.ts';
import { runRound } from './round.ts';
import { judge, type Verdict } from './verdict.ts';

interface Asked {
  readonly seconds: number;
  readonly seeds: readonly number[];
  readonly json: boolean;
  readonly kills: number;
}

function whole(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`--${name}: ${text} is no whole number`);
  return value;
}

function asked(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string' },
      seeds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      kills: { type: 'string', default: '0' },
    },
  });
  const first = values.seed === undefined ? Math.floor(Math.random() * 1e9) : whole(values.seed, 'seed');
  const seeds = Array.from({ length: whole(values.seeds, 'seeds') }, (_, index) => first + index);
  const { json } = values;
  return { seconds: whole(values.seconds, 'seconds'), seeds, json, kills: whole(values.kills, 'kills') };
}

async function main(argv: readonly string[]): Promise<number> {
  const { seconds, seeds, json, kills } = asked(argv);
  const missing = sshdMissing();
  if (missing !== null) throw new Error(`chaos needs an OpenSSH server: ${missing}`);
  if (kills > 0) return killing(seeds[0] ?? 0, kills);
  const talk = (line: string): void => (json ? console.error : console.log)(line);
  const verdicts: Verdict[] = [];
  for (const seed of seeds) {
    talk(`seed ${seed}, ${seconds} s`);
    const evidence = await runRound({ seed, seconds });
    const verdict = judge(evidence);
    verdicts.push(verdict);
    for (const line of complaintsOf(verdict)) talk(line);
    if (verdict.broken.length > 0) talk(`  kept in ${keep(verdict, evidence)}`);
  }
  const broken = verdicts.filter((verdict) => verdict.broken.length > 0);
  if (json) console.log(JSON.stringify({ seconds, ok: broken.length === 0, rounds: verdicts }, null, 2));
  else for (const line of tableOf(verdicts)) console.log(line);
  for (const verdict of broken) talk(`broken: ${again(verdict)}`);
  return broken.length === 0 ? 0 : 1;
}

async function killing(seed: number, kills: number): Promise<number> {
  console.log(`seed ${seed}, ${kills} kills`);
  const { struck, broken } = await runKills({ seed, kills });
  for (const [deed, count] of Object.entries(struck))
    console.log(`${deed.padEnd(30)} ${count.kills} kills, ${count.midway} before it was over`);
  for (const line of broken) console.log(`broken: ${line}`);
  console.log(
    `${broken.length} broken${broken.length === 0 ? '' : `: again by --seed ${seed} --kills ${kills}`}`,
  );
  return broken.length === 0 ? 0 : 1;
}

const root = mkdtempSync(join(tmpdir(), 'tc-'));
process.env['TUNNEL_TEST_ROOT'] = root;
try {
  process.exitCode = await main(process.argv.slice(2));
} finally {
  rmSync(root, { recursive: true, force: true, maxRetries: 3 });
}
