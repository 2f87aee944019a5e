// Hints under --config: what is pasted must mean the same config.
import { describe, expect, test } from 'vitest';
import { forConfig } from '../../src/cli/hints.ts';

describe('a hint', () => {
  test.each([
    ['tunnel up', 'tunnel -c x.yaml up'],
    ['tunnel why db    # or tunnel logs db', 'tunnel -c x.yaml why db    # or tunnel -c x.yaml logs db'],
    ['kill 5 && tunnel up', 'kill 5 && tunnel -c x.yaml up'],
    ['it goes on: tunnel status db', 'it goes on: tunnel -c x.yaml status db'],
    ['tunnel --config y.yaml down', 'tunnel --config y.yaml down'],
    ['tunnel -c y.yaml down\ntunnel up --remap db', 'tunnel -c y.yaml down\ntunnel -c x.yaml up --remap db'],
    ['tunnel up -c y.yaml db', 'tunnel up -c y.yaml db'],
    ['the tunnel updates', 'the tunnel updates'],
    ['tunnel-up', 'tunnel-up'],
    ['tunnel --help', 'tunnel --help'],
  ])('%s names the config that was named', (hint, expected) => {
    expect(forConfig(hint, 'x.yaml')).toBe(expected);
    expect(forConfig(hint, undefined)).toBe(hint);
  });

  test('quotes a file that a shell would split', () => {
    expect(forConfig('tunnel up', "it's $1.yaml")).toBe(String.raw`tunnel -c 'it'\''s $1.yaml' up`);
  });
});
