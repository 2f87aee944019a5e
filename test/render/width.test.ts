// Our columns against those of the library that knows every emoji: equal wherever one code point is one sign.
import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, test } from 'vitest';
import { Chalk } from 'chalk';
import { displayWidth } from '../../src/render/width.ts';

const signs = fc.oneof(
  fc.integer({ min: 0x20, max: 0x2ff }),
  fc.integer({ min: 0x370, max: 0x58f }),
  fc.integer({ min: 0x2010, max: 0x2b00 }),
  fc.integer({ min: 0x3041, max: 0x3096 }),
  fc.integer({ min: 0x4e00, max: 0x9fff }),
  fc.integer({ min: 0xac00, max: 0xd7a3 }),
  fc.integer({ min: 0xff01, max: 0xff60 }),
  fc.integer({ min: 0x1f300, max: 0x1f5ff }),
);

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

  test('agrees with string-width', () => {
    fc.assert(
      fc.property(fc.array(signs, { maxLength: 8 }), (points) => {
        // each by itself: what belongs together is a cluster there, and two signs here
        for (const point of points) {
          const text = String.fromCodePoint(point);
          expect(displayWidth(text), point.toString(16)).toBe(stringWidth(text));
        }
      }),
      { numRuns: 500 },
    );
  });
});
