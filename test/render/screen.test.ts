// The live screen, tables and error lines.
import { describe, expect, test } from 'vitest';
import { Chalk } from 'chalk';
import type { ErrorReport } from '../../src/errors.ts';
import { plain } from '../../src/render/color.ts';
import { groupFailures, listNames, renderError } from '../../src/render/error.ts';
import { cut, redraw, withFoot } from '../../src/render/screen.ts';
import { renderTable } from '../../src/render/table.ts';
import { displayWidth, shorten, wrap } from '../../src/render/width.ts';

const size = { rows: 4, columns: 10 };

describe('screen', () => {
  test('writes only the lines that changed', () => {
    expect(redraw(['a', 'b'], ['a', 'c'], size)).toBe('\u001b[2;1H\u001b[2Kc');
    expect(redraw(['a'], ['a'], size)).toBe('');
  });

  test('clears what is gone', () => {
    expect(redraw(['a', 'b', 'c'], ['a'], size)).toBe('\u001b[2;1H\u001b[0J');
  });

  test('never wraps nor scrolls', () => {
    const lines = ['1', '2', '3', '4', '5', '6'];
    expect(redraw([], lines, size)).toContain('… 3 more …');
    expect(displayWidth(cut('0123456789abc', 10))).toBe(10);
    expect(cut(new Chalk({ level: 1 }).red('0123456789abc'), 10)).toBe('\u001b[31m012345678…\u001b[0m');
  });
});

test('a foot is seen however long the rest is', () => {
  expect(withFoot(['1', '2'], ['sum'], 4)).toEqual(['1', '2', 'sum']);
  expect(withFoot(['1', '2', '3', '4', '5'], ['sum'], 4)).toEqual(['1', '2', '… 3 more lines', 'sum']);
});

test.each([
  ['katie.example.org:12000', 14, 'katie.e…:12000'],
  ['katie', 14, 'katie'],
  ['日本日本日本', 7, '日…本'],
  ['abc', 2, 'ab'],
])('%s in %i columns', (text, columns, expected) => {
  expect(shorten(text, columns)).toBe(expected);
  expect(displayWidth(expected)).toBeLessThanOrEqual(columns);
});

test('lines break between words only', () => {
  expect(wrap('no answer from /a/very/long/path here', 10)).toEqual([
    'no answer',
    'from',
    '/a/very/long/path',
    'here',
  ]);
  expect(wrap('', 10)).toEqual(['']);
});

describe('table', () => {
  test('aligns wide characters and leaves no spaces at the end', () => {
    expect(renderTable(['A', 'B'], [{ cells: ['日本', 'x'] }, { cells: ['y', ''] }], plain)).toEqual([
      'A     B',
      '日本  x',
      'y',
    ]);
  });
});

describe('errors', () => {
  test('read as a sentence and a hint', () => {
    expect(
      renderError({ message: 'connect failed, on katie:22: refused', hint: 'tunnel why katie' }, plain),
    ).toEqual(['tunnel: connect failed, on katie:22: refused', 'hint: tunnel why katie']);
    expect(renderError({ message: 'x', hint: null }, plain)).toEqual(['tunnel: x']);
  });

  test('that many tunnels share are said once', () => {
    const error = { code: 'UNREACHABLE' as const, message: 'm', hint: null };
    const other = { code: 'LISTEN_FAILED' as const, message: 'n', hint: null };
    expect(
      groupFailures<ErrorReport>([
        { tunnel: 'a', error },
        { tunnel: 'b', error: other },
        { tunnel: 'c', error },
      ]),
    ).toEqual([
      { tunnels: ['a', 'c'], error },
      { tunnels: ['b'], error: other },
    ]);
    expect(listNames(['a', 'b', 'c'])).toBe('a, b and c');
    expect(listNames(['a', 'b', 'c', 'd', 'e'])).toBe('a, b and 3 more');
  });
});
