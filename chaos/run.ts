// npm run chaos -- [--seconds N] [--seed S] [--seeds N] [--json]: rounds of faults against a real sshd and the built program.
// With --kills N instead: N times SIGKILL at a random moment of what changes files (kills.ts).
// With --plan 150x10,40x60 [--jobs N] instead: so many rounds of so many seconds, and on where it was broken off (plan.ts).
// Prints its seed, then a table; exit 1 when an invariant broke, with what is needed to see it again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runScript } from '../test/helpers/script.ts';
import { sshdMissing } from '../test/helpers/sshd.ts';
import { runKills } from './kills.ts';
import { planFile, playApart, playPlan, roundsOf, type Outcome, type Round } from './plan.ts';
import { again, complaintsOf, keep, tableOf } from './report.ts';
import { runRound } from './round.ts';
import { judge, type Verdict } from './verdict.ts';

const usage = `usage: npm run chaos -- [--seconds N] [--seed S] [--seeds N] [--json]
       npm run chaos -- --kills N [--seed S]
       npm run chaos -- --plan ROUNDSxSECONDS[,…] [--jobs N] [--seed S]`;

interface Asked {
  readonly seconds: number;
  readonly seeds: readonly number[];
  readonly json: boolean;
  readonly kills: number;
  /** Null without --plan. */
  readonly plan: readonly Round[] | null;
  readonly jobs: number;
}

function whole(text: string, name: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`--${name}: ${text} is no whole number`);
  return value;
}

function readWords(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { type: 'string', default: '10' },
      seed: { type: 'string' },
      seeds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
      kills: { type: 'string', default: '0' },
      plan: { type: 'string' },
      jobs: { type: 'string', default: '1' },
    },
  });
  const first = values.seed === undefined ? Math.floor(Math.random() * 1e9) : whole(values.seed, 'seed');
  const seeds = Array.from({ length: whole(values.seeds, 'seeds') }, (_, index) => first + index);
  const { json } = values;
  const seconds = whole(values.seconds, 'seconds');
  return {
    seconds,
    seeds,
    json,
    kills: whole(values.kills, 'kills'),
    plan: values.plan === undefined ? null : roundsOf(values.plan, first),
    jobs: whole(values.jobs, 'jobs'),
  };
}

async function main({ seconds, seeds, json, kills, plan, jobs }: Asked): Promise<number> {
  const missing = sshdMissing();
  if (missing !== null) throw new Error(`chaos needs an OpenSSH server: ${missing}`);
  if (kills > 0) return killing(seeds[0] ?? 0, kills);
  if (plan !== null) return proving(plan, seeds[0] ?? 0, jobs);
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

async function proving(rounds: readonly Round[], firstSeed: number, jobs: number): Promise<number> {
  const file = planFile(firstSeed);
  console.log(`${rounds.length} rounds from seed ${firstSeed} on, kept in ${file}`);
  const told = (outcome: Outcome, done: number): void => {
    const { seed, seconds, verdict, failure } = outcome;
    const broken = verdict === null ? 1 : verdict.broken.length;
    console.log(`${done}/${rounds.length} seed ${seed}, ${seconds} s: ${broken === 0 ? 'held' : 'BROKEN'}`);
    for (const line of verdict === null ? [`  ${failure}`] : complaintsOf(verdict)) console.log(line);
  };
  const outcomes = await playPlan({ rounds, jobs, file, play: playApart, told });
  const verdicts = outcomes.flatMap(({ verdict }) => verdict ?? []);
  for (const line of tableOf(verdicts)) console.log(line);
  const held = verdicts.filter(({ broken }) => broken.length === 0).length;
  console.log(`${held} of ${rounds.length} rounds held`);
  return held === rounds.length ? 0 : 1;
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

await runScript({
  usage,
  read: readWords,
  async run(asked) {
    const root = mkdtempSync(join(tmpdir(), 'tc-'));
    process.env['TUNNEL_TEST_ROOT'] = root;
    process.env['TUNNEL_WIPE_MEMORY'] = '1'; // a view kept of memory that is used again shows as altered bytes
    try {
      return await main(asked);
    } finally {
      rmSync(root, { recursive: true, force: true, maxRetries: 3 });
    }
  },
});
