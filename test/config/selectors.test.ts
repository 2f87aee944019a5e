// Selectors and globs: what they stand for, and what is said of one that stands for nothing.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { globMatches } from '../../src/config/glob.ts';
import { matchSelectors } from '../../src/config/selectors.ts';
import { TunnelError } from '../../src/errors.ts';
import { hinting } from '../helpers/hint.ts';

const known = [
  { name: 'db-prod', tags: ['prod', 'data'] },
  { name: 'db-stage', tags: ['stage'] },
  { name: 'web', tags: ['prod'] },
];

describe('selectors', () => {
  test.each([
    [[], ['db-prod', 'db-stage', 'web']],
    [['web'], ['web']],
    [
      ['web', 'db-prod', 'web'],
      ['db-prod', 'web'],
    ],
    [['db-*'], ['db-prod', 'db-stage']],
    [['db-?????'], ['db-stage']],
    [['[dw]*b'], ['web']],
    [['tag:prod'], ['db-prod', 'web']],
    [['tag:*ta*'], ['db-prod', 'db-stage']],
    [['*'], ['db-prod', 'db-stage', 'web']],
  ])('%j stand for %j', (selectors, names) => {
    expect(matchSelectors(selectors, known)).toEqual(names);
  });

  test.each([
    ['db-prd', 'did you mean db-prod?'],
    ['WEB', 'did you mean web?'],
    ['tag:prd', 'did you mean tag:prod?'],
    ['nothing-like-it', 'tunnel status'],
    ['q*', 'tunnel status'],
  ])('%s is nobody: %s', (selector, hint) => {
    try {
      matchSelectors(['web', selector], known);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(TunnelError);
      expect(error).toMatchObject({
        code: 'NO_SUCH_TUNNEL',
        hint: hinting(hint),
        facts: { selectors: [selector] },
      });
    }
  });

  test('no selector and no tunnels stand for nothing, without an error', () => {
    expect(matchSelectors([], [])).toEqual([]);
  });
});

describe('globs', () => {
  test('match as a regular expression of the same meaning does', () => {
    const piece = fc.constantFrom('a', 'b', 'ab', '*', '?', '[ab]', '[!a]', '.');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.stringMatching(/^[ab.]{0,10}$/), (pieces, text) => {
        const words: Record<string, string> = { '*': '.*', '?': '.', '[!a]': '[^a]', '.': '\\.' };
        const expected = new RegExp(`^${pieces.map((each) => words[each] ?? each).join('')}$`).test(text);
        expect(globMatches(pieces.join(''), text)).toBe(expected);
      }),
    );
  });

  test('with many stars end soon', () => {
    expect(globMatches('*a'.repeat(200), 'a'.repeat(199))).toBe(false);
  });
});
