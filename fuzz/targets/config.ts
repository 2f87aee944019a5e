// The config file: whatever is in it, problems with their places, or tunnels that are wholly resolved.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Account } from '../../src/config/account.ts';
import { combine } from '../../src/config/combine.ts';
import { summarizeProject } from '../../src/config/consent.ts';
import { formatIssue } from '../../src/config/issue.ts';
import { parseFile } from '../../src/config/parse.ts';
import { resolveConfig } from '../../src/config/resolve.ts';
import type { AskSsh } from '../../src/config/ssh-config/settings.ts';
import { isVisible } from '../../src/model/clean.ts';
import { corpusOf, inherited, type Target } from '../target.ts';

const account: Account = {
  env: { HOME: '/home/me' },
  platform: 'linux',
  uid: 0,
  home: '/home/me',
  tmpdir: '/tmp',
  hostname: 'here',
  cwd: '/',
  user: 'me',
  passwdHome: '/home/me',
};
const file = '/home/me/tunnels.yaml';
const askSsh: AskSsh = () =>
  Promise.resolve({ values: new Map(), unsupported: { user: [], system: [] }, warnings: [] });

async function check(bytes: Buffer): Promise<string> {
  const text = bytes.toString('utf8');
  const parsed = parseFile(file, text, bytes[0] === 0x23);
  const lines = text.split(/\r\n|\r|\n/).length;
  for (const issue of parsed.issues) {
    assert(issue.line >= 1 && issue.line <= lines + 1 && issue.column >= 1, formatIssue(issue));
    assert(isVisible(issue.message) && isVisible(issue.path) && issue.message !== '');
  }
  const combined = combine([parsed], account);
  if ('issues' in combined) {
    assert(combined.issues.length > 0);
    return combined.issues.map(({ message }) => message.replace(/\d+|"[^"]*"|\*\S+/g, '')).join('; ');
  }
  const { config } = combined;
  for (const name of [...config.hosts.keys(), ...config.tunnels.keys()])
    assert.match(name, /^[A-Za-z0-9][A-Za-z0-9._-]*$/);
  const summary = summarizeProject(config);
  assert(summary.every(({ items }) => items.every(isVisible)));
  const reader = { account, askSsh };
  const resolved = await resolveConfig(config, { ...reader, readerFor: () => reader, exists: () => false });
  return `${summary.map(({ what }) => what).join()} ${resolved.problems.map(({ message }) => message.slice(0, 24)).join()}`;
}

export const configTarget: Target = {
  name: 'config',
  corpus: [
    ...corpusOf('config/faults', 'fuzz/config'),
    readFileSync(join(import.meta.dirname, '../../tunnels.example.yaml')),
  ],
  words: [
    ...inherited.map((name) => `${name}: `),
    '&a ',
    '*a',
    '<<: *a',
    '? ',
    '- ',
    '| \n',
    '!!map ',
    '%YAML 1.1\n---\n',
    '{',
    '}',
    '[',
    ']',
    ': ',
    '#',
    'host: ',
    'local: ',
    'remote: ',
    'type: dynamic',
    'jump: ',
    'forwards: ',
    'env: ',
    '~',
    '\t',
    '\u202e',
    '0.0.0.0:1',
    '"[::1]:22"',
    '"*:80"',
    '3000-3005',
    'auto',
    '30s',
    'command:[a]',
    'file:/x',
    'env:A',
  ],
  check,
};
