// Rows of somebody else's words: each says whose they are, whole words where it goes, at most forty.
import { expect, test } from 'vitest';
import { attributed } from '../../src/render/attributed.ts';

test('a short line is one row, and lines stay lines', () => {
  expect(attributed('katie says', 'Authorized use only.\n\n  Bye.')).toEqual([
    '(katie says) Authorized use only.',
    '(katie says) ',
    '(katie says)   Bye.',
  ]);
});

test('a long line is broken at blanks, one without any anywhere', () => {
  expect(attributed('k says', 'one two three four five six', 30)).toEqual([
    '(k says) one two three four',
    '(k says) five six',
  ]);
  expect(attributed('k says', `${'x'.repeat(25)}日本`, 30)).toEqual([
    `(k says) ${'x'.repeat(20)}`,
    '(k says) xxxxx日本',
  ]);
});

test('what is left out is said', () => {
  const rows = attributed('k says', 'x'.repeat(5000), 29);
  expect(rows).toHaveLength(40);
  expect(rows.at(-1)).toBe('(k says) … (211 more lines)');
});
