// cleanText and cleanBanner: nothing that a terminal obeys is left.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  cleanBanner,
  cleanQuote,
  cleanText,
  jsonText,
  visibleCommand,
  visibleText,
} from '../../src/model/clean.ts';
import { cpuMs } from '../helpers/cpu-time.ts';

describe('clean text', () => {
  test.each([
    ['plain words stay', 'Authorized use only.', 'Authorized use only.'],
    ['colours go as a whole', '\u001b[1;31mred\u001b[0m', 'red'],
    ['a title sequence goes with its text', '\u001b]0;owned\u0007hello', 'hello'],
    ['a clipboard sequence ended by ST goes', 'a\u001b]52;c;aGk=\u001b\\b', 'ab'],
    ['8-bit CSI goes', '\u009b31mred', 'red'],
    ['bidi overrides go', 'user\u202egnp.exe', 'usergnp.exe'],
    ['line breaks become one blank', 'a\r\nb\n\n\tc', 'a b c'],
    ['runs of blanks become one, of every kind', 'a   b\u00a0\u2003\u3000c\u2800\u3164\u2800d', 'a b c d'],
    ['a bare carriage return cannot overwrite', 'evil\rgood', 'evil good'],
    ['backspaces and bells go', 'a\b\u0007b', 'ab'],
    ['other alphabets stay', 'Zugang für Käthe: 日本語 ✓', 'Zugang für Käthe: 日本語 ✓'],
    ['half a surrogate pair is replaced', 'a\ud800b', 'a\ufffdb'],
    ['invisible tags go', 'a\u{e0041}b', 'ab'],
  ])('%s', (_, dirty, clean) => {
    expect(cleanText(dirty)).toBe(clean);
  });

  test('never leaves a control, escape or bidi character, whatever comes in', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(cleanText(text)).not.toMatch(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/u);
        expect(cleanBanner(text)).not.toMatch(/(?!\n)[\p{Cc}\u200b-\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/u);
      }),
    );
  });
});

describe('the door to a terminal', () => {
  test.each([
    [
      'our colours, lines and tabs stay',
      '\u001b[31mred\u001b[39m\n\u001b[1ma\u001b[22m\tb',
      '\u001b[31mred\u001b[39m\n\u001b[1ma\u001b[22m\tb',
    ],
    ['a colour that hides goes', 'a\u001b[8mb\u001b[30;40mc\u001b[0m', 'abc'],
    ['so do titles, moves and 8-bit sequences', 'a\u001b]0;x\u0007\u001b[2J\u009b5Ab', 'ab'],
    ['so does what turns text', 'a\u202eb\u2066c\u200bd', 'abcd'],
  ])('%s', (_, dirty, shown) => expect(visibleText(dirty)).toBe(shown));

  test('leaves the blanks of a command as they are', () =>
    expect(visibleCommand("rm 'a  b'\u001b[8m    # it is old")).toBe("rm 'a  b'    # it is old"));

  test('JSON comes back as it was, and has nothing raw in it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (key, value) => {
        const document = { [key]: [value, { value }], list: ['\u009b31m\u007f\u202e\u{e0041}'] };
        const text = jsonText(document, 2);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(document)));
        expect(visibleText(text)).toBe(text);
      }),
    );
  });
});

describe('a quote', () => {
  test('is one clean line, cut where nobody reads on', () => {
    expect(cleanQuote(' No\u001b[31m entry\r\nhere ')).toBe('No entry here');
    expect(cleanQuote('😀'.repeat(300))).toBe('😀'.repeat(300));
    expect(cleanQuote('x'.repeat(301))).toBe(`${'x'.repeat(300)} …`);
    expect(cleanQuote(' '.repeat(250_000) + 'x')).toBe(' …');
  });
});

describe('clean banner', () => {
  test('of 250,000 empty lines is as quickly read as any', () => {
    for (const line of ['\n', '\r', ' \n', '\t\n']) {
      const text = `${line.repeat(250_000)}Hello\n${line.repeat(100_000)}`;
      expect(cpuMs(() => expect(cleanBanner(text)).toBe('Hello'))).toBeLessThan(3000);
    }
    expect(cleanBanner('\n'.repeat(250_000))).toBe('');
  });

  test('keeps its lines, without blank ones around it', () => {
    expect(cleanBanner('\r\nWelcome\r\n\tto\u001b[2J us\r\n\r\n')).toBe('Welcome\n to us');
  });

  test('has at most 40 lines and says what is missing', () => {
    const lines = cleanBanner(Array.from({ length: 100 }, (_, index) => `line ${index}`).join('\n')).split(
      '\n',
    );
    expect(lines).toHaveLength(40);
    expect(lines.at(-1)).toBe('(61 more lines)');
  });
});
