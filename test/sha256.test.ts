// Our SHA-256 against the one of node:crypto.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sha256 } from '../src/sha256.ts';

const theirs = (text: string): string => createHash('sha256').update(text).digest('hex');

test('agrees with node:crypto on every length around a block, and on any text', () => {
  for (let length = 0; length < 200; length++)
    expect(sha256('a'.repeat(length))).toBe(theirs('a'.repeat(length)));
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (text) => sha256(text) === theirs(text)));
});
