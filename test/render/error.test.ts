// Errors on a terminal: the two lines, and nothing in them that a terminal would obey.
import { describe, expect, test } from 'vitest';
import type { Hint } from '../../src/errors.ts';
import { paintOf } from '../../src/render/color.ts';
import { documentText, hintText, renderError } from '../../src/render/error.ts';

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

describe('a hint', () => {
  const up = { command: 'up' };
  const remap = { command: 'up --remap', on: { tunnel: 'db' } };
  test.each<[Hint, string, string]>([
    [up, 'tunnel up', 'tunnel -c x.yaml up'],
    [
      [{ command: 'why', on: { tunnel: 'db' } }, '    # or ', { command: 'logs', on: { words: ['db'] } }],
      'tunnel why db    # or tunnel logs db',
      'tunnel -c x.yaml why db    # or tunnel -c x.yaml logs db',
    ],
    [['kill 5 && ', up], 'kill 5 && tunnel up', 'kill 5 && tunnel -c x.yaml up'],
    [
      ['it goes on: ', { command: 'status', on: { words: ['db', 'tag:a b'] } }],
      "it goes on: tunnel status db 'tag:a b'",
      "it goes on: tunnel -c x.yaml status db 'tag:a b'",
    ],
    ['tunnel --config y.yaml down', 'tunnel --config y.yaml down', 'tunnel --config y.yaml down'],
    [
      ['tunnel -c y.yaml down\n', remap],
      'tunnel -c y.yaml down\ntunnel up --remap db',
      'tunnel -c y.yaml down\ntunnel -c x.yaml up --remap db',
    ],
    ['the tunnel updates', 'the tunnel updates', 'the tunnel updates'],
    ['tunnel --help', 'tunnel --help', 'tunnel --help'],
    [
      { command: 'trust', on: { host: 'katie' }, flags: '--replace', note: 'only when it is right' },
      'tunnel trust katie --replace    # only when it is right',
      'tunnel -c x.yaml trust katie --replace    # only when it is right',
    ],
    [
      { command: 'up --remap', on: { tunnel: null }, note: 'port 2 is free' },
      'tunnel up --remap    # port 2 is free',
      'tunnel -c x.yaml up --remap    # port 2 is free',
    ],
    [
      { command: 'secret set', on: { words: ["/a b's"] }, flags: 'passphrase' },
      String.raw`tunnel secret set '/a b'\''s' passphrase`,
      String.raw`tunnel -c x.yaml secret set '/a b'\''s' passphrase`,
    ],
    [{ meant: 'db', insteadOf: 'bd' }, 'did you mean db?', 'did you mean db?'],
  ])('%j names the config that was named', (hint, plainly, named) => {
    expect(hintText(hint)).toBe(plainly);
    expect(hintText(hint, 'x.yaml')).toBe(named);
  });

  test('quotes a file that a shell would split', () => {
    expect(hintText(up, "it's $1.yaml")).toBe(String.raw`tunnel -c 'it'\''s $1.yaml' up`);
  });

  test('is a text in every document, and only the hint of an error is', () => {
    const error = { code: 'NOT_UP', message: 'db is down', hint: { command: 'up', on: { tunnel: 'db' } } };
    const document = { tunnels: [{ error, lastError: null }], hosts: { hint: { command: ['a'] } } };
    expect(JSON.parse(documentText(document))).toEqual({
      tunnels: [{ error: { ...error, hint: 'tunnel up db' }, lastError: null }],
      hosts: { hint: { command: ['a'] } },
    });
    expect(documentText({ message: 'x', hint: null })).toBe('{"message":"x","hint":null}');
  });
});
