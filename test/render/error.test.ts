// Errors on a terminal: the two lines, and nothing in them that a terminal would obey.
import { expect, test } from 'vitest';
import { paintOf } from '../../src/render/color.ts';
import { renderError } from '../../src/render/error.ts';

const plain = await paintOf(0);

test('an error is its sentence, and a hint a line', () => {
  const error = { message: 'config failed, on x: broken', hint: 'tunnel check\ntunnel up    # then' };
  expect(renderError(error, plain)).toEqual([
    'tunnel: config failed, on x: broken',
    'hint: tunnel check',
    'hint: tunnel up    # then',
  ]);
});

test('a name with blanks is still that name in the command', () => {
  expect(renderError({ message: 'x', hint: "ls -l '/a  b'" }, plain)[1]).toBe("hint: ls -l '/a  b'");
});

test('names in it cannot speak to the terminal', () => {
  const folder = '/tmp/a\u001b[2J\u001b]0;title\u0007\u202eb\u009b31m';
  const error = { message: `config failed, on ${folder}: broken`, hint: `chmod go-w ${folder}` };
  expect(renderError(error, plain)).toEqual([
    'tunnel: config failed, on /tmp/ab: broken',
    'hint: chmod go-w /tmp/ab',
  ]);
});
