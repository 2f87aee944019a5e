// npm run soak -- [--minutes N] [--seed S] [--rest N]: one supervisor under mixed load and rare faults for as long as is asked. It is
// measured from outside each two seconds, and every minute all falls quiet and is judged as a chaos round. Exit 1 when anything
// broke or grew. Keeps samples and verdicts only, so that an hour takes no more memory than a minute.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runScript } from '../test/helpers/script.ts';
import { sshdMissing } from '../test/helpers/sshd.ts';
import { complaintsOf, keep, tableOf } from './report.ts';
import { playRound, setStage, type Stage } from './round.ts';
import { measure, type Measure } from './sampler.ts';
import { createSchedule } from './schedule.ts';
import { growths, growthTable, soakPlot } from './soak-report.ts';
import { judge, type Verdict } from './verdict.ts';

const usage = 'usage: npm run soak -- [--minutes N] [--seed S] [--rest N]';

const sampleMs = 2000;
const chapterSeconds = 60;

interface Soak {
  readonly verdicts: readonly Verdict[];
  readonly samples: readonly Measure[];
  /** Seconds of the run at which faults began. */
  readonly faults: readonly number[];
}

async function soak(minutes: number, seed: number, rest: number): Promise<Soak> {
  const first = createSchedule(seed, chapterSeconds, rest);
  await using stage = await setStage(first);
  const verdicts: Verdict[] = [];
  const again = `npm run soak -- --minutes ${minutes} --seed ${seed} --rest ${rest}`;
  const samples: Measure[] = [];
  const faults: number[] = [];
  const begin = performance.now();
  const done = { bytes: 0, connections: 0 };
  const over = new AbortController();
  const sampling = sampleOn(stage, done, (sample) => samples.push(sample), over.signal);
  while (performance.now() - begin < minutes * 60_000) {
    const chapter = seed + verdicts.length;
    const seconds = Math.min(chapterSeconds, minutes * 60);
    // What the tunnels and servers were told is the first schedule's all the time.
    const schedule = { ...first, ...strikesOf(chapter, seconds, rest) };
    const fromMs = stage.clock.now();
    const fromSeconds = (performance.now() - begin) / 1000;
    const evidence = await playRound(stage, schedule, { firstId: done.connections });
    const verdict = judge(evidence);
    verdicts.push(verdict);
    // The stage's clock runs slower than the wall's on a busy machine.
    const scale = ((performance.now() - begin) / 1000 - fromSeconds) / (stage.clock.now() - fromMs);
    faults.push(...evidence.strikes.map(({ beganMs }) => fromSeconds + (beganMs - fromMs) * scale));
    // Sums first, then the crew goes: a sample between the two cannot count it twice, since nothing waits here.
    done.bytes += verdict.figures.bytes;
    done.connections += verdict.figures.connections;
    stage.crew = null;
    for (const line of complaintsOf(verdict, again)) console.log(line);
    if (verdict.broken.length > 0) console.log(`  kept in ${keep(verdict, evidence)}`);
    for (const sshd of Object.values(stage.scene.sshds)) sshd.forgetLog();
  }
  over.abort();
  await sampling;
  return { verdicts, samples, faults };
}

function strikesOf(
  seed: number,
  seconds: number,
  rest: number,
): Pick<Verdict, 'seed' | 'seconds'> & {
  strikes: ReturnType<typeof createSchedule>['strikes'];
} {
  const { strikes } = createSchedule(seed, seconds, rest);
  return { seed, seconds, strikes };
}

async function sampleOn(
  stage: Stage,
  done: { readonly bytes: number; readonly connections: number },
  add: (sample: Measure) => void,
  signal: AbortSignal,
): Promise<void> {
  const begin = performance.now();
  while (!signal.aborted) {
    const connections = stage.crew?.connections ?? [];
    const bytes = connections.reduce(
      (sum, { client, target }) => sum + client.reader.bytes + target.reader.bytes,
      done.bytes,
    );
    const { answerMs, ...held } = await measure(stage.scene);
    const links = new Set(
      stage.watch.last().tunnels.flatMap(({ state, link }) => (state === 'up' ? [link] : [])),
    );
    add({
      atSeconds: (performance.now() - begin) / 1000,
      ...held,
      answerMs,
      links: links.size,
      bytes,
      connections: done.connections + connections.length,
    });
    await stage.clock.sleep(sampleMs, signal);
  }
}

interface Asked {
  readonly minutes: number;
  readonly seed: number;
  readonly rest: number;
}

function readWords(argv: readonly string[]): Asked {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      minutes: { type: 'string', default: '5' },
      seed: { type: 'string', default: '1' },
      rest: { type: 'string', default: '10' },
    },
  });
  const [minutes, seed, rest] = [Number(values.minutes), Number(values.seed), Number(values.rest)];
  if (!(minutes > 0) || !Number.isSafeInteger(seed) || !(rest >= 1))
    throw new RangeError('--minutes is above 0, --seed a whole number, --rest at least 1');
  return { minutes, seed, rest };
}

async function main({ minutes, seed, rest }: Asked): Promise<number> {
  const missing = sshdMissing();
  if (missing !== null) throw new Error(`soak needs an OpenSSH server: ${missing}`);
  console.log(`seed ${seed}, ${minutes} min`);
  const { verdicts, samples, faults } = await soak(minutes, seed, rest);
  const grown = growths(samples);
  for (const line of [...tableOf(verdicts), '', ...growthTable(grown)]) console.log(line);
  const folder = join(import.meta.dirname, 'results', `soak-${seed}`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'soak.svg'), soakPlot(samples, faults));
  writeFileSync(
    join(folder, 'soak.json'),
    JSON.stringify({ seed, minutes, rest, verdicts, samples, faults }),
  );
  console.log(`plot and samples: ${folder}`);
  const isWell =
    verdicts.every(({ broken }) => broken.length === 0) && grown.every((each) => each.growth?.grew !== true);
  return isWell ? 0 : 1;
}

await runScript({
  usage,
  read: readWords,
  async run(asked) {
    const root = mkdtempSync(join(tmpdir(), 'ts-'));
    process.env['TUNNEL_TEST_ROOT'] = root;
    try {
      return await main(asked);
    } finally {
      rmSync(root, { recursive: true, force: true, maxRetries: 3 });
    }
  },
});
