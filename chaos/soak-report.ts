// What a soak prints and draws: what grew, by which bound, and the plots. Pure.
import { growthOf, type Allowance, type Growth, type Point } from './growth.ts';
import { plotOf } from './plot.ts';
import type { Measure } from './sampler.ts';

interface Row {
  readonly title: string;
  readonly growth: Growth | null;
}

type Value = (sample: Measure) => number | null;

/**
 * Memory: an hour at 1 MiB a minute, half of it between the two medians, is 30 MiB, beyond what a heap of this size varies by
 * (8 MiB and a tenth). Descriptors follow the load; one lost a minute is 30. An answer waits for the machine too: thrice, and 20 ms.
 */
const judged: readonly (readonly [string, Value, Allowance])[] = [
  ['PSS, MiB', ({ pssMib }) => pssMib, { share: 0.1, plus: 8 }],
  ['RSS, MiB', ({ rssMib }) => rssMib, { share: 0.1, plus: 8 }],
  ['descriptors', ({ descriptors }) => descriptors, { share: 0.1, plus: 10 }],
  ['answer of status, ms', ({ answerMs }) => answerMs, { share: 2, plus: 20 }],
];

function pointsOf(samples: readonly Measure[], value: Value): Point[] {
  return samples.flatMap((sample) => {
    const found = value(sample);
    return found === null ? [] : [[sample.atSeconds, found] as const];
  });
}

export function growths(samples: readonly Measure[]): Row[] {
  return judged.map(([title, value, allowance]) => ({
    title,
    growth: growthOf(pointsOf(samples, value), allowance),
  }));
}

export function growthTable(rows: readonly Row[]): string[] {
  const head = `${'median of'.padEnd(24)}${'2nd quarter'.padStart(14)}${'4th quarter'.padStart(14)}${'bound'.padStart(10)}`;
  const lines = rows.map(({ title, growth }) => {
    if (growth === null) return `${title.padEnd(24)} too few samples to tell`;
    const [early, late, bound] = [growth.early, growth.late, growth.bound].map((value) => value.toFixed(1));
    return `${title.padEnd(24)}${early?.padStart(14)}${late?.padStart(14)}${bound?.padStart(10)}  ${growth.grew ? 'GREW' : 'ok'}`;
  });
  return [head, ...lines];
}

/** What a count gained a second, between one sample and the next. */
function rateOf(samples: readonly Measure[], count: (sample: Measure) => number): Point[] {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index] ?? sample;
    const seconds = Math.max(0.001, sample.atSeconds - before.atSeconds);
    return [sample.atSeconds, Math.max(0, count(sample) - count(before)) / seconds];
  });
}

export function soakPlot(samples: readonly Measure[], faults: readonly number[]): string {
  const panel = (title: string, unit: string, points: readonly Point[]) => ({
    title,
    unit,
    series: [{ name: title, points }],
  });
  const memory = [
    { name: 'RSS', points: pointsOf(samples, ({ rssMib }) => rssMib) },
    { name: 'PSS', points: pointsOf(samples, ({ pssMib }) => pssMib) },
  ];
  return plotOf(
    'One supervisor under load and faults',
    [
      { title: 'Memory of the supervisor', unit: 'MiB', series: memory },
      panel(
        'Open descriptors',
        'count',
        pointsOf(samples, ({ descriptors }) => descriptors),
      ),
      panel(
        'Answer of status over the control socket',
        'ms',
        pointsOf(samples, ({ answerMs }) => answerMs),
      ),
      panel(
        'Checked bytes',
        'MiB/s',
        rateOf(samples, ({ bytes }) => bytes / 1024 / 1024),
      ),
      panel(
        'New connections',
        '1/s',
        rateOf(samples, ({ connections }) => connections),
      ),
      panel(
        'Links up',
        'count',
        pointsOf(samples, ({ links }) => links),
      ),
    ],
    { name: 'a fault', at: faults },
  );
}
