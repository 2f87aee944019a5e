// Editing the text: what is not concerned stays as it is, comments and all.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { addTunnel, removeTunnel } from '../../src/config/edit.ts';

const tunnel = { host: 'katie', local: 5432, remote: 'db:5432' };
const added = '  new:\n    host: katie\n    local: 5432\n    remote: db:5432\n';

const commented = `# head
version: 1   # one

hosts:
  katie: { hostname: k.x } # the server
tunnels:
  # first
  a:   # name
    host:   katie   # spaced
    local: 1
    remote: 2
    # behind a

  # second
  b: { host: katie, local: 3, remote: 4 } # flow
  # behind b

# tail
notify: false
`;

describe('a tunnel added', () => {
  test('stands behind the others, and nothing else moves', () => {
    const text = addTunnel(commented, 'new', tunnel);
    expect(text).toBe(commented.replace('# flow\n', `# flow\n${added}`));
  });

  test('takes the indent of the others', () => {
    expect(addTunnel('tunnels:\n    a:\n        host: x\n', 'new', { host: 'h' })).toBe(
      'tunnels:\n    a:\n        host: x\n    new:\n      host: h\n',
    );
  });

  test.each([
    ['', `tunnels:\n${added}`],
    ['hosts: {}', `hosts: {}\ntunnels:\n${added}`],
    ['tunnels:\n', `tunnels:\n${added}`],
    ['tunnels: # none yet\nversion: 1\n', `tunnels: # none yet\n${added}version: 1\n`],
    ['tunnels: {}\nversion: 1\n', `tunnels:\n${added}version: 1\n`],
    ['tunnels: {} # none\n', `tunnels: # none\n${added}`],
  ])('to %j gives %j', (before, after) => {
    expect(addTunnel(before, 'new', tunnel)).toBe(after);
  });

  test('to a flow map still means what it should', () => {
    const text = addTunnel('tunnels: { a: { host: x } }\n', 'new', tunnel);
    expect(parse(text)).toEqual({ tunnels: { a: { host: 'x' }, new: tunnel } });
  });

  test('of a name that is taken, or to broken YAML, is refused', () => {
    expect(() => addTunnel(commented, 'a', tunnel)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(() => addTunnel('tunnels: {', 'a', tunnel)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });

  test('means the same whatever its values, and goes without a trace', () => {
    const value = fc.oneof(
      fc.string(),
      fc.integer(),
      fc.boolean(),
      fc.array(fc.string(), { minLength: 1, maxLength: 3 }),
    );
    const keys = fc.dictionary(fc.stringMatching(/^[a-z_]{1,9}$/), value, { minKeys: 1, maxKeys: 5 });
    fc.assert(
      fc.property(
        keys,
        fc.constantFrom(commented, '', 'tunnels: {}\n', 'tunnels:\n  x: { host: y }\n'),
        (keys, text) => {
          const one = addTunnel(text, 'new', keys);
          expect((parse(one) as { tunnels: object }).tunnels).toMatchObject({ new: { ...keys } });
          if (text === commented) expect(removeTunnel(one, 'new')).toBe(text);
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe('a tunnel removed', () => {
  test('takes its own lines and no others', () => {
    expect(removeTunnel(commented, 'b')).toBe(
      commented.replace('  b: { host: katie, local: 3, remote: 4 } # flow\n', ''),
    );
    expect(removeTunnel(commented, 'a')).toBe(commented.replace(/ {2}a: {3}# name\n.*\n.*\n.*\n/, ''));
  });

  test('as the last leaves an empty map', () => {
    const text = removeTunnel('# c\ntunnels:\n  a:\n    host: x\n', 'a');
    expect(parse(text)).toEqual({ tunnels: {} });
    expect(text).toContain('# c');
  });

  test('that is not there is NO_SUCH_TUNNEL; one whose anchor is used elsewhere stays', () => {
    expect(() => removeTunnel(commented, 'x')).toThrow(expect.objectContaining({ code: 'NO_SUCH_TUNNEL' }));
    expect(() => removeTunnel('tunnels:\n  a: &a { host: x }\n  b: { <<: *a, local: 1 }\n', 'a')).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
  });
});
