// The plot of a run as one SVG: each goal is a bar from the goal itself, to the right where it is reached and to the left where it is missed. Pure.
import { escape, number, sheetOf } from '../chaos/svg.ts';
import { figure, summaryOf, unitOf, verdictsOf, type Result, type Verdict } from './report.ts';

const width = 980;
const left = 560;
const right = 96;
const top = 74;
const step = 22;

/** From a quarter of the goal to eight times it; each doubling is as wide as the next. */
const range = [0.25, 8] as const;

const style = `
  .reached { fill: #0f766e } .missed { fill: #be185d } .goal { stroke: #333; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) { .reached { fill: #2dd4bf } .missed { fill: #f472b6 } .goal { stroke: #ddd } }`;

function x(score: number): number {
  const [least, most] = range.map(Math.log2) as [number, number];
  const at = (Math.log2(Math.min(range[1], Math.max(range[0], score))) - least) / (most - least);
  return left + at * (width - left - right);
}

export function plotOf({ rows, form, at }: Result): string {
  const verdicts = verdictsOf(rows).filter(({ judged }) => judged.isReached !== null);
  const bottom = top + verdicts.length * step;
  const height = bottom + 34;
  const title = `tunnel beside ssh: ${summaryOf(rows)}, ${form} form, ${at.slice(0, 10)}`;
  return sheetOf({ title, left: 16, width, height, style }, [
    `<text class="unit" x="16" y="44">Bars begin at the goal: to the right it is reached, and so many times better; to the left it is missed.</text>`,
    ...[0.25, 0.5, 1, 2, 4, 8].map((score) => gridLine(score, bottom)),
    ...verdicts.map((verdict, index) => barOf(verdict, top + index * step)),
    `<path class="goal" d="M${number(x(1))} ${top - 4}V${bottom}"/>`,
  ]);
}

function gridLine(score: number, bottom: number): string {
  const at = number(x(score));
  const label = score === 1 ? 'goal' : `${score} x`;
  const text = (y: number): string =>
    `<text class="unit" x="${at}" y="${y}" text-anchor="middle">${label}</text>`;
  return `<path class="grid" d="M${at} ${top - 4}V${bottom}"/>${text(top - 10)}${text(bottom + 18)}`;
}

function barOf(verdict: Verdict, y: number): string {
  const { row, text, judged } = verdict;
  const [from, to] = [x(1), x(judged.score)].sort((a, b) => a - b) as [number, number];
  const kind = judged.isReached === true ? 'reached' : 'missed';
  const mark = judged.isReached === true ? '✓' : '✗';
  const name = `<text x="16" y="${y + 13}">${escape(`${mark} ${row.what}`)} <tspan class="unit">${escape(text)}</tspan></text>`;
  const bar = `<rect class="${kind}" x="${number(from)}" y="${y + 3}" width="${number(Math.max(2, to - from))}" height="13"/>`;
  const seen = `<text x="${width - 8}" y="${y + 13}" text-anchor="end">${escape(`${figure(judged.seen)} ${unitOf(verdict)}`.trim())}</text>`;
  return `${name}${bar}${seen}`;
}
