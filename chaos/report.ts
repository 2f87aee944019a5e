// What a run prints: a table over all its rounds, and for each broken invariant what is needed to see it again.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Evidence } from './round.ts';
import { describe, faultKinds } from './schedule.ts';
import type { Figures, Verdict } from './verdict.ts';

type Count = Exclude<keyof Figures, 'faults'>;

const rows: readonly (readonly [Count, string, 'sum' | 'max'])[] = [
  ['connections', 'connections', 'sum'],
  ['whole', 'of them whole at both ends', 'sum'],
  ['blocks', 'blocks checked', 'sum'],
  ['bytes', 'bytes checked', 'sum'],
  ['refused', 'refused', 'sum'],
  ['altered', 'altered, missing or repeated', 'sum'],
  ['falseEnds', 'false clean ends', 'sum'],
  ['opensshEnds', "OpenSSH's own false ends", 'sum'],
  ['unixCloses', 'closes of unix sockets', 'sum'],
  ['cut', 'cut or dropped without need', 'sum'],
  ['oldCuts', 'reset with an old session', 'sum'],
  ['rotations', 'sessions replaced', 'sum'],
  ['suspicions', 'sessions that owed an answer', 'sum'],
  ['hung', 'hung', 'sum'],
  ['statusLies', 'status not true', 'sum'],
  ['longestRecoveryMs', 'longest recovery, ms', 'max'],
  ['descriptors', 'descriptors more, at most', 'max'],
  ['memoryMib', 'MiB more, at most', 'max'],
];

/** The table, a row a line. */
export function tableOf(verdicts: readonly Verdict[]): string[] {
  const lines = faultKinds.map((kind) => {
    const count = verdicts.reduce((sum, { figures }) => sum + figures.faults[kind], 0);
    return [`faults: ${kind}`, count] as const;
  });
  const figures = rows.map(([key, title, how]) => {
    const values = verdicts.map((verdict) => verdict.figures[key]);
    const value = how === 'max' ? Math.max(...values) : values.reduce((sum, each) => sum + each, 0);
    return [title, value] as const;
  });
  return [...lines, ...figures].map(([title, value]) => `${title.padEnd(30)} ${String(value).padStart(14)}`);
}

/** The command that does a round again. */
export const again = ({ seed, seconds }: Verdict): string =>
  `npm run chaos -- --seconds ${seconds} --seed ${seed}`;

/** What broke, a line each, and how to see it again. */
export function complaintsOf(verdict: Verdict, command = again(verdict)): string[] {
  if (verdict.broken.length === 0) return [];
  const lines = verdict.broken.map(
    ({ invariant, atMs, text }) => `  ${(atMs / 1000).toFixed(2).padStart(8)} s  ${invariant}: ${text}`,
  );
  return [`seed ${verdict.seed} broke ${verdict.broken.length}:`, ...lines, `  again: ${command}`];
}

/** Writes all that was seen of a round that broke; returns the folder. */
export function keep(verdict: Verdict, evidence: Evidence): string {
  const folder = join(import.meta.dirname, 'results', `seed-${verdict.seed}`);
  mkdirSync(folder, { recursive: true });
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write('verdict.json', JSON.stringify(verdict, null, 2));
  write('timeline.txt', timelineOf(evidence).join('\n'));
  write('connections.jsonl', evidence.connections.map((each) => JSON.stringify(each)).join('\n'));
  write('supervisor.log', evidence.supervisorLog);
  for (const [name, log] of Object.entries(evidence.sshdLogs)) write(`sshd-${name}.log`, log);
  return folder;
}

/** Faults and states in the order in which they happened, on the run's clock. */
function timelineOf({ strikes, histories, schedule, calmMs }: Evidence): string[] {
  const events = [
    ...strikes.flatMap(({ strike, beganMs, cutMs, endedMs }) => [
      { atMs: beganMs, text: `begins: ${describe(strike)}` },
      ...(cutMs === null ? [] : [{ atMs: cutMs, text: `cuts: ${describe(strike)}` }]),
      { atMs: endedMs ?? Infinity, text: `is over: ${describe(strike)}` },
    ]),
    ...Object.entries(histories).flatMap(([tunnel, history]) =>
      history.map(({ atMs, state, since }) => ({ atMs, text: `${tunnel} is ${state} since ${since}` })),
    ),
    { atMs: calmMs, text: 'all is calm' },
  ].sort((one, other) => one.atMs - other.atMs);
  const lines = events.map(({ atMs, text }) => `${(atMs / 1000).toFixed(3).padStart(9)} ${text}`);
  return [`rekey limits: ${JSON.stringify(schedule.rekey)}`, ...lines];
}
