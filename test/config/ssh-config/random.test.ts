// Our parser of ssh_config against OpenSSH's own, on files nobody thought of: any text of these parts, the same answer.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../../src/config/account.ts';
import { resolveHost } from '../../../src/config/resolve-host.ts';
import { sshConfigReader } from '../../../src/config/ssh-config/ask.ts';
import { type SshAnswer, type SshFailure, readSshSettings } from '../../../src/config/ssh-config/settings.ts';
import { sshJumpNoneLeavesCommand, sshReadsWords } from '../../helpers/installed-ssh.ts';
import { createHome } from '../home.ts';

const aliases = ['a', 'b', 'Box', 'web.example', '192.0.2.7'];
const patterns = fc.constantFrom(
  ...aliases,
  '*',
  '?',
  '*.example',
  '!a',
  '!*.example',
  '"a"',
  'b?x',
  'BOX',
  '[ab]',
);
/** Older and newer ssh read quotes inside a Match list differently. */
const unquoted = patterns.filter((each) => !each.includes('"'));
const user = fc.constantFrom('bob', 'root', '"al ice"', 'dom\\user');
const path = fc.constantFrom(
  '~/.ssh/k1',
  '/abs/key',
  '"~/my key"',
  "~/it\\'s",
  '~/a\\ b',
  '~/.ssh/%r@%h_%p',
  '${HOME}/k',
  'none',
  '~/x#y',
);
const hop = fc.constantFrom('gate', 'bob@gate:2200', '[2001:db8::1]:22', 'ssh://u@gate:24', 'x@y@gate');
const list = <T extends string>(item: fc.Arbitrary<T>, by: string): fc.Arbitrary<string> =>
  fc.array(item, { minLength: 1, maxLength: 3 }).map((items) => items.join(by));

const setting = fc.oneof(
  fc.tuple(
    fc.constant('HostName'),
    fc.constantFrom('real.example', '%h.internal', 'Real.X', '192.0.2.8', 'x%%y'),
  ),
  fc.tuple(fc.constant('Port'), fc.constantFrom('22', '2222', '022', '"65535"', '0', '65536', 'x')),
  fc.tuple(fc.constant('User'), user),
  fc.tuple(fc.constantFrom('IdentityFile', 'IdentityFile2', 'CertificateFile'), path),
  fc.tuple(
    fc.constant('ProxyJump'),
    fc.oneof(
      list(hop, ','),
      // Some ssh switch ProxyCommand off by it.
      fc.constantFrom(...(sshJumpNoneLeavesCommand ? ['none', 'NONE'] : []), 'a,,b'),
    ),
  ),
  fc.tuple(fc.constant('ProxyCommand'), fc.constantFrom('none', 'nc %h %p', '"/my nc" %h # x', "sh -c 'nc'")),
  fc.tuple(
    fc.constant('IdentityAgent'),
    fc.constantFrom('none', 'SSH_AUTH_SOCK', '$AGENT', '${AGENT}', '/run/a'),
  ),
  fc.tuple(
    fc.constant('UserKnownHostsFile'),
    fc.constantFrom('none', '/dev/null', '/kh /x', '/a /b /c', '/x none'),
  ),
  fc.tuple(
    fc.constant('StrictHostKeyChecking'),
    fc.constantFrom('yes', 'NO', 'ask', 'off', 'accept-new', 'maybe'),
  ),
  fc.tuple(fc.constant('HostKeyAlias'), fc.constantFrom('alias', 'Alias.X')),
  fc.tuple(
    fc.constantFrom('ConnectTimeout', 'ServerAliveInterval'),
    fc.constantFrom('7', '1m30', 'none', '0'),
  ),
  fc.tuple(
    fc.constantFrom(
      'PasswordAuthentication',
      'ChallengeResponseAuthentication',
      'KbdInteractiveAuthentication',
    ),
    fc.constantFrom('yes', 'no', 'FALSE'),
  ),
  fc.tuple(fc.constant('Ciphers'), fc.constantFrom('aes128-ctr', 'aes256-ctr,aes128-ctr', 'rot13')),
);

const criterion = fc.oneof(
  fc
    .tuple(fc.constantFrom('host', 'originalhost', 'HOST'), list(unquoted, ','))
    .map((both) => both.join(' ')),
  fc.constantFrom('user bob', 'user !bob,*', 'localuser *', 'host=a', 'final', 'canonical', '!final'),
);
const block = fc.oneof(
  list(patterns, ' ').map((all) => ['Host', all] as const),
  list(criterion, ' ').map((all) => ['Match', all] as const),
  fc.constantFrom('all', '!all', 'final all').map((all) => ['Match', all] as const),
);
const line = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: setting }, { weight: 2, arbitrary: block }),
    fc.constantFrom('', '  ', '\t'),
    fc.constantFrom<(word: string) => string>(
      (word) => word,
      (word) => word.toUpperCase(),
      (word) => word.toLowerCase(),
    ),
    fc.constantFrom(' ', '\t', '=', ' = ', '  '),
    fc.constantFrom('', '', ' ', ' # c "', '\t#'),
    fc.constantFrom('\n', '\r\n', '\n\n', '\n# comment\n', ' \f\n'),
  )
  .map(([[keyword, value], indent, spell, between, tail, end]) => {
    const behind = keyword === 'ProxyCommand' ? '' : tail;
    return `${indent}${spell(keyword)}${between}${value}${behind}${end}`;
  });
const file = fc.array(line, { maxLength: 14 }).map((lines) => lines.join(''));

/** What both must agree on: that it fails, or the whole host and its jumps. */
function gist(answer: SshAnswer | SshFailure, name: string, account: Account): unknown {
  if ('failure' in answer) return 'refused';
  const settings = readSshSettings(answer.values);
  const rest = { behindJump: false, exists: () => false, warn: () => undefined };
  return { jump: settings.proxyJump, ...resolveHost({ name, layers: [], ssh: settings, account, ...rest }) };
}

// An ssh before 8.7 reads quotes and comments otherwise: nearly every file would differ.
describe.skipIf(!sshReadsWords)('without ssh, any ssh_config reads as with it', () => {
  test('whatever its lines', async () => {
    await fc.assert(
      fc.asyncProperty(file, file, fc.constantFrom(...aliases), async (config, included, alias) => {
        const home = createHome({ AGENT: '/run/agent.sock' });
        const more = home.write('more', included);
        home.write('.ssh/config', config.replace('CertificateFile /abs/key', `Include ${more}`));
        const query = { alias, user: null, port: null };
        const ours = await sshConfigReader(home.account, false)(query);
        const theirs = await sshConfigReader(home.account, true)(query);
        expect(gist(ours, alias, home.account)).toEqual(gist(theirs, alias, home.account));
      }),
      { numRuns: Number(process.env['FUZZ_RUNS'] ?? 50) },
    );
  });
});
