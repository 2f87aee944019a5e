// Lines of a program that may write anything, in any pieces.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { boundedLines } from '../../src/files/child.ts';

function linesOf(chunks: readonly string[], limit = 10): string[] {
  const lines: string[] = [];
  const reader = boundedLines(limit, (line) => lines.push(line));
  for (const chunk of chunks) reader.feed(chunk);
  reader.end();
  return lines;
}

describe('bounded lines', () => {
  test('end at line feeds and carriage returns, empty ones are none, and the last needs no end', () => {
    expect(linesOf(['one\r\ntw', 'o\n\nthree\r', '\nfour'])).toEqual(['one', 'two', 'three', 'four']);
  });

  test('are cut at the limit, and say so; the next line is whole again', () => {
    expect(linesOf(['0123456789'.repeat(3), '0123\nnext\n0123456789\n'])).toEqual([
      '0123456789 … (cut at 10 characters)',
      'next',
      '0123456789',
    ]);
  });

  test('are the same in whatever pieces they come', () => {
    fc.assert(
      fc.property(fc.string(), fc.array(fc.nat(40)), (text, cuts) => {
        const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
        const pieces = places.slice(1).map((end, index) => text.slice(places[index], end));
        expect(linesOf(pieces)).toEqual(linesOf([text]));
      }),
    );
  });
});
