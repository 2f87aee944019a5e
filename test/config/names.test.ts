// The names of a config, found without a YAML reader: the same as its reader finds, and some where that finds none.
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { namesIn } from '../../src/config/names.ts';

/** What YAML says. */
function meant(text: string): ReturnType<typeof namesIn> {
  const list = (value: unknown): string[] => (value === undefined ? [] : [value].flat().map(String));
  const file = parse(text) as {
    tunnels?: Record<string, { tags?: unknown }>;
    hosts?: object;
    include?: unknown;
  };
  return {
    tunnels: Object.entries(file.tunnels ?? {}).map(([name, { tags }]) => ({ name, tags: list(tags) })),
    hosts: Object.keys(file.hosts ?? {}),
    includes: list(file.include),
  };
}

test.each([
  [
    'blocks',
    'hosts:\n  a:\n    user: me\n\ntunnels:\n  # one\n  db:\n    host: a # there\n    tags:\n    - x\n    - y\n  web:\n    tags: z\n',
  ],
  [
    'maps on a line',
    'tunnels:\n  db: { host: a, tags: [x, "y"], env: { A: "b, c: d" } }\n  web: {host: b}\nhosts: { a: { user: me }, b: {} }\n',
  ],
  ['JSON', '{ "tunnels": { "db": { "host": "a",\n "tags": ["x"] },\n "web": {} }, "hosts": { "a": {} } }'],
  [
    'indented by four, quoted keys, a document mark',
    '---\ntunnels:\n    "db":\n        host: a\n    \'web\':\n        host: b\ninclude: [one.yaml, "two.yaml"]\n',
  ],
  ['includes as a list', 'include:\n  - ~/a.yaml\n  - b.yaml\ntunnels:\n  db: {}\n'],
  ['anchors', 'x: &base { host: a }\ntunnels:\n  db: &db\n    host: a\n    tags: [x]\n  web: { <<: *db }\n'],
])('of %s are those that YAML finds', (_, text) => {
  const { tunnels, ...rest } = namesIn(text);
  const right = meant(text.replace('<<: *db', ''));
  expect({ tunnels, ...rest }).toEqual(right);
});

test('of the example are those that YAML finds', () => {
  const text = readFileSync(resolve(import.meta.dirname, '../../tunnels.example.yaml'), 'utf8');
  expect(namesIn(text)).toEqual(meant(text));
});

test.each([
  ['tunnels:\n  db: { host: [\n  web:\n', ['db', 'web']],
  ['tunnels:\n  : :\n  ok: 1\n\tdb: x\n', ['ok']],
  ['tunnels: { a: { b: 1', ['a']],
  ['tunnels:\n  "$(x)": {}\n  -rf: {}\n  a b: {}\n', []],
  ['tunnels: db\n', []],
  ['', []],
])('of the broken %j are what can be made out, and none that a shell could act on', (text, names) => {
  expect(namesIn(text).tunnels.map(({ name }) => name)).toEqual(names);
});
