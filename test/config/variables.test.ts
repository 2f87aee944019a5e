// `env:` of a tunnel: names, refused names, what is filled in, each told where it stands.
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../helpers/config.ts';

function messages(tunnel: string, defaults = '{}'): readonly string[] {
  const text = `defaults: ${defaults}\ntunnels:\n  t: { host: h, ${tunnel} }\n`;
  const read = parseConfig('/c/tunnels.yaml', text);
  return 'issues' in read ? read.issues.map(({ message }) => message) : [];
}

const forward = 'local: 1, remote: 2';
const refused = /decides what a program or a shell runs/;

describe('env:', () => {
  test.each([
    'A: b',
    '_a1: 3',
    'A: true',
    'A: ""',
    'A: "{host} {port} {address}"',
    `A: '{"a":1}'`,
    'A: "1\\n2"',
  ])('takes %s', (entry) => expect(messages(`${forward}, env: { ${entry} }`)).toEqual([]));

  test.each<[string, RegExp]>([
    ['1A: b', /is not the name of a variable/],
    ['A-B: b', /is not the name of a variable/],
    ['"A\\n": b', /is not the name of a variable/],
    ['A: [b]', /must be text/],
    ['A: "\\u001b[31m"', /can be seen/],
    ['A: "\\0"', /can be seen/],
    ['A: "{prot}"', /\{host\}, \{port\} and \{address\} are filled in/],
  ])('refuses %s', (entry, message) => {
    expect(messages(`${forward}, env: { ${entry} }`)).toEqual([expect.stringMatching(message)]);
  });

  test.each([
    [
      'type: remote, remote: 1, local: 2',
      'A: "{port}"',
      /cannot fill in \{port\} of A: the tunnel has no local port/,
    ],
    ['local: /l.sock, remote: 2', 'A: "{host}"', /cannot fill in \{host\} of A: a Unix socket has only/],
  ])('of %s refuses %s', (forwards, entry, message) => {
    expect(messages(`${forwards}, env: { ${entry} }`)).toEqual([expect.stringMatching(message)]);
    expect(messages(forwards, `{ env: { ${entry} } }`)).toEqual([expect.stringMatching(message)]);
  });

  test.each([
    'PATH',
    'path',
    'IFS',
    'ENV',
    'SHELL',
    'BASH_ENV',
    'LD_PRELOAD',
    'DYLD_X',
    'NODE_OPTIONS',
    'GIT_SSH',
    'PYTHONPATH',
  ])('refuses to set %s', (name) => {
    expect(messages(`${forward}, env: { ${name}: x }`)).toEqual([expect.stringMatching(refused)]);
  });

  test('of a Unix socket has an address', () => {
    expect(messages('local: /l.sock, remote: 2, env: { A: "{address}" }')).toEqual([]);
  });
});
