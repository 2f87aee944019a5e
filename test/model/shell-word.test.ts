// Shell words: what a shell makes of them is what they were.
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { shellWord } from '../../src/model/shell-word.ts';

const marks = [
  'a',
  'b',
  ' ',
  '/',
  ';',
  '$',
  '`',
  '"',
  "'",
  '\\',
  '*',
  '?',
  '(',
  '{',
  '|',
  '&',
  '<',
  '!',
  '#',
  '~',
  '-',
];

describe('a word for a shell', () => {
  test.each([
    ['/home/me/tunnels.yaml', '/home/me/tunnels.yaml'],
    ['[127.0.0.1]:22', "'[127.0.0.1]:22'"],
    ['/tmp/a b;id', "'/tmp/a b;id'"],
    ["it's", String.raw`'it'\''s'`],
    ['', "''"],
    ['~/my key', "~/'my key'"],
    ['a\u001b[31m b', String.raw`$'a\x1b[31m b'`],
    ["it's\n\u202e", String.raw`$'it\'s\x0a\xe2\x80\xae'`],
  ])('%s is written %s', (word, written) => {
    expect(shellWord(word)).toBe(written);
  });

  test('comes back whole from bash, whatever is in it', () => {
    const odd = [
      'a',
      '1',
      ' ',
      "'",
      '\\',
      '\n',
      '\t',
      '\u001b',
      '\u007f',
      '\u009b',
      'ä',
      '\u202e',
      '\u{e0041}',
    ];
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...odd), minLength: 1 }), (word) => {
        const said = execFileSync('bash', ['-c', `printf %s ${shellWord(word)}`]);
        expect(said.toString()).toBe(word);
      }),
      { numRuns: 25 },
    );
  });

  test('comes back whole from a shell', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...marks), minLength: 1 }), (word) => {
        const said = execFileSync('/bin/sh', ['-c', `printf %s ${shellWord(word.replace(/^~/, 'x'))}`]);
        expect(said.toString()).toBe(word.replace(/^~/, 'x'));
      }),
      { numRuns: 25 },
    );
  });
});
