// Our columns against those of the library that knows every emoji: equal wherever one code point is one sign.
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { Chalk } from 'chalk';
import { displayWidth } from '../../src/render/width.ts';

/** First and last code point of scripts that names, paths and server texts are written in. */
const ranges = [
  [0x20, 0x2ff],
  [0x370, 0x58f],
  [0x2010, 0x2b00],
  [0x3041, 0x3096],
  [0x4e00, 0x9fff],
  [0xac00, 0xd7a3],
  [0xff01, 0xff60],
  [0x1f300, 0x1f5ff],
] as const;

describe('the width of a text', () => {
  test.each([
    ['katie', 5],
    ['katie…', 6],
    ['日本', 4],
    ['é', 1],
    ['e\u0301', 1],
    ['🚇', 2],
    ['→', 1],
    [new Chalk({ level: 1 }).red('red…'), 4],
  ])('%j is %d', (text, width) => expect(displayWidth(text)).toBe(width));

  test.each(ranges)('agrees with string-width from %i to %i', (first, last) => {
    // each by itself: what belongs together is a cluster there, and two signs here
    const differing = [];
    for (let point = first; point <= last; point += 1) {
      const text = String.fromCodePoint(point);
      if (/\p{Cn}/u.test(text)) continue; // nobody has decided yet
      if (displayWidth(text) !== stringWidth(text)) differing.push(point.toString(16));
    }
    expect(differing).toEqual([]);
  });
});
