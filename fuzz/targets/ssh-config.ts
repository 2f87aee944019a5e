// ssh_config: our own reader of the files, and the reader of what `ssh -G` prints.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Account } from '../../src/config/account.ts';
import { readOutput } from '../../src/config/ssh-config/ask.ts';
import { parseSshConfig } from '../../src/config/ssh-config/parser.ts';
import {
  readSshSettings,
  sshProblems,
  sshWarnings,
  trustKeysIn,
  type SshValues,
} from '../../src/config/ssh-config/settings.ts';
import { corpusOf, inherited, type Target } from '../target.ts';

const home = mkdtempSync(join(process.env['TUNNEL_TEST_ROOT'] ?? tmpdir(), 'fuzz-ssh-'));
mkdirSync(join(home, '.ssh'), { mode: 0o700 });
const file = join(home, '.ssh', 'config');
const account: Account = {
  env: { HOME: home },
  platform: process.platform,
  uid: process.geteuid?.() ?? 0,
  home,
  tmpdir: tmpdir(),
  hostname: 'here',
  cwd: '/',
  user: 'me',
  passwdHome: '/nowhere', // another than $HOME: the system's file does not count
};

function settingsOf(values: SshValues): string {
  const settings = readSshSettings(values);
  for (const name of inherited) assert(!Object.hasOwn(settings, name));
  const { port, connectTimeoutMs = 0 } = settings;
  assert(port === undefined || Number.isInteger(port));
  assert(connectTimeoutMs >= 0 && connectTimeoutMs < 2 ** 31);
  assert((settings.identities ?? []).every((each) => typeof each === 'string'));
  const told = [...sshProblems(values, 'box'), ...sshWarnings(values, 'box'), ...trustKeysIn(values)];
  return `${Object.keys(settings).join()} ${told.length}`;
}

export const sshConfigTarget: Target = {
  name: 'ssh_config',
  corpus: corpusOf('fuzz/ssh_config'),
  words: [
    ...inherited,
    'Host ',
    'Match ',
    'Match host ',
    'Match final ',
    'Include ',
    '~/',
    '%h',
    '%%',
    '%',
    '${HOME}',
    '"',
    '=',
    'ProxyJump a,b',
    'ProxyCommand ',
    'Port 22',
    'ConnectTimeout 1m30',
    'IdentityFile ~/',
    '!',
    '*',
    '?',
    '\\',
    'none',
    'yes',
    'IgnoreUnknown *',
    'UserKnownHostsFile ',
    'Ciphers +',
    'SendEnv ',
    '\r\n',
    '\f',
    '\0',
  ],
  check(bytes) {
    writeFileSync(file, bytes, { mode: 0o600 });
    const answer = parseSshConfig({ alias: 'box', user: null, port: null }, account);
    if ('failure' in answer) {
      // With the line, or with the words that only a value of the whole has.
      assert(answer.failure !== '' && !/undefined|\[object/.test(answer.failure), answer.failure);
      return answer.failure
        .replaceAll(home, '')
        .replace(/\d+|".*"/gs, '')
        .slice(0, 40);
    }
    return settingsOf(answer.values);
  },
};

export const sshAnswerTarget: Target = {
  name: 'ssh-G',
  corpus: corpusOf('fuzz/ssh-G'),
  words: [
    ...inherited.map((name) => `${name} `),
    'hostname ',
    'port ',
    'user ',
    'proxyjump ',
    'identityfile ',
    'connecttimeout ',
    '\n',
    ' ',
    'none',
    'yes',
    'userknownhostsfile /a /b',
    'stricthostkeychecking ',
    'preferredauthentications ',
    'ciphers a,b',
  ],
  check: (bytes) => settingsOf(readOutput(bytes.toString('utf8'))),
};
