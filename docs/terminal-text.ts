// What a terminal painted, as rows of runs: text in which only SGR escapes (ECMA-48, 8.3.117) mean something, as `tmux capture-pane -e`
// gives it. Every other escape and control character is left out. Pure.
import stringWidth from 'string-width';

/** One of the terminal's 256 colours, or #rrggbb. */
export type Color = number | `#${string}`;

export interface Style {
  /** Null: the terminal's own. */
  readonly color: Color | null;
  readonly background: Color | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
}

/** Neighbours of one style. */
export interface Run {
  readonly column: number;
  /** In columns: a wide character takes two. */
  readonly width: number;
  readonly text: string;
  readonly style: Style;
}

export type Row = readonly Run[];

export const plainStyle: Style = {
  color: null,
  background: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
};

// oxlint-disable-next-line no-control-regex -- these are what it is about
const escape = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^]*?(?:\u0007|\u001b\\|$)|[ -/]*[0-~])/g;
// oxlint-disable-next-line no-control-regex -- the same, and what no XML may hold
const control = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/g;

const characters = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** The style goes on from line to line. */
export function rowsOf(painted: string): Row[] {
  let style = plainStyle;
  return painted.split('\n').map((line) => {
    const runs: Run[] = [];
    let column = 0;
    const put = (text: string): void => {
      for (const { segment } of characters.segment(text.replace(control, ''))) {
        const width = stringWidth(segment);
        add(runs, { column, width, text: segment, style });
        column += width;
      }
    };
    let from = 0;
    for (const found of line.matchAll(escape)) {
      put(line.slice(from, found.index));
      from = found.index + found[0].length;
      if (found[2] === 'm' && /^[0-9:;]*$/.test(found[1] ?? '')) style = withSgr(style, found[1] ?? '');
    }
    put(line.slice(from));
    return runs;
  });
}

function add(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last === undefined || !isSame(last.style, run.style)) runs.push(run);
  else
    runs[runs.length - 1] = {
      ...last,
      width: run.column + run.width - last.column,
      text: last.text + run.text,
    };
}

const isSame = (one: Style, other: Style): boolean =>
  (Object.keys(plainStyle) as (keyof Style)[]).every((key) => one[key] === other[key]);

/** `body`: what stands between `CSI` and `m`. */
function withSgr(style: Style, body: string): Style {
  const codes = body.split(';');
  let next = style;
  for (let at = 0; at < codes.length; at += 1) {
    const [code = '', ...parts] = (codes[at] ?? '').split(':');
    if (code !== '38' && code !== '48') {
      next = { ...next, ...(parts[0] === '0' ? changeOf(Number(code) + 20) : changeOf(Number(code))) }; // 4:0 is 24
      continue;
    }
    const words = parts.length > 0 ? parts : codes.slice(at + 1);
    const key = code === '38' ? 'color' : 'background';
    next = { ...next, [key]: chosenColor(words, parts.length > 0) };
    if (parts.length === 0) at += words[0] === '5' ? 2 : 4;
  }
  return next;
}

/** `5;N`, or `2;R;G;B`. With colons (ISO 8613-6) a colour space may stand before the three. */
function chosenColor([kind, ...words]: readonly string[], colons: boolean): Color | null {
  const three = colons ? words.slice(-3) : words.slice(0, 3);
  const parts = (kind === '5' ? words.slice(0, 1) : three).map((word) => Number(word));
  if (parts.length !== (kind === '5' ? 1 : 3) || !parts.every((part) => part >= 0 && part <= 255))
    return null;
  return kind === '5' ? (parts[0] ?? null) : hexColor(parts);
}

const hexColor = (three: readonly number[]): Color =>
  `#${three.map((part) => part.toString(16).padStart(2, '0')).join('')}`;

const changes: Readonly<Record<number, Partial<Style>>> = {
  0: plainStyle,
  1: { bold: true },
  2: { dim: true },
  3: { italic: true },
  4: { underline: true },
  7: { inverse: true },
  22: { bold: false, dim: false },
  23: { italic: false },
  24: { underline: false },
  27: { inverse: false },
  39: { color: null },
  49: { background: null },
};

function changeOf(code: number): Partial<Style> {
  const [tens, ones] = [Math.floor(code / 10), code % 10];
  if (ones < 8) {
    if (tens === 3) return { color: ones };
    if (tens === 4) return { background: ones };
    if (tens === 9) return { color: ones + 8 };
    if (tens === 10) return { background: ones + 8 };
  }
  return changes[code] ?? {};
}

/** Colours 16 to 255 are the same in every terminal: a cube of six steps, and 24 greys (xterm(1)). */
export function fixedColor(color: number): Color {
  if (color >= 232) return hexColor(Array.from({ length: 3 }, () => 8 + 10 * (color - 232)));
  const step = (size: number): number => Math.floor((color - 16) / size) % 6;
  return hexColor([36, 6, 1].map((size) => (step(size) === 0 ? 0 : 55 + 40 * step(size))));
}
