// The plots of a soak: axes that are round, lines where the values are, words that are escaped, both kinds of paper.
import { describe, expect, test } from 'vitest';
import { plotOf } from '../../chaos/plot.ts';
import { stepFor } from '../../chaos/svg.ts';

const panel = {
  title: 'Memory <own>',
  unit: 'MiB',
  series: [
    {
      name: 'RSS',
      points: [
        [0, 0],
        [600, 80],
      ] as const,
    },
    { name: 'PSS', points: [[0, 40]] as const },
  ],
};

describe('a plot', () => {
  const svg = plotOf('A & B', [panel], { name: 'a fault', at: [300] });

  test('draws each series from the bottom left to the top right of its values', () => {
    expect(svg).toContain('<path class="line s0" d="M64 174L840 64"/>'); // 0 at the bottom of the panel, 80 at its top
    expect(svg).toContain('<path class="line s1" d="M64 119"/>');
  });

  test('names its axes, units and series, and marks faults', () => {
    for (const text of [
      'Memory &lt;own&gt;',
      '(MiB)',
      '>RSS<',
      '>PSS<',
      '>min<',
      '>10<',
      '>80<',
      'A &amp; B',
      '>a fault<',
    ])
      expect(svg).toContain(text);
    expect(svg).toContain('<path class="mark" d="M452 64V');
  });

  test('has colours for light paper and for dark', () => {
    expect(svg).toContain('prefers-color-scheme: dark');
  });

  test('of nothing is drawn all the same', () => {
    const empty = plotOf('none', [{ ...panel, series: [{ name: 'RSS', points: [] }] }], { name: '', at: [] });
    expect(empty).not.toMatch(/NaN|Infinity|undefined/);
  });
});

describe('a step of an axis', () => {
  test.each([
    [80, 20],
    [100, 50],
    [1, 0.5],
    [7, 2],
    [0.03, 0.01],
    [4, 1],
  ])('up to %d is %d', (value, step) => {
    expect(stepFor(value, 4)).toBe(step);
  });
});
