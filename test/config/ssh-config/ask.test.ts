// Asking ssh: when it is run and when not, and what comes of an ssh that fails, hangs or says what is not supported.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { checkConfig, loadConfig } from '../../../src/config/load.ts';
import { lineProblem } from '../../../src/config/ssh-config/keywords.ts';
import { sshConfigReader } from '../../../src/config/ssh-config/ask.ts';
import { isRunning } from '../../helpers/daemon-world.ts';
import { sshReadsWords, sshTakes } from '../../helpers/installed-ssh.ts';
import { createHome, type Home } from '../home.ts';

const tunnel = (host: string): string => `tunnels:\n  t: { host: ${host}, local: 1, remote: 2 }\n`;

/** A program in the place of ssh: it notes each call, answers `-F none` with usual values, and else runs `script`. */
function fakeSsh(home: Home, script: string): { calls: () => string[]; env: Record<string, string> } {
  const log = join(home.folder, 'calls');
  home.write(
    'bin/ssh',
    `#!/bin/sh
echo "$@" >> ${log}
case "$*" in *"-F none"*) printf 'host x\\nuser root\\nport 22\\nrequiredrsasize 1024\\n'; exit 0;; esac
${script}
`,
    0o700,
  );
  return {
    calls: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
    env: { PATH: `${join(home.folder, 'bin')}:/usr/bin:/bin` },
  };
}

/** With the installed ssh where that one has a say, and without any. */
const pathsWhere = (has: boolean): string[] => [...(has ? [process.env['PATH'] ?? ''] : []), '/nonexistent'];

function homeWith(script: string, sshConfig = 'Host *\n') {
  const home = createHome();
  home.write('.ssh/config', sshConfig);
  const { calls, env } = fakeSsh(home, script);
  return { home, calls, account: { ...home.account, env: { ...home.account.env, ...env } } };
}

describe('ssh_config', () => {
  test('is asked once a question, behind --, with the user and port that stand above it', async () => {
    const { calls, account, home } = homeWith(`printf 'host x\\nhostname real.x\\nuser root\\nport 2200\\n'`);
    const ask = sshConfigReader(account, true);
    const query = { alias: 'box', user: 'me', port: 5 };
    const [one, two] = await Promise.all([ask(query), ask(query)]);
    expect(one).toBe(two);
    expect('values' in one && [...one.values]).toEqual([['hostname', ['real.x']]]);
    expect(calls().sort()).toEqual([
      `-N -T -vv -F ${home.folder}/.ssh/config -l me -p 5 -G -- box`,
      '-N -T -vv -F none -G -- tunnel',
    ]);
  });

  test('is asked about all hosts, and of its defaults, at the same time', async () => {
    const { account, home, calls } = homeWith('');
    const log = join(home.folder, 'calls');
    // Nobody answers before all three are there.
    const waits = `while [ "$(wc -l < ${log})" -lt 3 ]; do sleep 0.05; done`;
    home.write('bin/ssh', `#!/bin/sh\necho "$@" >> ${log}\n${waits}\necho "hostname by.ssh"\n`, 0o700);
    const ask = sshConfigReader(account, true, 20_000);
    const both = ['one', 'two'].map((alias) => ask({ alias, user: null, port: null }));
    for (const answer of await Promise.all(both))
      expect('values' in answer && answer.values.get('hostname')).toEqual(['by.ssh']);
    expect(calls()).toHaveLength(3);
  });

  test('is asked by ssh itself at load, never at check', async () => {
    const { calls, account, home } = homeWith(
      `printf 'host box\\nhostname by.ssh\\n'`,
      'Host box\n  HostName by.parser\n',
    );
    const file = home.write('tunnels.yaml', tunnel('box'));
    const checked = await checkConfig(file, account);
    expect(checked.config?.tunnels[0]?.ways[0][0].hostname).toBe('by.parser');
    expect(calls()).toEqual([]);
    expect((await loadConfig(file, account)).tunnels[0]?.ways[0][0].hostname).toBe('by.ssh');
    expect(calls()).toHaveLength(2);
  });

  test('is asked without -F where $HOME is the home of the passwd file', async () => {
    const { calls, account } = homeWith(`printf 'host box\\nport 5\\n'`);
    const ask = sshConfigReader({ ...account, passwdHome: account.home }, true);
    await ask({ alias: 'box', user: null, port: null });
    expect(calls().sort()).toEqual(['-N -T -vv -F none -G -- tunnel', '-N -T -vv -G -- box']);
  });

  test("that narrows trust for everybody on the system is a warning, since it is not the user's doing", async () => {
    const script = `case "$*" in *-F*) n=1024;; *) n=2048;; esac; printf "host box\\nrequiredrsasize $n\\n"`;
    const { account } = homeWith(script);
    const ask = sshConfigReader({ ...account, passwdHome: account.home }, true);
    const answer = await ask({ alias: 'box', user: null, port: null });
    expect(answer).toMatchObject({ unsupported: { user: [], system: ['RequiredRSASize'] } });
  });

  test('is not asked about hosts that stand alone', async () => {
    const { calls, account, home } = homeWith('exit 1');
    const file = home.write(
      'tunnels.yaml',
      `hosts: { a: { hostname: a.x, jump: b }, b: { hostname: b.x } }\n${tunnel('a')}`,
    );
    await loadConfig(file, account);
    expect(calls()).toEqual([]);
  });

  test('that ssh refuses is an issue with the words of ssh, at the host', async () => {
    const { account, home } = homeWith(
      'echo "/h/.ssh/config: line 3: Bad configuration option: foo" >&2; exit 255',
    );
    const file = home.write('tunnels.yaml', tunnel('box'));
    await expect(loadConfig(file, account)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      issues: [
        {
          line: 2,
          column: 14,
          path: 'tunnels.t.host',
          message: 'ssh_config, box: /h/.ssh/config: line 3: Bad configuration option: foo',
        },
      ],
    });
  });

  test('of an ssh that talks without end is cut off', async () => {
    const { account } = homeWith('exec yes "user x"');
    const answer = await sshConfigReader(account, true)({ alias: 'box', user: null, port: null });
    expect(answer).toEqual({ failure: 'ssh -G said more than it should' });
  });

  test('with a Match exec that does not end names its line, and ends all that it started', async () => {
    const home = createHome();
    const pids = join(home.folder, 'pids');
    const hangs = `exec "sh -c 'sleep 600 & echo $! $$ > ${pids}; wait'"`;
    home.write('more', `Host other\n  Port 1\nMatch host box ${hangs}\n  Port 2\n`);
    home.write('.ssh/config', 'Match exec "true"\n  User me\nInclude HOME/more\nMatch exec "true"\n');
    // How soon ssh is at the line is the machine's business: once it is, it is there for good.
    for (let limitMs = 500; ; limitMs *= 2) {
      const answer = await sshConfigReader(
        home.account,
        true,
        limitMs,
      )({ alias: 'box', user: null, port: null });
      if (!existsSync(pids) && limitMs < 20_000) continue;
      const failure = `${home.folder}/more:3: Match host box ${hangs} took longer than ${limitMs / 1000} s`;
      expect(answer).toEqual({ failure });
      break;
    }
    for (const pid of readFileSync(pids, 'utf8').split(' ').map(Number))
      await expect.poll(() => isRunning(pid), { timeout: 20_000 }).toBe(false);
  });

  test('with a Match exec that thinks is waited for, a minute and no longer', async () => {
    const home = createHome();
    const begun = join(home.folder, 'begun');
    home.write('.ssh/config', `Match host box exec "touch ${begun}; exec sleep 600"\n  Port 2\n`);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      let answered = false;
      const answer = sshConfigReader(home.account, true)({ alias: 'box', user: null, port: null });
      void answer.then(() => (answered = true));
      await expect.poll(() => existsSync(begun), { timeout: 20_000 }).toBe(true);
      await vi.advanceTimersByTimeAsync(59_000);
      expect(answered).toBe(false);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(await answer).toEqual({ failure: expect.stringMatching(/ took longer than 60 s$/) });
    } finally {
      vi.useRealTimers();
    }
  });

  test('gives each Match exec its own time, not all of them together', async () => {
    const home = createHome();
    home.write('.ssh/config', `${'Match exec "sleep 1"\n  User me\n'.repeat(5)}Host box\n  Port 99\n`);
    const answer = await sshConfigReader(home.account, true, 4_000)({ alias: 'box', user: null, port: null });
    expect('values' in answer && answer.values.get('port')).toEqual(['99']);
  }, 30_000);

  test('of an ssh that cannot say its defaults is read by our own parser', async () => {
    const { account, home } = homeWith('exit 1', 'Host box\n  Port 99\n');
    home.write('bin/ssh', '#!/bin/sh\necho "No user exists for uid 7" >&2\nexit 255\n', 0o700);
    const answer = await sshConfigReader(account, true)({ alias: 'box', user: null, port: null });
    expect('values' in answer && answer.values.get('port')).toEqual(['99']);
  });

  test('without an ssh on PATH is read by our own parser, a Match exec skipped with a warning', async () => {
    const home = createHome({ PATH: '/nonexistent' });
    home.write('.ssh/config', 'Match exec "touch HOME/ran"\n  Port 1\nHost box\n  Port 99\n');
    const file = home.write('tunnels.yaml', tunnel('box'));
    const config = await loadConfig(file, home.account);
    expect(config.tunnels[0]?.ways[0][0].port).toBe(99);
    expect(config.warnings).toEqual([
      'ssh_config: a "Match exec" block was skipped for box: there is no ssh to ask',
    ]);
    expect(existsSync(join(home.folder, 'ran'))).toBe(false);
  });

  test('that includes by ~ or a relative name under another $HOME is read by our own parser', async () => {
    const { calls, account, home } = homeWith('exit 1', 'Include conf.d/* ~/more\n');
    home.write('.ssh/conf.d/a', 'Host box\n  Port 99\n');
    home.write('more', 'Host box\n  User inc\n');
    const answer = await sshConfigReader(account, true)({ alias: 'box', user: null, port: null });
    expect('values' in answer && Object.fromEntries(answer.values)).toEqual({ port: ['99'], user: ['inc'] });
    expect(calls()).toEqual([]);
  });

  test.each([
    ['RevokedHostKeys', 'HOME/revoked'],
    ['CASignatureAlgorithms', 'ssh-ed25519'],
    ['RequiredRSASize', '4096'],
    ['KnownHostsCommand', '/bin/echo %H'],
  ])('with %s is refused, naming it, with and without ssh', async (key, value) => {
    for (const PATH of pathsWhere(sshTakes(`${key}=${value}`))) {
      const home = createHome({ PATH });
      home.write('.ssh/config', `Host box\n  ${key} ${value}\nHost other\n  Port 2\n`);
      const file = home.write('tunnels.yaml', tunnel('box'));
      await expect(loadConfig(file, home.account)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        issues: [
          { path: 'tunnels.t.host', message: expect.stringContaining(`ssh_config sets ${key} for box`) },
        ],
      });
      expect((await checkConfig(file, home.account)).ok).toBe(false);
      await loadConfig(home.write('tunnels.yaml', tunnel('other')), home.account);
    }
  });

  test('that others may write is refused, with and without ssh', async () => {
    for (const PATH of pathsWhere(true)) {
      const home = createHome({ PATH });
      home.write('.ssh/config', 'Host box\n  Port 2\n', 0o666);
      const file = home.write('tunnels.yaml', tunnel('box'));
      await expect(loadConfig(file, home.account)).rejects.toMatchObject({
        issues: [{ message: expect.stringContaining('can be written by everybody') }],
      });
    }
  });

  test.each([
    'Bogus yes',
    'Port',
    'Port 0',
    'Port 65536',
    'Port 22 23',
    'Port == 22',
    'User "open',
    "ProxyCommand it's open",
    'User ""',
    'Host ""',
    'IdentityFile a b',
    'IdentityAgent ${NOT_SET}',
    'IdentityAgent $a-b',
    'Compression maybe',
    'IdentitiesOnly on',
    'StrictHostKeyChecking perhaps',
    'ServerAliveInterval soon',
    'ServerAliveCountMax -1',
    'ConnectTimeout NONE',
    'Ciphers rot13',
    'KexAlgorithms +rot13',
    'HostKeyAlgorithms ssh-x*',
    'UserKnownHostsFile /a none',
    'ProxyJump a,,b',
    'ProxyJump a:70000',
    'ProxyJump ssh://a/b',
    'Match',
    'Match host',
    'Match all host a',
    'Match weather fine',
    'Match host a\n  Port x',
    '\ufeffPort 3',
    'HostName %x',
  ])('with the line %s is a clear error that says where, with ssh and without', async (bad) => {
    const ofWords = ["ProxyCommand it's open", 'Host ""', 'UserKnownHostsFile /a none'].includes(bad);
    for (const PATH of pathsWhere(!ofWords || sshReadsWords)) {
      const home = createHome({ PATH });
      home.write('.ssh/config', `Host other box\n${bad}\n`);
      const file = home.write('tunnels.yaml', tunnel('box'));
      const thrown = await loadConfig(file, home.account).then(null, (error: unknown) => error);
      expect(thrown).toMatchObject({ code: 'CONFIG_INVALID', issues: [{ path: 'tunnels.t.host' }] });
      const { message } = (thrown as { issues: [{ message: string }] }).issues[0];
      expect(message).toMatch(/^ssh_config, box: /);
      if (bad !== 'HostName %x') expect(message).toMatch(/\.ssh\/config(?::| line |: line )[23]: ./);
    }
  });

  test('has its percent signs filled in once, by ssh and without', async () => {
    for (const PATH of pathsWhere(true)) {
      const home = createHome({ PATH, DIR: '/x%%n' });
      home.write(
        '.ssh/config',
        'Host box\n  UserKnownHostsFile /k%%n-%n HOME/%%%%h\n  IdentityAgent ${DIR}/a%%h-%h\n',
      );
      const { tunnels } = await loadConfig(home.write('tunnels.yaml', tunnel('box')), home.account);
      const [host] = tunnels[0]?.ways[0] ?? [];
      expect(host?.agent).toEqual({ from: 'socket', path: '/x%%n/a%h-box' });
      expect(host?.knownHosts.slice(0, 2)).toEqual(['/k%n-box', `${home.folder}/%%h`]);
    }
  });

  test('may hold every keyword of ssh_config(5) in OpenSSH 10.6', () => {
    const keywords = `
    addkeystoagent addressfamily batchmode bindaddress bindinterface canonicaldomains
    canonicalizefallbacklocal canonicalizehostname canonicalizemaxdots canonicalizepermittedcnames
    casignaturealgorithms certificatefile channeltimeout checkhostip ciphers clearallforwardings
    compression connectionattempts connecttimeout controlmaster controlpath controlpersist
    dynamicforward enableescapecommandline enablesshkeysign escapechar exitonforwardfailure
    fingerprinthash forkafterauthentication forwardagent forwardx11 forwardx11timeout
    forwardx11trusted gatewayports globalknownhostsfile gssapiauthentication
    gssapidelegatecredentials hashknownhosts host hostbasedacceptedalgorithms
    hostbasedauthentication hostkeyalgorithms hostkeyalias hostname identitiesonly identityagent
    identityfile ignoreunknown include ipqos kbdinteractiveauthentication kbdinteractivedevices
    kexalgorithms knownhostscommand localcommand localforward loglevel logverbose macs match
    nohostauthenticationforlocalhost numberofpasswordprompts obscurekeystroketiming
    passwordauthentication permitlocalcommand permitremoteopen pkcs11provider port
    preferredauthentications proxycommand proxyjump proxyusefdpass pubkeyacceptedalgorithms
    pubkeyauthentication refuseconnection rekeylimit remotecommand remoteforward requesttty
    requiredrsasize revokedhostkeys securitykeyprovider sendenv serveralivecountmax
    serveraliveinterval sessiontype setenv stdinnull streamlocalbindmask streamlocalbindunlink
    stricthostkeychecking syslogfacility tag tcpkeepalive tunnel tunneldevice updatehostkeys user
    userknownhostsfile verifyhostkeydns versionaddendum visualhostkey warnweakcrypto xauthlocation`.trim();
    for (const keyword of keywords.split(/\s+/)) {
      const problem = lineProblem({ number: 1, keyword, rest: 'x', words: ['x'] }, null);
      expect(problem ?? '', keyword).not.toContain('no keyword');
    }
  });

  test('may hold what a newer ssh or Apple knows, and what IgnoreUnknown names', async () => {
    const home = createHome({ PATH: '/nonexistent' });
    home.write(
      '.ssh/config',
      'IgnoreUnknown Future*,other\nFutureKey yes\nOTHER 1\nUseKeychain yes\nObscureKeystrokeTiming no\nPort 9\n',
    );
    const answer = await sshConfigReader(home.account, true)({ alias: 'box', user: null, port: null });
    expect('values' in answer && answer.values.get('port')).toEqual(['9']);
  });

  test('of OpenSSH 10 is read without one: tagged, sessiontype, tokens in User and Include', async () => {
    const home = createHome({ PATH: '/nonexistent', SUB: 'sub' });
    home.write('.ssh/sub/box', 'Port 9\n');
    home.write(
      '.ssh/config',
      'Include ${SUB}/%n\nTag work\nMatch tagged w* sessiontype none command ""\n  HostName tagged.x\nMatch !tagged work\n  Compression yes\nUser %u-${SUB}\n',
    );
    const answer = await sshConfigReader(home.account, true)({ alias: 'box', user: null, port: null });
    expect('values' in answer && Object.fromEntries(answer.values)).toMatchObject({
      port: ['9'],
      hostname: ['tagged.x'],
    });
    expect('values' in answer && answer.values.has('compression')).toBe(false);
  });

  test('that refuses a connection by RefuseConnection does so without ssh too', async () => {
    const home = createHome({ PATH: '/nonexistent' });
    home.write('.ssh/config', 'Match host box\n  RefuseConnection "use the other one"\n');
    const ask = sshConfigReader(home.account, true);
    expect(await ask({ alias: 'box', user: null, port: null })).toEqual({
      failure: `${home.folder}/.ssh/config:2: RefuseConnection "use the other one"`,
    });
    expect(await ask({ alias: 'other', user: null, port: null })).toHaveProperty('values');
  });

  test('warns of a Match exec only where it would have decided', async () => {
    const home = createHome({ PATH: '/nonexistent' });
    home.write('.ssh/config', 'Match host other exec "true"\n  Port 1\nMatch exec "true" user nobody-here\n');
    const ask = sshConfigReader(home.account, true);
    const warningsFor = async (alias: string): Promise<unknown> => {
      const answer = await ask({ alias, user: null, port: null });
      return 'warnings' in answer ? answer.warnings : answer;
    };
    expect(await warningsFor('box')).toEqual([]);
    expect(await warningsFor('other')).toEqual([
      'ssh_config: a "Match exec" block was skipped for other: there is no ssh to ask',
    ]);
  });

  test('that includes itself is refused', async () => {
    const home = createHome({ PATH: '/nonexistent' });
    home.write('.ssh/config', 'Include HOME/.ssh/config\n');
    const file = home.write('tunnels.yaml', tunnel('box'));
    await expect(loadConfig(file, home.account)).rejects.toMatchObject({
      issues: [{ message: expect.stringContaining('include each other') }],
    });
  });
});
