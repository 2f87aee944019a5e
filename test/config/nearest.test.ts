// Did you mean: which word a mistyped one stands for.
import { expect, test } from 'vitest';
import { nearest } from '../../src/config/nearest.ts';

const words = ['up', 'start', 'status', 'stop', 'restart', 'local', 'remote'];

test.each([
  { word: 'stat', meant: 'status', why: 'the beginning of one word is that word, though another is nearer' },
  { word: 'rem', meant: 'remote', why: 'a beginning may be short' },
  { word: 'sta', meant: null, why: 'the beginning of two words is neither' },
  { word: 'remot', meant: 'remote', why: 'a letter is missing' },
  { word: 'satrt', meant: 'start', why: 'two letters changed places' },
  { word: 'LOCAL', meant: 'local', why: 'capitals do not count' },
  { word: 'nothing', meant: null, why: 'it is near nothing' },
])('$word stands for $meant: $why', ({ word, meant }) => {
  expect(nearest(word, words)).toBe(meant);
});
