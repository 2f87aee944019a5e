// Every fault of a config file: test/fixtures/config/faults holds one file a fault, its `#! ` lines say what must be told.
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../helpers/config.ts';
import { ConfigError, formatIssue } from '../../src/config/issue.ts';
import { hinting, hintOf } from '../helpers/hint.ts';

const folder = resolve(import.meta.dirname, '../fixtures/config/faults');
const names = readdirSync(folder).sort();

/** The text without what is expected of it, and that: "LINE:COLUMN PATH: MESSAGE  (HINT)". */
function fixture(name: string): { text: string; expected: string[] } {
  const lines = readFileSync(join(folder, name), 'utf8').split('\n');
  return {
    text: lines.filter((line) => !line.startsWith('#! ')).join('\n'),
    expected: lines.filter((line) => line.startsWith('#! ')).map((line) => line.slice(3)),
  };
}

function told(text: string): string[] {
  const read = parseConfig('/somewhere/tunnels.yaml', text);
  if (!('issues' in read)) return [];
  return read.issues.map((issue) => {
    const line = formatIssue(issue);
    expect(line).toMatch(/^tunnels\.yaml:\d+:\d+ /);
    return line.slice('tunnels.yaml:'.length) + (issue.hint === null ? '' : `  (${hintOf(issue)})`);
  });
}

describe('a config file with faults', () => {
  test.each(names)('%s is told every one of them, each at its place', (name) => {
    const { text, expected } = fixture(name);
    expect(told(text)).toEqual(expected);
    if (name !== 'same-address-allowed.yaml') expect(expected.length).toBeGreaterThan(0);
  });

  test('a literal secret is in no message', () => {
    const lines = told(fixture('literal-password.yaml').text).join('\n');
    expect(lines).not.toContain('hunter2');
    expect(lines).not.toContain('12345678');
  });

  test('control characters of the file are in no message', () => {
    const text =
      'tunnels:\n  "a\\e[31mb": { host: h, local: 1, remote: 2 }\n  c: { "\\u202Ex": 1, host: "\\e]0;x" }\n';
    // eslint-disable-next-line no-control-regex
    expect(told(text).join('\n')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e]/);
    expect(told(text).length).toBeGreaterThan(2);
  });

  test('a file of deep brackets or of 5 MB is refused, not a crash', () => {
    expect(told('['.repeat(20_000))).toEqual(['1:1 is nested too deeply']);
    expect(told(`a: ${'x'.repeat(5 * 1024 * 1024)}`)).toEqual(['1:1 is larger than 4 MiB']);
  });

  test('the error of it holds all issues, and the first in its message', () => {
    const read = parseConfig('/somewhere/tunnels.yaml', fixture('bad-port.yaml').text);
    const error = new ConfigError('/somewhere/tunnels.yaml', 'issues' in read ? read.issues : []);
    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      hint: hinting('tunnel check'),
      message:
        'config failed, on tunnels.yaml: tunnels.yaml:4:12 tunnels.db.local: must be 1-65535 (and 5 more)',
    });
    expect(error.issues).toHaveLength(6);
  });
});
