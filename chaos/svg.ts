// The sheet that plots are drawn on: its frame, its title, and colours that are readable on light and on dark paper. Pure.

export interface Sheet {
  readonly title: string;
  /** Where the title begins. */
  readonly left: number;
  readonly width: number;
  readonly height: number;
  /** What its own marks look like. */
  readonly style: string;
}

const paper = `
  text { font: 12px system-ui, sans-serif; fill: #333 } .title { font-size: 15px; font-weight: 600 } .unit { fill: #666 }
  .paper { fill: #fff } .grid { stroke: #ddd }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .unit { fill: #aaa } .paper { fill: #0d1117 } .grid { stroke: #30363d }
  }`;

export function sheetOf({ title, left, width, height, style }: Sheet, parts: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(title)}</title><style>${paper}${style}</style>`,
    `<rect class="paper" width="${width}" height="${height}"/>`,
    `<text class="title" x="${left}" y="22">${escape(title)}</text>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

export const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** At most two digits behind the point. */
export const number = (value: number): string => String(Number(value.toFixed(2)));

/** The smallest of 1, 2, 5 times a power of ten so that `count` of them reach the value. */
export function stepFor(value: number, count: number): number {
  const raw = Math.max(value, 1e-9) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const times = [1, 2, 5, 10].find((each) => each * power >= raw * 0.999) ?? 10;
  return Number((times * power).toPrecision(3));
}
