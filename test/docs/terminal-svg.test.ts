// From what a terminal painted to the pictures of the docs: colours, widths, and nothing that an SVG may not hold.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fixedColor, plainStyle, rowsOf, type Run, type Style } from '../../docs/terminal-text.ts';
import { movingOf, stillOf, type Pace, type Shot } from '../../docs/terminal-svg.ts';
import { allOf, readXml } from '../helpers/xml.ts';

const size = { columns: 40, rows: 4 };
const still = (text: string, scrolled = 0): string =>
  stillOf({ atMs: 0, scrolled, text }, { size, title: 'a <still> & more' });
const textsOf = (svg: string): readonly string[] => allOf(readXml(svg), 'text').map(({ text }) => text);

const run = (text: string, column = 0, style: Partial<Style> = {}): Run => ({
  column,
  width: text.length,
  text,
  style: { ...plainStyle, ...style },
});

describe('a painted line', () => {
  test.each<[string, string, readonly Run[]]>([
    [
      'the 16 colours',
      '\u001b[31mred\u001b[92mgreen',
      [run('red', 0, { color: 1 }), run('green', 3, { color: 10 })],
    ],
    [
      'backgrounds',
      '\u001b[44ma\u001b[107mb',
      [run('a', 0, { background: 4 }), run('b', 1, { background: 15 })],
    ],
    ['the 256 colours', '\u001b[38;5;208;1mx', [run('x', 0, { color: 208, bold: true })]],
    ['true colour', '\u001b[48;2;1;20;255mx', [run('x', 0, { background: '#0114ff' })]],
    ['no colour that there is not', '\u001b[38;5;256mx\u001b[38;2;1;2mx\u001b[38mx', [run('xxx')]],
    [
      'colons',
      '\u001b[38:2::1:2:3mx\u001b[38:5:9my',
      [run('x', 0, { color: '#010203' }), run('y', 1, { color: 9 })],
    ],
    [
      'marks',
      '\u001b[1;2;3;4;7mx',
      [run('x', 0, { bold: true, dim: true, italic: true, underline: true, inverse: true })],
    ],
    ['ends of marks', '\u001b[1;2;3;4;7m\u001b[22;23;24;27mx', [run('x')]],
    ['an underline of no kind', '\u001b[4mx\u001b[4:0my', [run('x', 0, { underline: true }), run('y', 1)]],
    ['own colours again', '\u001b[31;41m\u001b[39;49mx', [run('x')]],
    ['nothing again', '\u001b[1;31mx\u001b[my', [run('x', 0, { bold: true, color: 1 }), run('y', 1)]],
    ['movements', 'a\u001b[2Kb\u001b[10;5Hc\u001b[?25ld', [run('abcd')]],
    ['private modes that end with m', '\u001b[>4;2mx', [run('x')]],
    ['titles and links', '\u001b]0;title\u0007a\u001b]8;;http://x/\u001b\\b', [run('ab')]],
    ['character sets', '\u001b(Ba\u001b=b', [run('ab')]],
    ['control characters', 'a\u0007\u0008\u000e\u009bb\u007f', [run('ab')]],
  ])('has %s', (_, painted, runs) => {
    expect(rowsOf(painted)).toEqual([runs]);
  });

  test('keeps its style into the next one', () => {
    expect(rowsOf('\u001b[32ma\nb')).toEqual([[run('a', 0, { color: 2 })], [run('b', 0, { color: 2 })]]);
  });

  test('counts wide characters as two columns, and what is composed as one', () => {
    expect(rowsOf('日本\u001b[1mx')[0]).toMatchObject([
      { column: 0, width: 4 },
      { column: 4, width: 1 },
    ]);
    expect(rowsOf('e\u0301\u001b[1mx')[0]).toMatchObject([{ width: 1 }, { column: 1 }]);
  });

  test.each([
    [16, '#000000'],
    [21, '#0000ff'],
    [208, '#ff8700'],
    [231, '#ffffff'],
    [232, '#080808'],
    [255, '#eeeeee'],
  ])('colour %i is %s', (color, hex) => {
    expect(fixedColor(color)).toBe(hex);
  });
});

describe('a still', () => {
  test('shows the screen, and not what has gone off above it', () => {
    expect(textsOf(still('gone\nfirst\n\nlast', 1))).toEqual(['first', 'last']);
  });

  test('says < and & as text, in its title too', () => {
    const svg = still('a <b> && "c"');
    expect(textsOf(svg)).toEqual(['a <b> && "c"']);
    expect(allOf(readXml(svg), 'title')[0]?.text).toBe('a <still> & more');
  });

  test('puts each piece in its column, also behind wide characters', () => {
    const pieces = allOf(readXml(still('日本   x\nabcd   y')), 'text').map(({ text, attributes }) => [
      text,
      attributes['x'],
      attributes['textLength'],
    ]);
    expect(pieces).toEqual([
      ['日本', '0', '33.6'],
      ['x', '58.8', '8.4'],
      ['abcd', '0', '33.6'],
      ['y', '58.8', '8.4'],
    ]);
  });

  test('has colours of the theme by class, for light and for dark, and others as they are', () => {
    const svg = still(
      '\u001b[31mred \u001b[38;5;208mamber\u001b[0m \u001b[7mturned\u001b[0m \u001b[42;30mon green',
    );
    const [red, amber, turned, onGreen] = allOf(readXml(svg), 'text');
    expect(red?.attributes['class']).toBe('c1');
    expect(amber?.attributes['style']).toBe('fill:#ff8700');
    expect(turned?.attributes['class']).toBe('paper');
    expect(onGreen?.attributes['class']).toBe('c0');
    expect(allOf(readXml(svg), 'rect').map(({ attributes }) => attributes['class'])).toEqual([
      'sheet',
      'ink',
      'c2',
    ]);
    const [style = ''] = allOf(readXml(svg), 'style').map(({ text }) => text);
    expect(
      style.split('prefers-color-scheme:dark').map((part) => part.match(/\.c1\{fill:(#\w+)\}/)?.[1]),
    ).toEqual(['#cf222e', '#ff7b72']);
  });

  test('is well-formed whatever was painted, and needs nothing from elsewhere', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '\u001b[',
        '\u001b]8;;',
        '\u001b',
        '38;5;',
        'm',
        ';',
        '<',
        '&',
        '"',
        '\n',
        '\u0000',
        '日',
        '\ud800',
      ),
      fc
        .array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 8 })
        .map((points) => String.fromCodePoint(...points)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const svg = still(pieces.join(''));
        expect(allOf(readXml(svg), 'script')).toEqual([]);
        expect(svg).not.toMatch(/href|url\(|@import/);
      }),
    );
  });
});

describe('a recording', () => {
  const pace: Pace = { leastMsALine: 100, mostMs: 1000, lastMs: 2000 };
  const shots: readonly Shot[] = [
    { atMs: 0, scrolled: 0, text: '$ x' },
    { atMs: 50, scrolled: 0, text: '$ xy' },
    { atMs: 60, scrolled: 0, text: '$ xy\na\nb\nc' },
    { atMs: 9000, scrolled: 1, text: '$ xy\na\nb\nc\nd' },
  ];
  const svg = movingOf(shots, { size, title: 'moving', pace });
  const [style = ''] = allOf(readXml(svg), 'style').map(({ text }) => text);

  test('plays as it ran, with time to read, short pauses, and an end to look at', () => {
    // 100 ms (a line) + 10 ms + 1000 ms (of a long pause) + 2000 ms
    expect(new Set(style.match(/\d+ms step-end infinite/g))).toEqual(new Set(['3110ms step-end infinite']));
    const rolls = /@keyframes roll\{(.*?\})\}/.exec(style)?.[1];
    expect(rolls).toBe('0%{transform:translateY(0px)}35.691%{transform:translateY(-19px)}');
  });

  test('takes time for what has to be read', () => {
    const many = movingOf(
      [shots[0] as Shot, shots[2] as Shot, { ...(shots[2] as Shot), atMs: 70, text: 'e' }],
      {
        size,
        title: 'moving',
        pace,
      },
    );
    expect(many).toContain('2400ms step-end'); // 100 + 3 x 100 + 2000
  });

  test('shows each line from its time to its end', () => {
    expect(style).toContain('{0%{visibility:visible}3.215%{visibility:hidden}}'); // $ x
    expect(style).toContain('{0%{visibility:hidden}3.215%{visibility:visible}}'); // $ xy
    expect(style).toContain('{0%{visibility:hidden}3.537%{visibility:visible}}'); // a b c
  });

  test('shows the last screen where nothing may move', () => {
    expect(style.replace(/@media\(prefers-reduced-motion:no-preference\)\{.*$/s, '')).not.toContain(
      'animation',
    );
    const seen = allOf(readXml(svg), 'g')
      .filter(({ attributes }) => attributes['class'] !== 'roll' && attributes['style'] === undefined)
      .flatMap((group) => allOf(group, 'text').map(({ text }) => text));
    expect(seen).toEqual(['$ xy', 'a', 'b', 'c', 'd']);
    expect(allOf(readXml(svg), 'g')[0]?.attributes['style']).toBe('transform:translateY(-19px)');
  });
});
