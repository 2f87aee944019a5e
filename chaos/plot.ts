// Plots of a long run as one SVG: panels below each other over the same time, readable on light and on dark paper. Pure.
import type { Point } from './growth.ts';
import { escape, number, sheetOf, stepFor } from './svg.ts';

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
}

export interface Panel {
  readonly title: string;
  readonly unit: string;
  /** At most three: each has its own colour and dash. */
  readonly series: readonly Series[];
}

const width = 860;
const left = 64;
const right = 20;
const panelHeight = 110;
const gap = 46;
const top = 64;

const style = `
  .mark { stroke: #d97706; stroke-opacity: .35 }
  .line { fill: none; stroke-width: 1.5 } .s0 { stroke: #2563eb } .s1 { stroke: #0f766e; stroke-dasharray: 5 3 } .s2 { stroke: #be185d; stroke-dasharray: 2 3 }
  @media (prefers-color-scheme: dark) {
    .mark { stroke: #fbbf24; stroke-opacity: .3 } .s0 { stroke: #79b8ff } .s1 { stroke: #5eead4 } .s2 { stroke: #f9a8d4 }
  }`;

/** `marks`: moments, in seconds, that are drawn through every panel. */
export function plotOf(
  title: string,
  panels: readonly Panel[],
  marks: { readonly name: string; readonly at: readonly number[] },
): string {
  const seconds = Math.max(
    1,
    ...panels.flatMap(({ series }) => series.map((each) => each.points.at(-1)?.[0] ?? 0)),
  );
  const x = (at: number): number => left + (at / seconds) * (width - left - right);
  const height = top + panels.length * (panelHeight + gap) + 4;
  const bottom = height - gap - 4;
  const lines = marks.at.map((at) => `<path class="mark" d="M${number(x(at))} ${top}V${bottom}"/>`);
  return sheetOf({ title, left, width, height, style }, [
    ...(marks.at.length === 0
      ? []
      : [
          `<path class="mark" d="M${width - right - 92} 12V26"/><text x="${width - right - 86}" y="22">${escape(marks.name)}</text>`,
        ]),
    ...lines,
    ...panels.map((panel, index) => panelOf(panel, top + index * (panelHeight + gap), x)),
    ...timeAxis(seconds, bottom, x),
  ]);
}

/** From zero, so that a small change does not look like a large one. */
function panelOf({ title, unit, series }: Panel, y0: number, x: (at: number) => number): string {
  const values = series.flatMap(({ points }) => points.map(([, value]) => value));
  const step = stepFor(Math.max(0, ...values), 4);
  const steps = Math.max(1, Math.ceil(Math.max(0, ...values) / step));
  const y = (value: number): number => y0 + panelHeight * (1 - value / (steps * step));
  const grid = Array.from({ length: steps + 1 }, (_, index) => {
    const at = number(y(index * step));
    const label = `<text x="${left - 8}" y="${at}" dy="4" text-anchor="end">${number(index * step)}</text>`;
    return `<path class="grid" d="M${left} ${at}H${width - right}"/>${label}`;
  });
  const paths = series.map(({ points }, index) => {
    const path = points.map(([at, value]) => `${number(x(at))} ${number(y(value))}`).join('L');
    return `<path class="line s${index}" d="M${path}"/>`;
  });
  const legend =
    series.length < 2 ? [] : series.map(({ name }, index) => legendOf(name, index, y0, series.length));
  const heading = `<text x="${left}" y="${y0 - 8}">${escape(title)} <tspan class="unit">(${escape(unit)})</tspan></text>`;
  return [heading, ...legend, ...grid, ...paths.filter((path) => !path.endsWith('"M"/>'))].join('\n');
}

function legendOf(name: string, index: number, y0: number, count: number): string {
  const from = width - right - (count - index) * 110;
  const line = `<path class="line s${index}" d="M${from} ${y0 - 12}h24"/>`;
  return `${line}<text x="${from + 30}" y="${y0 - 8}">${escape(name)}</text>`;
}

function timeAxis(seconds: number, bottom: number, x: (at: number) => number): string[] {
  const step = Math.max(0.5, stepFor(seconds / 60, 10));
  const count = Math.floor(seconds / 60 / step + 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, index) => {
    const at = number(x(index * step * 60));
    return `<text x="${at}" y="${bottom + 18}" text-anchor="middle">${number(index * step)}</text>`;
  });
  return [...ticks, `<text class="unit" x="${left - 8}" y="${bottom + 18}" text-anchor="end">min</text>`];
}
