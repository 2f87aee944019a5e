// Our parser of ssh_config against OpenSSH's own: the same file, the same question, the same hosts hop by hop.
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Account } from '../../../src/config/account.ts';
import { parseConfig } from '../../helpers/config.ts';
import { resolveConfig } from '../../../src/config/resolve.ts';
import { sshConfigReader } from '../../../src/config/ssh-config/ask.ts';
import type { Way } from '../../../src/model/host.ts';
import {
  sshInstalled,
  sshJumpNoneLeavesCommand,
  sshReadsWords,
  sshTakes,
} from '../../helpers/installed-ssh.ts';
import { createHome } from '../home.ts';

interface Case {
  readonly name: string;
  /** ~/.ssh/config; HOME stands for the home of the test. */
  readonly config: string;
  /** Further files, by path below the home. */
  readonly files?: Readonly<Record<string, string>>;
  /** The words after `host:`. */
  readonly hosts: readonly string[];
  /** Further keys of the tunnel, as YAML in braces. */
  readonly keys?: string;
  /** False where the installed ssh is one that reads this otherwise, or refuses it; ours reads as OpenSSH 10. */
  readonly same?: boolean;
}

const cases: readonly Case[] = [
  { name: 'no file for this host', config: 'Host other\n  Port 1\n', hosts: ['box', 'me@box:2200'] },
  {
    name: 'HostName, User and Port',
    config: 'Host box\n  HostName box.example\n  User bob\n  Port 2222\n',
    hosts: ['box', 'me@box', 'box:99'],
  },
  { name: 'a HostName with tokens', config: 'Host a b\n  HostName %h.example.com\n', hosts: ['a', 'b', 'c'] },
  {
    name: 'the first value wins',
    config: 'Host a\n  Port 1\nHost *\n  Port 2\n  User u\nHost a\n  User v\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'wildcards and negation',
    config: 'Host *.x !b.x\n  Port 1\nHost ?\n  Port 2\nHost *\n  User last\n',
    hosts: ['a.x', 'b.x', 'q', 'qq'],
  },
  {
    name: 'patterns are case-sensitive',
    config: 'Host Box\n  Port 7\nHost box\n  Port 8\n',
    hosts: ['Box', 'box', 'BOX'],
  },
  {
    name: 'a key in any case, with = and quotes',
    config: 'host a\n  HOSTNAME = "a.example"\n  port=77\n  identityfile "~/my key"\n',
    hosts: ['a'],
  },
  { name: 'values before any Host', config: 'User everybody\nPort 5\nHost a\n  Port 6\n', hosts: ['a', 'b'] },
  {
    name: 'key files add up',
    config:
      'Host a\n  IdentityFile ~/.ssh/one\nHost *\n  IdentityFile ~/.ssh/two\n  IdentityFile ~/.ssh/one\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'tokens in key files',
    config:
      'Host a\n  HostName real.example\n  User bob\n  Port 2200\n  IdentityFile ~/.ssh/%h_%n_%r_%p_%u_%%\n  IdentityFile %d/x\n  IdentityFile ~/.ssh/%L-%l-%i-%C\n',
    hosts: ['a', 'eve@a'],
  },
  { name: 'environment in key files', config: 'Host a\n  IdentityFile ${HOME}/keys/${WHAT}\n', hosts: ['a'] },
  { name: 'IdentityFile none', config: 'Host a\n  IdentityFile none\n', hosts: ['a'] },
  {
    name: 'IdentitiesOnly and certificates',
    config:
      'Host a\n  IdentitiesOnly yes\n  IdentityFile ~/.ssh/k\n  CertificateFile ~/.ssh/k-cert.pub\n  CertificateFile ~/.ssh/%h-cert.pub\n',
    hosts: ['a'],
  },
  { name: 'IdentityAgent none', config: 'Host a\n  IdentityAgent none\n', hosts: ['a'] },
  { name: 'IdentityAgent SSH_AUTH_SOCK', config: 'Host a\n  IdentityAgent SSH_AUTH_SOCK\n', hosts: ['a'] },
  {
    name: 'IdentityAgent by a variable',
    config: 'Host a\n  IdentityAgent $AGENT\nHost b\n  IdentityAgent $NOTSET\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'IdentityAgent by path',
    config: 'Host a\n  IdentityAgent ~/.agent/%r.sock\n  User u\n',
    hosts: ['a'],
  },
  {
    name: 'percent signs and tokens, filled in once, and not in files for everybody',
    config:
      'Host a\n  HostName Real.Example\n  UserKnownHostsFile ~/k%%n-%n-%h-%r-%p %d/${WHAT}-%%h /j-%j\n  IdentityAgent ~/a%%n-%h-%C\n  GlobalKnownHostsFile /g%n-%%-${WHAT}\n  ProxyJump me@gate:23\n',
    hosts: ['a', 'you@a:77'],
    keys: 'jump: []',
    same: sshTakes('UserKnownHostsFile=%j-${HOME}'),
  },
  {
    name: 'one jump',
    config: 'Host a\n  ProxyJump b\nHost b\n  HostName b.example\n  User bob\n  Port 23\n',
    hosts: ['a'],
  },
  {
    name: 'a chain of jumps with users and ports',
    config:
      'Host a\n  ProxyJump x@b:23,c,ssh://z@d:24\nHost b\n  User not-used\n  Port 99\nHost c\n  HostName c.example\nHost d\n  User not-used\n',
    hosts: ['a'],
  },
  {
    name: 'the jump of a jump, but of the first only',
    config: 'Host a\n  ProxyJump b,c\nHost b\n  ProxyJump d\nHost c\n  ProxyJump e\n',
    hosts: ['a', 'b', 'c'],
  },
  { name: 'an IPv6 jump', config: 'Host a\n  ProxyJump u@[2001:db8::1]:24\n', hosts: ['a'] },
  {
    name: 'ProxyJump none switches it off',
    config: 'Host a\n  ProxyJump none\nHost *\n  ProxyJump b\n',
    hosts: ['a', 'c'],
    keys: 'jump: []',
  },
  {
    name: 'ProxyJump for all but the bastion',
    config: 'Host * !bastion\n  ProxyJump bastion\nHost bastion\n  HostName b.example\n',
    hosts: ['a', 'bastion'],
  },
  {
    name: 'ProxyCommand',
    config:
      'Host a\n  ProxyCommand nc -X 5 "%h" %p\nHost b\n  ProxyCommand none\nHost *\n  ProxyCommand other\n',
    hosts: ['a', 'b', 'c'],
  },
  {
    name: 'ProxyCommand before ProxyJump',
    config:
      'Host a\n  ProxyCommand nc %h %p\n  ProxyJump b\nHost c\n  ProxyJump b\n  ProxyCommand nc %h %p\n',
    hosts: ['a', 'c'],
  },
  {
    name: 'Match host',
    config:
      'Host a\n  HostName real.example\nMatch host real.example,other\n  Port 9\nMatch host a\n  User no\n',
    hosts: ['a', 'other', 'b'],
  },
  {
    name: 'Match originalhost',
    config:
      'Host a\n  HostName real.example\nMatch originalhost a\n  Port 9\nMatch !originalhost a\n  User not-a\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'Match user',
    config:
      'Match user bob\n  Port 9\nMatch user root,admin host *.x\n  Port 10\nHost q\n  User bob\nMatch user bob\n  Compression yes\n',
    hosts: ['bob@a', 'admin@a.x', 'admin@a', 'q'],
  },
  {
    name: 'Match localuser',
    config: `Match localuser ${userInfo().username}\n  Port 9\nMatch localuser nobody-of-that-name\n  Port 10\n  User x\n`,
    hosts: ['a'],
  },
  { name: 'Match all', config: 'Host a\n  Port 3\nMatch all\n  Port 4\n  User all\n', hosts: ['a', 'b'] },
  {
    name: 'Match final sees what was found',
    config:
      'Match final host real.example\n  User late\n  Port 12\nHost a\n  HostName real.example\nHost b\n  Port 3\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'Match final compares Host with the found name',
    config:
      'Host real.example\n  Port 44\nHost a\n  HostName real.example\nMatch final all\n  Compression yes\n',
    hosts: ['a'],
  },
  {
    name: 'Match canonical without canonical names',
    config: 'Match canonical all\n  Port 12\nMatch !canonical all\n  User first\n',
    hosts: ['a'],
  },
  {
    name: 'Match with several criteria',
    config: 'Host a*\n  HostName %h.x\nMatch originalhost a1 host a1.x user me\n  Port 15\n',
    hosts: ['me@a1', 'you@a1', 'me@a2'],
  },
  {
    name: 'Include at the top',
    config: 'Include HOME/.ssh/conf.d/*.conf\nHost a\n  Port 2\n',
    files: {
      '.ssh/conf.d/1.conf': 'Host a\n  User one\n',
      '.ssh/conf.d/2.conf': 'Host a\n  User two\n  Port 9\n',
      '.ssh/conf.d/.hidden.conf': 'Host a\n  Compression yes\n',
      '.ssh/conf.d/3.txt': 'Host a\n  ConnectTimeout 9\n',
    },
    hosts: ['a'],
  },
  {
    name: 'Include inside a Host block',
    config: 'Host a\n  Include HOME/more\n  Port 2\nHost b\n  Port 3\n',
    files: { more: 'User inc\nHost zzz\n  Port 77\n' },
    hosts: ['a', 'b', 'zzz'],
  },
  {
    name: 'Include inside a Match block',
    config: 'Match host a\n  Include HOME/more HOME/gone\nMatch host b\n  Port 3\n',
    files: { more: 'Match user me\n  Port 71\n' },
    hosts: ['me@a', 'a', 'b'],
  },
  {
    name: 'Include of an Include',
    config: 'Include HOME/one\n',
    files: { one: 'Include HOME/two\nHost a\n  Port 1\n', two: 'Host a\n  User deep\n' },
    hosts: ['a'],
  },
  {
    name: 'StrictHostKeyChecking of every kind',
    config:
      'Host a\n  StrictHostKeyChecking yes\nHost b\n  StrictHostKeyChecking no\nHost c\n  StrictHostKeyChecking accept-new\nHost d\n  StrictHostKeyChecking ask\nHost e\n  StrictHostKeyChecking off\n',
    hosts: ['a', 'b', 'c', 'd', 'e'],
  },
  {
    name: 'known_hosts files',
    config:
      'Host a\n  UserKnownHostsFile ~/.ssh/kh_%h /dev/null "~/.ssh/two words"\n  GlobalKnownHostsFile /etc/ssh/other\nHost b\n  UserKnownHostsFile none\n',
    hosts: ['a', 'b', 'c'],
  },
  { name: 'HostKeyAlias', config: 'Host a\n  HostKeyAlias Some.Name\n', hosts: ['a'] },
  {
    name: 'authentication',
    config:
      'Host a\n  PreferredAuthentications password,publickey\nHost b\n  PasswordAuthentication no\n  KbdInteractiveAuthentication no\nHost c\n  PubkeyAuthentication no\nHost d\n  HostbasedAuthentication yes\nHost e\n  PreferredAuthentications hostbased,publickey\n',
    hosts: ['a', 'b', 'c', 'd', 'e'],
  },
  {
    name: 'times',
    config:
      'Host a\n  ConnectTimeout 7\n  ServerAliveInterval 1m\n  ServerAliveCountMax 5\nHost b\n  ConnectTimeout 1m30s\n  ServerAliveInterval 0\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'algorithms written out',
    config:
      'Host a\n  Ciphers aes256-ctr,aes128-ctr\n  KexAlgorithms curve25519-sha256\n  MACs hmac-sha2-256\n  HostKeyAlgorithms ssh-ed25519\n  PubkeyAcceptedAlgorithms ssh-ed25519,rsa-sha2-512\n',
    hosts: ['a'],
    same: sshTakes('PubkeyAcceptedAlgorithms=ssh-ed25519'),
  },
  {
    name: 'network',
    config: 'Host a\n  BindAddress 127.0.0.9\n  AddressFamily inet6\n  Compression yes\n',
    hosts: ['a'],
  },
  {
    name: 'usual values count as unset',
    config:
      'Host *\n  Port 22\n  ServerAliveInterval 0\n  ServerAliveCountMax 3\n  StrictHostKeyChecking ask\n  AddressFamily any\n  Compression no\n  IdentitiesOnly no\n',
    hosts: ['a'],
  },
  {
    name: 'comments, blanks and continued spaces',
    config: '# all\n\nHost   a   b # both\n\t Port\t8\n   # indented\n  User   x\n\n\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'forwards and unknown-to-us keys are passed over',
    config:
      'Host a\n  LocalForward 80 x:80\n  RemoteForward 81 x:81\n  ForwardAgent yes\n  SendEnv LANG LC_*\n  SetEnv A=b\n  RemoteCommand ls\n  RequestTTY no\n  Port 3\n',
    hosts: ['a'],
  },
  {
    name: 'comments behind values, and # inside words',
    config:
      'Host a # "b\n  HostName real.example # why\n  IdentityFile ~/x#y # "z\n  UserKnownHostsFile ~/a # ~/b\n  ProxyCommand nc %h %p # stays\n',
    hosts: ['a', 'b'],
    same: sshReadsWords,
  },
  {
    name: 'quotes and escapes',
    config: String.raw`Host "a" 'b' c\d
  IdentityFile "~/q\"x"
  IdentityFile ~/it\'s
  IdentityFile ~/a\ b
  IdentityFile '~/two  words'
  IdentityFile ~/joi"ned wo"rds
  User dom\user
`,
    hosts: ['a', 'b'],
    same: sshReadsWords,
  },
  {
    name: 'keywords in quotes, with = and tabs, carriage returns, no end',
    config: '"Host" a\r\n\tPort=\t77 \r\n\tUser = bob\r\n  IdentityFile\t=~/k\r\n  HostName="real.example"',
    hosts: ['a'],
  },
  {
    name: 'other names of keywords',
    config:
      'Host a\n  ChallengeResponseAuthentication no\n  KbdInteractiveAuthentication yes\n  IdentityFile2 ~/k\n  PubkeyAcceptedKeyTypes ssh-ed25519\nHost b\n  DSAAuthentication no\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'ProxyJump none leaves ProxyCommand',
    config:
      'Host a\n  ProxyJump none\n  ProxyCommand nc %h %p\nHost e\n  ProxyJump none # but\n  ProxyCommand nc\n',
    hosts: ['a', 'e'],
    same: sshJumpNoneLeavesCommand,
  },
  {
    name: 'ProxyCommand none switches ProxyJump off, and the first ProxyJump counts',
    config: 'Host b\n  ProxyCommand none\n  ProxyJump c\nHost d\n  ProxyJump none\n  ProxyJump c\n',
    hosts: ['b', 'd'],
  },
  {
    name: 'times that are none leave the line behind them',
    config:
      'Host a\n  ConnectTimeout none\n  ServerAliveInterval none\nHost *\n  ConnectTimeout 7\n  ServerAliveInterval 9\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'the second pass keeps the host name',
    config:
      'Match final\n  HostName late.example\n  Port 5\nHost a\n  HostName Real.Example\nHost real.example\n  User found\nHost late.example\n  User lost\n',
    hosts: ['a', 'b'],
  },
  {
    name: 'names in capitals',
    config:
      'Match host box\n  Port 7\nMatch originalhost bOx\n  User u\nHost *\n  IdentityFile ~/.ssh/%h-%n-%k\n  HostKeyAlias Ali\n',
    hosts: ['Box', 'box'],
  },
  {
    name: 'Match with = and quotes',
    config: 'Match host="a" user=root,bob\n  Port 7\nMatch originalhost "b" # c\n  Port 8\n',
    hosts: ['bob@a', 'nobody@a', 'b'],
    same: sshReadsWords,
  },
  {
    name: 'a file that is included where nothing applies',
    config: 'Host b\n  Include HOME/more\nHost *\n  User last\n',
    files: { more: 'Port 1\nHost *\n  Port 2\nMatch all\n  Port 3\n' },
    hosts: ['a', 'b'],
  },
  {
    name: 'a jump of a chain that has a jump of its own, even itself',
    config: 'Host gate1\n  ProxyJump none\nHost *\n  ProxyJump gate1,gate2\n',
    hosts: ['a', 'gate1'],
  },
  {
    name: 'a way of our own over one that goes in a circle',
    config: 'Host *\n  ProxyJump gate\n',
    hosts: ['gate'],
    keys: 'jump: []',
  },
  {
    name: 'what a jump is called in tokens',
    config:
      'Host a b\n  IdentityFile ~/.ssh/to-%h\nHost a\n  ProxyJump u@[2001:db8::1]:22\nHost b\n  ProxyJump ssh://u%41@gate:24/,x@y@real:25\n',
    hosts: ['a', 'b'],
    same: sshTakes('ProxyJump=ssh://u%41@gate:24/,x@y@real:25'),
  },
  {
    name: 'homes of other users',
    config: 'Host a\n  IdentityFile ~root/key\n  CertificateFile ~nobody/cert\n',
    hosts: ['a'],
  },
  {
    name: 'names of keys by pattern',
    config:
      'Host a\n  HostKeyAlgorithms ssh-ed25519*,rsa-*\n  PubkeyAcceptedAlgorithms sk-*-cert-v01@openssh.com,ecdsa-*\nHost b\n  Ciphers -nothing*\n',
    hosts: ['a', 'b'],
    same: sshTakes('PubkeyAcceptedAlgorithms=ssh-ed25519'),
  },
  {
    name: 'our own keys stand above',
    config: 'Host a\n  User them\n  Port 3\n  IdentityFile ~/.ssh/theirs\nMatch user us\n  Compression yes\n',
    hosts: ['a'],
    keys: 'user: us, port: 4',
  },
];

function homeOf(each: Case): Account {
  const home = createHome({ AGENT: '/run/agent.sock', WHAT: 'filled' });
  for (const [path, text] of Object.entries({ '.ssh/config': each.config, ...each.files }))
    home.write(path, text);
  return home.account;
}

async function waysOf(each: Case, account: Account, run: boolean): Promise<Record<string, readonly Way[]>> {
  const tunnels = each.hosts.map(
    (host, index) =>
      `  t${index}: { host: "${host}", local: ${index + 1000}, remote: 1, ${each.keys ?? ''} }`,
  );
  const read = parseConfig(join(account.home, 'tunnels.yaml'), `tunnels:\n${tunnels.join('\n')}\n`);
  if ('issues' in read) throw new Error(JSON.stringify(read.issues));
  const askSsh = sshConfigReader(account, run);
  const { config, problems } = await resolveConfig(read.config, { account, askSsh, exists: () => false });
  expect(problems).toEqual([]);
  return Object.fromEntries(config.tunnels.map((tunnel) => [tunnel.host, tunnel.ways]));
}

describe.skipIf(!sshInstalled)('without ssh, ssh_config reads as with it', () => {
  test.each(cases)('$name', async (each) => {
    // What is particular to a version is read without it all the same: a line it knows is no reason to fail.
    if (each.same === false) {
      expect(Object.keys(await waysOf(each, homeOf(each), false))).toHaveLength(each.hosts.length);
      return;
    }
    const account = homeOf(each);
    const theirs = await waysOf(each, account, true);
    expect(Object.keys(theirs)).toHaveLength(each.hosts.length);
    expect(await waysOf(each, account, false)).toEqual(theirs);
  });

  test('there are at least 30 cases', () => {
    expect(cases.length).toBeGreaterThanOrEqual(30);
  });
});
