// What a run of the benchmark is told as, from the figures of a fixed one: goals judged, table, page and plot. Nothing is timed here.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { describe, expect, test } from 'vitest';
import { formOf } from '../../bench/form.ts';
import { plotOf } from '../../bench/plot.ts';
import { figure, pageOf, summaryOf, tableOf, verdictsOf, type Result } from '../../bench/report.ts';
import { cellOf } from '../../bench/rows.ts';

const fixture = join(import.meta.dirname, '../fixtures/bench.json');
const result = JSON.parse(readFileSync(fixture, 'utf8')) as Result;

describe('a goal', () => {
  const told = verdictsOf(result.rows).map(
    ({ text, judged: { seen, limit, isReached } }) =>
      `${text}: ${figure(seen)} of ${figure(limit)}, ${isReached}`,
  );

  test('is judged from the figures of its own row', () => {
    expect(told).toEqual([
      '>= 1.2 x ssh -L: 626 of 545, true',
      '>= 1 x gcm: 626 of 712, false',
      'processor time <= 1 x gcm: 789 of 737, false',
      "sshd's processor time <= 1.5 x gcm: 934 of 1425, true",
      '<= direct + 2 ms: 2.5 of 4.1, true',
      'tunnel, jump host: <= direct + 2 ms: 44 of 4.1, false',
      'highest <= 0: 0 of 0, true',
      'lowest >= 40 MB/s: 46 of 40, true',
      "sshd's processor time <= 1.5 x ssh -L: - of -, null",
    ]);
  });

  test('counts only where its figures are there', () => {
    expect(summaryOf(result.rows)).toBe('5 of 8 goals reached');
  });

  test('is worth more the further its figure is beyond it', () => {
    const scores = verdictsOf(result.rows).map(({ judged }) => judged.score);
    expect(scores[0]).toBeCloseTo(626 / 544.8);
    expect(scores[2]).toBeCloseTo(737 / 789);
    expect(scores[6]).toBe(1); // none of none
  });
});

test('the table has median, spread, ratio, the processor time of four processes, and a mark for each goal', () => {
  const [bulk] = result.rows;
  expect(bulk && tableOf(bulk)).toBe(
    [
      'bulk down (MB/s); ms of processor time for each GB: own, sshd, target, client',
      '  tunnel                      626 [559-685]          1.38 x  789 934 137 4.4',
      '  ssh -L                      454 [389-559]          1.00 x  1503 1000 130 430',
      '  gcm                         712 [685-794]          1.57 x  737 950 131 440',
      '  ✓ reached: >= 1.2 x ssh -L (626 of 545)',
      '  ✗ missed: >= 1 x gcm (626 of 712)',
      '  ✗ missed: processor time <= 1 x gcm (789 of 737)',
      "  ✓ reached: sshd's processor time <= 1.5 x gcm (934 of 1425)",
    ].join('\n'),
  );
});

describe('the page', () => {
  test('names the command, the machine, every row with what it means, and every goal with its mark', async () => {
    const page = await format(pageOf(result, 'plot.svg'), { parser: 'markdown', printWidth: 110 });
    for (const row of result.rows) {
      expect(page).toContain(`### ${row.what}\n`);
      expect(page).toContain(row.meaning);
    }
    const line = (text: string): string | undefined =>
      page
        .split('\n')
        .find((each) => each.includes(text))
        ?.replaceAll(/ +/g, ' ');
    expect(page).toContain('```sh\nnpm run bench -- --short --write\n```');
    expect(page).toContain('**5 of 8 goals reached**');
    expect(page).toContain('](plot.svg)');
    expect(line('| processors')).toBe('| processors | 2 x Some \\| Model |');
    expect(line('>= 1 x gcm')).toBe('| bulk down | >= 1 x gcm | 626 MB/s | 712 | ✗ missed |');
    expect(line('389 - 559')).toBe('| ssh -L | 454 | 389 - 559 | 1.00 x | 1503 | 1000 | 130 | 430 |');
    expect(page).toContain('No goal: it is told.');
    expect(page).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('says so when other work ran beside the run', () => {
    const words = 'Other work ran beside it';
    expect(pageOf(result, 'plot.svg')).not.toContain(words);
    expect(pageOf(result, 'plot.svg')).toContain(
      'Other work took 3 % of the processors before it and 2 % after it.',
    );
    expect(pageOf({ ...result, busy: [0.03, 0.4] }, 'plot.svg')).toContain(words);
    expect(pageOf({ ...result, busy: null }, 'plot.svg')).not.toContain('Other work');
  });
});

describe('the plot', () => {
  const svg = plotOf(result);
  const bars = [
    ...svg.matchAll(/<rect class="(reached|missed)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"/g),
  ].map(([, kind, x, width]) => ({ kind, from: Number(x), to: Number(x) + Number(width) }));
  const goalAt = Number(/<path class="goal" d="M([\d.]+) /.exec(svg)?.[1]);

  test('has a bar for each goal that was measured: right of the goal where it is reached, left where it is missed', () => {
    expect(bars.map(({ kind }) => kind === 'reached')).toEqual([
      true,
      false,
      false,
      true,
      true,
      false,
      true,
      true,
    ]);
    for (const { kind, from, to } of bars) expect(kind === 'reached' ? from : to).toBeCloseTo(goalAt, 1);
  });

  test('ends a bar at the edge of the sheet when its figure is far off', () => {
    expect(bars[5]?.from).toBe(560); // 44 ms of 4.1
  });

  test('escapes names, and says what it shows', () => {
    expect(svg).toContain('a link of 50 MB/s &amp; 100 ms');
    expect(svg).toContain('tunnel beside ssh: 5 of 8 goals reached, short form, 2026-01-02');
    expect(svg).not.toMatch(/NaN|undefined|Infinity/);
  });
});

test('a cell keeps the median and the spread of its rounds', () => {
  expect(cellOf('ssh', [3, 1, 2])).toMatchObject({ median: 2, lowest: 1, highest: 3 });
  expect(cellOf('ssh', [4, 1, 2, 3]).median).toBe(2.5);
});

describe('the sizes of a form', () => {
  test('are changed one by one by the environment', () => {
    const tiny = formOf('full', { ROUNDS: '1', BULK_MB: '8', CROWD: '10,20' });
    expect(tiny).toMatchObject({
      rounds: 1,
      linkRuns: 1,
      bulkBytes: 8 * 2 ** 20,
      crowd: [10, 20],
      count: 1000,
    });
  });

  test('that are no number are refused', () => {
    expect(() => formOf('short', { ROUNDS: 'many' })).toThrow('ROUNDS: many is no whole number');
  });
});
