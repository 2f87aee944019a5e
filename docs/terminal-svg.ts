// What a terminal showed, as one SVG that needs nothing from elsewhere: a still, or a recording that plays by CSS keyframes alone.
// Readable on light and on dark paper; who wants no motion sees the last screen. Pure.
import { escape, number } from '../chaos/svg.ts';
import { fixedColor, rowsOf, type Color, type Row, type Run, type Style } from './terminal-text.ts';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** A screen and what has gone off above it. */
export interface Shot {
  readonly atMs: number;
  /** Lines that have gone off the top. */
  readonly scrolled: number;
  /** Those lines and the screen, with SGR escapes. */
  readonly text: string;
}

const cell = { width: 8.4, height: 19, font: 14, baseline: 14 } as const;
const margin = 14;

/** As the terminals of desktops have them; colours 0 to 15 are the person's to choose. */
interface Theme {
  readonly paper: string;
  readonly edge: string;
  readonly ink: string;
  readonly colors: readonly string[];
}

const light: Theme = {
  paper: '#ffffff',
  edge: '#d0d7de',
  ink: '#1f2328',
  colors: words(
    '#24292f #cf222e #116329 #7d4e00 #0969da #8250df #1b7c83 #59636e #57606a #a40e26 #1a7f37 #633c01 #218bff #a475f9 #137178 #6e7781',
  ),
};
const dark: Theme = {
  paper: '#0d1117',
  edge: '#30363d',
  ink: '#e6edf3',
  colors: words(
    '#484f58 #ff7b72 #3fb950 #d29922 #58a6ff #bc8cff #39c5cf #b1bac4 #6e7681 #ffa198 #56d364 #e3b341 #79c0ff #d2a8ff #56d4dd #ffffff',
  ),
};

function words(text: string): readonly string[] {
  return text.split(' ');
}

/** The screen as it is. */
export function stillOf(
  shot: Shot,
  { size, title }: { readonly size: Size; readonly title: string },
): string {
  const rows = rowsOf(shot.text).slice(shot.scrolled, shot.scrolled + size.rows);
  return sheet({ size, title, style: '', body: rows.map(drawRow).join('') });
}

/** How fast a recording plays. */
export interface Pace {
  /** What came on gets at least so long to be read. */
  readonly leastMsALine: number;
  /** No pause is longer, but for reading. */
  readonly mostMs: number;
  /** The last screen, before it begins again. */
  readonly lastMs: number;
}

/** What was there from a time on, until another: of lines counted from the first that ever came. */
interface Span {
  readonly line: number;
  readonly row: Row;
  readonly fromMs: number;
  readonly toMs: number;
}

interface Film {
  readonly wholeMs: number;
  readonly spans: readonly Span[];
  readonly rolls: readonly { readonly atMs: number; readonly scrolled: number }[];
}

export function movingOf(
  shots: readonly Shot[],
  { size, title, pace }: { readonly size: Size; readonly title: string; readonly pace: Pace },
): string {
  const film = filmOf(shots, pace);
  const times = new Set(film.spans.map(({ fromMs, toMs }) => `${fromMs} ${toMs}`));
  const styles: string[] = [];
  const body = [...times].map((time, index) => {
    const [fromMs = 0, toMs = 0] = time.split(' ').map(Number);
    const together = film.spans.filter((span) => span.fromMs === fromMs && span.toMs === toMs);
    const drawn = together.map(({ row, line }) => drawRow(row, line)).join('');
    if (drawn === '' || (fromMs === 0 && toMs === film.wholeMs)) return drawn;
    styles.push(appearance(`a${index}`, { fromMs, toMs, wholeMs: film.wholeMs }));
    const kept = toMs === film.wholeMs ? '' : ' style="visibility:hidden"';
    return `<g class="a${index}"${kept}>${drawn}</g>`;
  });
  return sheet({
    size,
    title,
    style: `@media(prefers-reduced-motion:no-preference){${rolling(film)}${styles.join('')}}`,
    body: `<g class="roll" style="transform:${roll(film.rolls.at(-1)?.scrolled ?? 0)}">${body.join('')}</g>`,
  });
}

const roll = (scrolled: number): string => `translateY(${number(-scrolled * cell.height)}px)`;

function rolling({ rolls, wholeMs }: Film): string {
  const frames = rolls.map(({ atMs, scrolled }) => `${percent(atMs, wholeMs)}{transform:${roll(scrolled)}}`);
  return `.roll{animation:roll ${wholeMs}ms step-end infinite}@keyframes roll{${frames.join('')}}`;
}

function appearance(
  name: string,
  { fromMs, toMs, wholeMs }: { readonly fromMs: number; readonly toMs: number; readonly wholeMs: number },
): string {
  const before = fromMs === 0 ? '' : '0%{visibility:hidden}';
  const behind = toMs === wholeMs ? '' : `${percent(toMs, wholeMs)}{visibility:hidden}`;
  const frames = `${before}${percent(fromMs, wholeMs)}{visibility:visible}${behind}`;
  return `.${name}{animation:${name} ${wholeMs}ms step-end infinite}@keyframes ${name}{${frames}}`;
}

const percent = (atMs: number, wholeMs: number): string => `${Number(((atMs / wholeMs) * 100).toFixed(3))}%`;

function filmOf(shots: readonly Shot[], pace: Pace): Film {
  const running = new Map<number, { readonly row: Row; readonly key: string; readonly fromMs: number }>();
  const spans: Span[] = [];
  const rolls: { atMs: number; scrolled: number }[] = [];
  let atMs = 0;
  let lines = 0;
  const end = (line: number): void => {
    const known = running.get(line);
    if (known !== undefined) spans.push({ line, row: known.row, fromMs: known.fromMs, toMs: atMs });
    running.delete(line);
  };
  for (const [index, shot] of shots.entries()) {
    const rows = rowsOf(shot.text);
    const keys = rows.map((row) => JSON.stringify(row));
    for (const [line, { key }] of running) if (key !== keys[line]) end(line);
    for (const [line, row] of rows.entries())
      if (!running.has(line)) running.set(line, { row, key: keys[line] ?? '', fromMs: atMs });
    if (rolls.at(-1)?.scrolled !== shot.scrolled) rolls.push({ atMs, scrolled: shot.scrolled });
    const written = rows.findLastIndex((row) => row.some(({ text }) => text.trim() !== '')) + 1;
    const ran = (shots[index + 1]?.atMs ?? Infinity) - shot.atMs;
    const least = Math.max(0, written - lines) * pace.leastMsALine;
    atMs += Math.round(ran === Infinity ? pace.lastMs : Math.max(least, Math.min(pace.mostMs, ran)));
    lines = written;
  }
  for (const line of running.keys()) end(line);
  return { wholeMs: atMs, spans: spans.toSorted((a, b) => a.line - b.line), rolls };
}

// Drawing.

function drawRow(row: Row, line: number): string {
  return row.map((run) => drawBackground(run, line) + drawText(run, line)).join('');
}

function drawBackground({ column, width, style }: Run, line: number): string {
  if (style.background === null && !style.inverse) return '';
  const { kind, fill } = style.inverse ? painted(style.color, 'ink') : painted(style.background, 'paper');
  const box = `x="${number(column * cell.width)}" y="${line * cell.height}" width="${number(width * cell.width)}" height="${cell.height}"`;
  return `<rect ${box}${kind === '' ? '' : ` class="${kind}"`}${fill}/>`;
}

/** Each piece between gaps has its own place and length, so that columns stand in line whatever font is there. */
function drawText({ column, text, style }: Run, line: number): string {
  const { kind, fill } = style.inverse
    ? painted(style.background, 'paper')
    : style.color === null
      ? { kind: '', fill: '' }
      : painted(style.color, 'ink');
  const kinds = [kind, ...markKinds(style)].filter((each) => each !== '').join(' ');
  const look = `${kinds === '' ? '' : ` class="${kinds}"`}${fill}`;
  let at = column;
  return text
    .split(/( {2,})/)
    .map((piece) => {
      const from = at;
      at += columnsOf(piece);
      const shown = piece.trim();
      if (shown === '') return '';
      const x = number((from + (piece.length - piece.trimStart().length)) * cell.width);
      const y = line * cell.height + cell.baseline;
      const length = number(columnsOf(shown) * cell.width);
      return `<text x="${x}" y="${y}" textLength="${length}"${look}>${escape(shown)}</text>`;
    })
    .join('');
}

const columnsOf = (text: string): number => rowsOf(text)[0]?.reduce((sum, { width }) => sum + width, 0) ?? 0;

const markKinds = (style: Style): readonly string[] => [
  style.bold ? 'b' : '',
  style.dim ? 'd' : '',
  style.italic ? 'i' : '',
  style.underline ? 'u' : '',
];

/** A class where the colour is the theme's, else its own value. */
function painted(
  color: Color | null,
  own: 'ink' | 'paper',
): { readonly kind: string; readonly fill: string } {
  if (color === null) return { kind: own, fill: '' };
  if (typeof color === 'number' && color < 16) return { kind: `c${color}`, fill: '' };
  return { kind: '', fill: ` style="fill:${typeof color === 'number' ? fixedColor(color) : color}"` };
}

const fonts = `ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace`;

interface Content {
  readonly size: Size;
  readonly title: string;
  /** Beside the colours. */
  readonly style: string;
  readonly body: string;
}

function sheet({ size, title, style, body }: Content): string {
  const [inner, high] = [number(size.columns * cell.width), size.rows * cell.height];
  const [width, height] = [number(size.columns * cell.width + 2 * margin), high + 2 * margin];
  const used = [...new Set([...body.matchAll(/class="([^"]*)"/g)].flatMap(([, names = '']) => words(names)))];
  const rules = [
    `text{font:${cell.font}px ${fonts}}.b{font-weight:700}.d{opacity:.65}.i{font-style:italic}.u{text-decoration:underline}`,
    themeRules(light, used),
    `@media(prefers-color-scheme:dark){${themeRules(dark, used)}}`,
    style,
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${escape(title)}</title><style>${rules.join('\n')}</style>`,
    `<rect class="sheet" x=".5" y=".5" width="${number(Number(width) - 1)}" height="${height - 1}" rx="8"/>`,
    `<svg x="${margin}" y="${margin}" width="${inner}" height="${high}">${body}</svg>`,
    '</svg>',
    '',
  ].join('\n');
}

function themeRules({ paper, edge, ink, colors }: Theme, used: readonly string[]): string {
  const own = [`.sheet{fill:${paper};stroke:${edge}}`, `text,.ink{fill:${ink}}`, `.paper{fill:${paper}}`];
  const chosen = colors.flatMap((color, index) =>
    used.includes(`c${index}`) ? [`.c${index}{fill:${color}}`] : [],
  );
  return [...own, ...chosen].join('');
}
