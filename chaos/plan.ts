// A long proof: rounds of several lengths, each in a process of its own, some at a time, none done twice.
// What a round came to is a line of chaos/results/plan-SEED.jsonl, so that a proof that was broken off goes on where it was.
import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Verdict } from './verdict.ts';

export interface Round {
  readonly seed: number;
  readonly seconds: number;
}

/** A round that was over, and what it came to; `failure` tells the last words of one that gave no verdict. */
export interface Outcome extends Round {
  readonly verdict: Verdict | null;
  readonly failure: string | null;
}

/**
 * `150x10,40x60` is 150 rounds of 10 s, then 40 of a minute, each with a seed of its own.
 * @throws RangeError for anything else
 */
export function roundsOf(plan: string, firstSeed: number): Round[] {
  const rounds: Round[] = [];
  for (const part of plan.split(',')) {
    const [, times, seconds] = /^([1-9]\d*)x([1-9]\d*)$/.exec(part.trim()) ?? [];
    if (times === undefined || seconds === undefined)
      throw new RangeError(`--plan: ${part} is not ROUNDSxSECONDS, as in 150x10,40x60`);
    for (let round = 0; round < Number(times); round++)
      rounds.push({ seed: firstSeed + rounds.length, seconds: Number(seconds) });
  }
  return rounds;
}

/** What a proof by that first seed has come to so far; of a line that was broken off nothing. */
export function outcomesIn(file: string): Outcome[] {
  try {
    const lines = readFileSync(file, 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Outcome);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Where the outcomes of a proof lie. */
export const planFile = (firstSeed: number): string =>
  join(import.meta.dirname, 'results', `plan-${firstSeed}.jsonl`);

export interface PlanParts {
  readonly rounds: readonly Round[];
  /** How many rounds run at the same time. */
  readonly jobs: number;
  readonly file: string;
  readonly play: (round: Round) => Promise<Outcome>;
  readonly told: (outcome: Outcome, done: number) => void;
}

/** Plays the rounds that were not played before; resolves to the outcomes of all of them, in the order of the plan. */
export async function playPlan({ rounds, jobs, file, play, told }: PlanParts): Promise<Outcome[]> {
  mkdirSync(dirname(file), { recursive: true });
  const key = ({ seed, seconds }: Round): string => `${seed} ${seconds}`;
  const before = outcomesIn(file);
  writeFileSync(file, before.map(lineOf).join('')); // without the line that was broken off
  const outcomes = new Map(before.map((outcome) => [key(outcome), outcome]));
  const left = rounds.filter((round) => !outcomes.has(key(round)));
  let done = rounds.length - left.length;
  const player = async (): Promise<void> => {
    for (let round = left.shift(); round !== undefined; round = left.shift()) {
      const outcome = await play(round);
      appendFileSync(file, lineOf(outcome));
      outcomes.set(key(outcome), outcome);
      told(outcome, ++done);
    }
  };
  await Promise.all(Array.from({ length: jobs }, player));
  return rounds.flatMap((round) => outcomes.get(key(round)) ?? []);
}

const lineOf = (outcome: Outcome): string => `${JSON.stringify(outcome)}\n`;

/** Plays a round in a process of its own: what one leaves behind, or breaks, is nothing to the next. */
export async function playApart({ seed, seconds }: Round): Promise<Outcome> {
  const run = join(import.meta.dirname, 'run.ts');
  const argv = [...process.execArgv, run, '--seed', `${seed}`, '--seconds', `${seconds}`, '--json'];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [document, words] = await Promise.all([text(child.stdout), text(child.stderr)]);
  try {
    const { rounds } = JSON.parse(document) as { rounds: Verdict[] };
    return { seed, seconds, verdict: rounds[0] ?? null, failure: rounds[0] ? null : 'no round was played' };
  } catch {
    return { seed, seconds, verdict: null, failure: words.trim().split('\n').slice(-12).join('\n') };
  }
}
