// What a config means: layers, ways, paths, defaults. ssh_config is a table handed in.
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../helpers/config.ts';
import { checkConfig } from '../../src/config/load.ts';
import { resolveConfig, type Resolved } from '../../src/config/resolve.ts';
import type { AskSsh, SshQuery } from '../../src/config/ssh-config/settings.ts';
import { longestMs } from '../../src/model/duration.ts';
import { formatLogin } from '../../src/model/host.ts';
import { createHome } from './home.ts';

const home = createHome({ CREDENTIALS_DIRECTORY: '/run/credentials/x' });
const file = `${home.folder}/tunnels.yaml`;

interface Options {
  /** ssh_config by alias. */
  readonly ssh?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  readonly existing?: readonly string[];
  readonly asked?: SshQuery[];
}

async function resolve(text: string, options: Options = {}): Promise<Resolved> {
  const read = parseConfig(file, text);
  if ('issues' in read)
    throw new Error(read.issues.map(({ path, message }) => `${path} ${message}`).join('\n'));
  const askSsh: AskSsh = (query) => {
    options.asked?.push(query);
    const values = new Map(Object.entries(options.ssh?.[query.alias] ?? {}));
    return Promise.resolve({ values, unsupported: { user: [], system: [] }, warnings: [] });
  };
  const exists = (path: string): boolean => options.existing?.includes(path) === true;
  return resolveConfig(read.config, { account: home.account, askSsh, exists });
}

async function only(text: string, options: Options = {}) {
  const { config, problems } = await resolve(text, options);
  expect(problems).toEqual([]);
  const [tunnel] = config.tunnels;
  if (tunnel === undefined) throw new Error('no tunnel');
  const hops = tunnel.ways[0];
  const server = hops.at(-1);
  if (server === undefined) throw new Error('no server');
  return { tunnel, hops, server };
}

const one = (keys: string): string => `tunnels:\n  t: { local: 1, remote: 2, ${keys} }\n`;

/** Where nobody names a user it is whoever runs this. */
const asMe = (login: string): string => login.replace('root@', `${home.account.user}@`);

describe('a name that only ssh_config can know', () => {
  test.each(['aws/something/1', 'a:b', 'prod/db:blue', 'me@aws/box'])('%s is an alias', async (word) => {
    const name = word.replace(/^.*@/, '');
    const ssh = { [name]: { hostname: ['10.0.0.7'], port: ['2222'] } };
    const { server } = await only(one(`host: "${word}"`), { ssh });
    expect(server).toMatchObject({ name, hostname: '10.0.0.7', port: 2222 });
    const by = { [name]: { proxycommand: ['aws ssm start-session --target %h'] } };
    expect((await only(one(`host: "${word}"`), { ssh: by })).server).toMatchObject({ name, hostname: name });
    const own = `hosts: { "${name}": { user: u, jump: [gate] } }\n`;
    const { hops } = await only(own + one(`host: "${name}"`), { ssh });
    expect(hops.map(({ user, hostname }) => `${user}@${hostname}`)).toEqual([
      asMe('root@gate'),
      'u@10.0.0.7',
    ]);
  });

  test('takes a port behind it', async () => {
    const ssh = { 'aws/box': { hostname: ['10.0.0.7'] } };
    const { server } = await only(one('host: "me@aws/box:2200"'), { ssh });
    expect(server).toMatchObject({ user: 'me', hostname: '10.0.0.7', port: 2200 });
  });

  test.each(['katie:22x', 'https://katie.example.org/', 'aws/gone'])(
    '%s, which it does not, is told where it stands',
    async (word) => {
      const { problems } = await resolve(one(`host: "me@${word}"`), { ssh: { [word]: { user: ['u'] } } });
      const message = `me@${word} is in neither hosts: nor ssh_config, and is no [user@]host[:port]`;
      expect(problems).toEqual([{ path: ['tunnels', 't', 'host'], message }]);
    },
  );
});

test('what does nothing in this version is a warning, once, with the tunnels that have it', async () => {
  const { config } = await resolve(`
defaults: { idle_timeout: 5m }
tunnels:
  a: { host: h, local: 1, remote: 2, env: { A: b }, open: "http://{address}", lazy: true, idle_timeout: 5m }
  b: { host: h, local: 3, remote: 4, env: { A: b }, idle_timeout: 5m }
  c: { host: h, local: 5, remote: 6, idle_timeout: never }
`);
  expect(config.warnings).toEqual(['idle_timeout: has no effect without lazy: true (b)']);
});

test('a hook is that of the tunnel, else of defaults, else of the top level, event by event', async () => {
  const { config } = await resolve(`
hooks: { up: [top], down: [top, ~/x], needs_you: [top] }
defaults: { hooks: { up: [middle], needs_you: [middle] } }
tunnels:
  a: { host: h, local: 1, remote: 2, hooks: { up: [own, 1] } }
  b: { host: h, local: 3, remote: 4 }
`);
  const home = (config.tunnels[0]?.hooks.down?.[1] ?? '').replace(/\/x$/, '');
  expect(home).toMatch(/^\//);
  expect(config.tunnels.map(({ hooks }) => hooks)).toEqual([
    { up: ['own', '1'], down: ['top', `${home}/x`], 'needs-you': ['middle'] },
    { up: ['middle'], down: ['top', `${home}/x`], 'needs-you': ['middle'] },
  ]);
  expect(config.warnings).toEqual([]);
});

describe('what ssh_config sets', () => {
  const told = async (values: Readonly<Record<string, readonly string[]>>, keys = 'host: a') => {
    const { config, problems } = await resolve(one(keys), { ssh: { a: values } });
    return { problems: problems.map(({ message }) => message), warnings: config.warnings };
  };

  test('and cannot be had here is a fault with a way out, unless the way comes from elsewhere', async () => {
    const passed = { proxyusefdpass: ['yes'], proxycommand: ['nc -F %h %p'] };
    expect((await told(passed)).problems).toEqual([
      expect.stringMatching(/ProxyUseFdpass for a, .*proxy_command:/),
    ]);
    expect((await told({ proxyusefdpass: ['yes'] })).problems).toEqual([]);
    expect((await told({ ...passed, proxycommand: ['none'] })).problems).toEqual([]);
    const kerberos = { preferredauthentications: ['gssapi-with-mic,gssapi-keyex'] };
    expect((await told(kerberos)).problems).toEqual([
      expect.stringMatching(/PreferredAuthentications .* auth:/),
    ]);
    expect((await told({ preferredauthentications: ['gssapi-with-mic,publickey'] })).problems).toEqual([]);
  });

  test('of algorithms that cannot be had is a fault, unless it is set over', async () => {
    const old = {
      macs: ['hmac-md5-etm@openssh.com'],
      hostkeyalgorithms: ['sk-ssh-ed25519@openssh.com'],
    };
    expect((await told(old)).problems).toEqual([
      expect.stringMatching(/^ssh_config's HostKeyAlgorithms for a leave nothing .* ssh-ed25519, /),
      expect.stringMatching(/^ssh_config's MACs for a leave nothing .* hmac-sha2-256, /),
    ]);
    expect(
      (await told(old, 'host: a, macs: hmac-sha2-256, host_key_algorithms: ssh-ed25519')).problems,
    ).toEqual([]);
    expect((await told({ macs: ['hmac-md5-etm@openssh.com,hmac-sha1'] })).problems).toEqual([]);
    const hop = await resolve(one('host: b, jump: a'), { ssh: { a: old } });
    expect(hop.problems).toHaveLength(2);
  });

  test('as a proxy command that would be refused when it is to be started is a fault', async () => {
    const refused = async (command: string): Promise<readonly string[]> =>
      (await told({ proxycommand: [command], user: ['$USER'] })).problems;
    expect(await refused('nc %Q %p')).toEqual([
      'the proxy command of a cannot be started: it has no token %Q',
    ]);
    expect(await refused('nc "%r" %p')).toEqual([expect.stringContaining('%r would become "$USER"')]);
    expect(await refused('nc %h %p')).toEqual([]);
  });

  test('and is not done here is a warning that says what to do', async () => {
    const set = {
      bindinterface: ['tun0'],
      checkhostip: ['yes'],
      pkcs11provider: ['/usr/lib/p11.so'],
      localcommand: ['date'],
    };
    const { warnings } = await told({ ...set, permitlocalcommand: ['yes'] });
    expect(warnings.map((each) => /sets (\w+) for a/.exec(each)?.[1])).toEqual([
      'BindInterface',
      'CheckHostIP',
      'PKCS11Provider',
      'LocalCommand',
    ]);
    const off = { checkhostip: ['no'], pkcs11provider: ['none'], localcommand: ['date'] };
    expect((await told(off)).warnings).toEqual([]);
  });
});

describe('a host', () => {
  test('has the built-in values where nobody says anything', async () => {
    const { server, tunnel } = await only(one('host: box'));
    expect(server).toEqual({
      name: 'box',
      hostname: 'box',
      port: 22,
      user: home.account.user,
      identities: [],
      identitiesOnly: false,
      certificates: [],
      certificateCommand: null,
      agent: { from: 'environment' },
      auth: ['agent', 'publickey', 'keyboard-interactive', 'password'],
      password: null,
      passphrase: null,
      totp: null,
      proxyCommand: null,
      proxy: null,
      hostKeys: 'ask',
      hostKeyAlias: null,
      knownHosts: [
        `${home.folder}/.ssh/known_hosts`,
        `${home.folder}/.ssh/known_hosts2`,
        '/etc/ssh/ssh_known_hosts',
        '/etc/ssh/ssh_known_hosts2',
      ],
      keepalive: { intervalMs: 15_000, count: 3 },
      connectTimeoutMs: 10_000,
      firstWordsMs: 10_000,
      algorithms: { kex: null, cipher: null, mac: null, hostKey: null, pubkey: null },
      compression: false,
      bindAddress: null,
      addressFamily: 'any',
      attended: null,
      authRetry: true,
    });
    expect(tunnel).toMatchObject({
      autostart: true,
      lazy: false,
      idleTimeoutMs: null,
      hold: { kind: 'wait', ms: 30_000 },
      reconnect: { initialMs: 500, maxMs: 30_000 },
      rotateMs: null,
      share: true,
      after: [],
    });
  });

  test('takes each value from the highest that sets it: tunnel, hosts, defaults, ssh_config', async () => {
    const text = `
defaults: { user: of-defaults, port: 3, compression: true }
hosts:
  a: { user: of-hosts, port: 2 }
tunnels:
  t: { host: a, local: 1, remote: 2, user: of-tunnel }
`;
    const ssh = {
      a: {
        user: ['of-ssh'],
        port: ['4'],
        compression: ['no'],
        hostname: ['real'],
        bindaddress: ['10.0.0.1'],
      },
    };
    expect((await only(text, { ssh })).server).toMatchObject({
      user: 'of-tunnel',
      port: 2,
      compression: true,
      hostname: 'real',
      bindAddress: '10.0.0.1',
    });
  });

  test.each([
    ['host: me@box:2222', 'me@box:2222'],
    ['host: "me@[2001:db8::1]:2222"', 'me@[2001:db8::1]:2222'],
    ['host: ssh://me@box:2222', 'me@box:2222'],
    ['host: me@corp@box', 'me@corp@box:22'],
    ['host: me@box:2222, user: you', 'you@box:2222'],
    ['host: box, hostname: 10.0.0.1', `${home.account.user}@10.0.0.1:22`],
  ])('written as { %s } is %s', async (keys, login) => {
    expect(formatLogin((await only(one(keys))).server)).toBe(login);
  });

  test('with hostname stands alone, with ssh_config it does not', async () => {
    const asked: SshQuery[] = [];
    const ssh = { other: { port: ['77'] } };
    const text = `
hosts:
  alone: { hostname: a.x }
  aliased: { hostname: b.x, ssh_config: other, user: u }
  named: { user: v }
tunnels:
  a: { host: alone, local: 1, remote: 2 }
  b: { host: aliased, local: 2, remote: 2 }
  c: { host: named, local: 3, remote: 2 }
  d: { host: me@plain:5, local: 4, remote: 2 }
  e: { host: plain, ssh_config: false, local: 5, remote: 2 }
`;
    const { config } = await resolve(text, { asked, ssh });
    expect(asked).toEqual([
      { alias: 'other', user: 'u', port: null },
      { alias: 'named', user: 'v', port: null },
      { alias: 'plain', user: 'me', port: 5 },
    ]);
    expect(config.tunnels.map(({ ways }) => formatLogin(ways[0][0]))).toEqual([
      `${home.account.user}@a.x:22`,
      'u@b.x:77',
      'v@named:22',
      'me@plain:5',
      `${home.account.user}@plain:22`,
    ]);
  });

  test('has its own keys alone where it names any, else the default ones that exist', async () => {
    const existing = ['id_ed25519', 'id_rsa'].map((name) => `${home.folder}/.ssh/${name}`);
    const own = await only(one('host: a, identity: [~/k, rel/k.pub, /abs/k]'), { existing });
    expect(own.server).toMatchObject({
      identities: [`${home.folder}/k`, `${home.folder}/rel/k.pub`, '/abs/k'],
      identitiesOnly: true,
    });
    const none = await only(one('host: a'), { existing });
    expect(none.server).toMatchObject({ identities: existing.toReversed(), identitiesOnly: false });
    const ssh = { a: { identityfile: ['~/.ssh/theirs'] } };
    const theirs = await only(one('host: a'), { existing, ssh });
    expect(theirs.server).toMatchObject({
      identities: [`${home.folder}/.ssh/theirs`],
      identitiesOnly: false,
    });
    const both = await only(one('host: a, identity: ~/k, identities_only: false'), { ssh });
    expect(both.server).toMatchObject({ identities: [`${home.folder}/k`], identitiesOnly: false });
  });

  test('finds secrets, agents and stores by absolute paths', async () => {
    const { server } = await only(
      one(
        'host: a, agent: ~/a.sock, known_hosts: [kh], certificate: c.pub, password: "file:~/pw", passphrase: "file:$CREDENTIALS_DIRECTORY/pp", totp: { command: [~/bin/totp, x] }',
      ),
    );
    expect(server).toMatchObject({
      agent: { from: 'socket', path: `${home.folder}/a.sock` },
      knownHosts: [`${home.folder}/kh`, '/etc/ssh/ssh_known_hosts', '/etc/ssh/ssh_known_hosts2'],
      certificates: [`${home.folder}/c.pub`],
      password: { from: 'file', path: `${home.folder}/pw` },
      passphrase: { from: 'file', path: '/run/credentials/x/pp' },
      totp: { from: 'command', argv: [`${home.folder}/bin/totp`, 'x'] },
    });
  });

  test('knows what makes its certificate, and warns of none that is still to be made', async () => {
    const text = one(
      'host: a, certificate: { command: [~/bin/issue, x], file: c-cert.pub, renew_before: 1h }',
    );
    const { server } = await only(text);
    const path = `${home.folder}/c-cert.pub`;
    expect(server.certificates).toEqual([path]);
    expect(server.certificateCommand).toEqual({
      argv: [`${home.folder}/bin/issue`, 'x'],
      path,
      renewBeforeMs: 3_600_000,
    });
    expect((await resolve(text)).config.warnings).toEqual([]);
  });

  test('applies + - ^ to the default algorithms', async () => {
    const { server } = await only(
      one('host: a, ciphers: "^aes256-ctr", kex: "-diffie*,sntrup*", macs: +hmac-md5'),
    );
    expect(server.algorithms.cipher?.slice(0, 2)).toEqual(['aes256-ctr', 'aes128-gcm@openssh.com']);
    expect(server.algorithms.kex?.some((name) => /^(diffie|sntrup)/.test(name))).toBe(false);
    expect(server.algorithms.mac?.at(-1)).toBe('hmac-md5');
    expect(server.algorithms.hostKey).toBeNull();
  });

  test('behind a proxy command may take its time for the first words, unless a limit is written', async () => {
    const limits = async (keys: string, values: Record<string, readonly string[]> = {}) => {
      const { server } = await only(one(`user: u, ${keys}`), { ssh: { a: values } });
      return [server.connectTimeoutMs, server.firstWordsMs];
    };
    const own = 'host: h.x, proxy_command: "cloudflared access ssh --hostname %h"';
    expect(await limits(own)).toEqual([10_000, null]);
    expect(await limits(`${own}, connect_timeout: 3s`)).toEqual([3000, 3000]);
    expect(await limits(`${own}, connect_timeout: 0s`)).toEqual([longestMs, null]);
    const proxycommand = ['aws ssm start-session --target %h'];
    expect(await limits('host: a', { proxycommand })).toEqual([10_000, null]);
    expect(await limits('host: a', { proxycommand, connecttimeout: ['7'] })).toEqual([7000, 7000]);
    expect(await limits('host: a', { connecttimeout: ['7'] })).toEqual([7000, 7000]);
  });

  test('merges keepalive key by key', async () => {
    const text = 'defaults: { keepalive: { interval: 5s } }\nhosts: { a: { keepalive: { count: 9 } } }\n';
    expect((await only(text + one('host: a'))).server.keepalive).toEqual({ intervalMs: 5000, count: 9 });
  });

  test('with StrictHostKeyChecking no is accept-new, with a warning', async () => {
    const { config } = await resolve(one('host: a'), { ssh: { a: { stricthostkeychecking: ['false'] } } });
    expect(config.tunnels[0]?.ways[0][0].hostKeys).toBe('accept-new');
    expect(config.warnings).toEqual([
      'ssh_config sets StrictHostKeyChecking no for a: taken as accept-new, a changed key is refused',
    ]);
  });

  test.each([
    ['katei', 'katie'],
    ['bastoin', 'bastion'],
    ['katie', null],
    ['web7', null],
    ['something', null],
  ])('%s is compared with the names of ssh_config and what it includes', async (host, near) => {
    const home = createHome();
    home.write(
      '.ssh/config',
      'Include more\nHost katie\n  HostName k.example.org\nHost web? !web9\nHost *\n  Port 2022\n',
    );
    home.write('.ssh/more', 'Host bastion\n  HostName b.example.org\n');
    const file = home.write('tunnels.yaml', one(`host: ${host}`));
    const { config } = await checkConfig(file, home.account);
    expect(config?.warnings).toEqual(
      near === null ? [] : [`host ${host} is in neither hosts: nor ssh_config, did you mean "${near}"?`],
    );
  });

  test('with a key or a certificate that is not there is warned about, by `check` too; a half or an agent will do', async () => {
    const home = createHome();
    home.write('.ssh/there', '');
    home.write('.ssh/half.pub', '');
    const keys = 'identity: [~/.ssh/there, ~/.ssh/half, ~/.ssh/nope, keys/nope], certificate: /nope-cert.pub';
    const file = home.write('tunnels.yaml', `hosts: { a: { ${keys} } }\n${one('host: a')}`);
    const { config, ok } = await checkConfig(file, home.account);
    expect(ok).toBe(true);
    expect(config?.warnings).toEqual([
      'host a: there is no file ~/.ssh/nope, which identity names',
      'host a: there is no file ~/keys/nope, which identity names',
      'host a: there is no file /nope-cert.pub, which certificate names',
    ]);
  });

  test('that is nearly one of hosts: is warned about', async () => {
    const { config } = await resolve('hosts: { katie: { hostname: k.x } }\n' + one('host: kaite'));
    expect(config.warnings).toEqual([
      'host kaite is in neither hosts: nor ssh_config, did you mean "katie"?',
    ]);
  });
});

describe('a way', () => {
  const names = async (text: string, options: Options = {}): Promise<string[]> =>
    (await only(text, options)).hops.map(formatLogin);

  test('has its hops nearest first, each a host by the same rules', async () => {
    const text = `
defaults: { user: d }
hosts:
  a: { hostname: a.x, jump: [b, "c@c.y:23"], password: keychain }
  b: { hostname: b.x, user: bob }
`;
    expect(await names(text + one('host: a'))).toEqual(['bob@b.x:22', 'c@c.y:23', 'd@a.x:22']);
  });

  test('follows the jump of the first hop only', async () => {
    const text = `
hosts:
  a: { hostname: a.x, jump: [b, c], user: u }
  b: { hostname: b.x, jump: d, user: u }
  c: { hostname: c.x, jump: e, user: u }
  d: { hostname: d.x, user: u }
`;
    expect(await names(text + one('host: a'))).toEqual(['u@d.x:22', 'u@b.x:22', 'u@c.x:22', 'u@a.x:22']);
  });

  test('keeps the proxy of its first hop and no other', async () => {
    const text = `
hosts:
  a: { hostname: a.x, jump: [b, c] }
  b: { hostname: b.x, proxy_command: "nc %h %p" }
  c: { hostname: c.x, proxy: "socks5://me@p:1080" }
`;
    const { hops } = await only(text + one('host: a'));
    expect(hops.map(({ proxyCommand, proxy }) => [proxyCommand, proxy])).toEqual([
      ['nc %h %p', null],
      [null, null],
      [null, null],
    ]);
  });

  test('of a higher level replaces that of a lower one as a whole', async () => {
    const hosts =
      'hosts: { a: { hostname: a.x, proxy_command: x, user: u }, b: { hostname: b.x, user: u } }\n';
    expect(await names(hosts + one('host: a, jump: b'))).toEqual(['u@b.x:22', 'u@a.x:22']);
    const proxied = await only(hosts + one('host: a, proxy: { url: "http://me@p:3128", password: "env:P" }'));
    expect(proxied.server).toMatchObject({
      proxyCommand: null,
      proxy: { scheme: 'http', host: 'p', port: 3128, user: 'me', password: { from: 'env', name: 'P' } },
    });
    const ssh = { s: { proxyjump: ['b'] } };
    expect(await names(hosts + one('host: s, user: v'), { ssh })).toEqual(['u@b.x:22', 'v@s:22']);
    expect(await names(hosts + one('host: s, user: v, jump: []'), { ssh })).toEqual(['v@s:22']);
    expect(await names(hosts + one('host: s, user: v, proxy_command: none'), { ssh })).toEqual(['v@s:22']);
  });

  test('through a jump of defaults does not go through it to reach it', async () => {
    const text = 'defaults: { jump: b, user: u }\nhosts: { b: { hostname: b.x } }\n';
    expect(await names(text + one('host: a'))).toEqual(['u@b.x:22', 'u@a:22']);
    expect(await names(text + one('host: b'))).toEqual(['u@b.x:22']);
  });

  test('can have alternatives, each in place of jump', async () => {
    const text = `
hosts:
  a: { hostname: a.x, user: u, jump: z }
  b: { hostname: b.x, user: u }
${one('host: a, ways: [b, direct, [b, c@c.x]]')}`;
    const { tunnel } = await only(text);
    expect(tunnel.ways.map((way) => way.map(formatLogin))).toEqual([
      ['u@b.x:22', 'u@a.x:22'],
      ['u@a.x:22'],
      ['u@b.x:22', 'c@c.x:22', 'u@a.x:22'],
    ]);
  });

  test('may go over another port of the same name, or for another user there', async () => {
    const ports = one('host: "127.0.0.1:7201", jump: "127.0.0.1:7202"');
    expect(await names(ports)).toEqual(['root@127.0.0.1:7202', 'root@127.0.0.1:7201'].map(asMe));
    const users =
      'hosts: { gate: { hostname: g.x, port: 7, jump: [door] }, door: { hostname: G.X, port: 7, user: d } }\n';
    expect(await names(users + one('host: u@gate'))).toEqual(['d@G.X:7', 'u@g.x:7']);
    const ssh = { a: { hostname: ['h.x'], proxyjump: ['u@[::1]:23'] }, '::1': {} };
    expect(await names(one('host: u@a'), { ssh })).toEqual(['u@[::1]:23', 'u@h.x:22']);
    expect(await names(one('host: "[::1]:24"'), { ssh })).toEqual([asMe('root@[::1]:24')]);
  });

  test('of defaults holds for another port of the host it names', async () => {
    const text = 'defaults: { jump: "127.0.0.1:7202", user: u }\n';
    expect(await names(text + one('host: "127.0.0.1:7201"'))).toEqual([
      'u@127.0.0.1:7202',
      'u@127.0.0.1:7201',
    ]);
    expect(await names(text + one('host: "127.0.0.1:7202"'))).toEqual(['u@127.0.0.1:7202']);
    const named = 'defaults: { jump: [b], user: u }\nhosts: { b: { hostname: b.x, port: 7 } }\n';
    expect(await names(named + one('host: "b:7"'))).toEqual(['u@b.x:7']);
    expect(await names(named + one('host: "b:8"'))).toEqual(['u@b.x:7', 'u@b.x:8']);
  });

  test('in a circle of one name on two ports is told with its ports', async () => {
    const ssh = { a: { proxyjump: ['u@a:1'], user: ['u'] } };
    const { problems } = await resolve(one('host: a'), { ssh });
    expect(problems).toMatchObject([{ message: 'its jumps go in a circle: u@a:1 → u@a:1' }]);
  });

  test('in a circle through ssh_config is refused where the host is named', async () => {
    const ssh = { a: { proxyjump: ['b'] }, b: { proxyjump: ['a'] } };
    const { config, problems } = await resolve(one('host: a'), { ssh });
    expect(config.tunnels).toEqual([]);
    expect(problems).toEqual([
      { path: ['tunnels', 't', 'host'], message: 'its jumps go in a circle: a → b → a' },
    ]);
  });

  test('or not: the variables of every host count as secret', async () => {
    const text = `
defaults: { passphrase: "env:P" }
hosts: { spare: { hostname: s.x, password: "env:S", proxy: { url: "http://u@p:1", password: "env:X" } } }
${one('host: box')}`;
    expect((await resolve(text)).config.secretVariables).toEqual(['P', 'S', 'X']);
  });

  test('by a jump host of ssh_config that cannot be one is refused, never gone without', async () => {
    const { config, problems } = await resolve(one('host: a'), { ssh: { a: { proxyjump: ['b,x;y'] } } });
    expect(config.tunnels).toEqual([]);
    expect(problems).toEqual([
      {
        path: ['tunnels', 't', 'host'],
        message: 'ssh_config names a jump host that must not hold characters that a shell acts on',
      },
    ]);
  });
});

describe('forwards', () => {
  test('come out with their defaults and absolute local paths', async () => {
    const text = `
tunnels:
  t:
    host: h
    forwards:
      - { name: db, local: 5432, remote: "db:5432", probe: postgres }
      - { local: auto, remote: /var/run/x.sock }
      - { local: ~/x.sock, remote: 80, probe: { greeting: "^220" } }
      - { local: "[::1]:81", remote: "[2001:db8::2]:80", protocol: ftp }
      - "L 6379:cache:6379"
      - "L *:82:h:80"
      - "R 8080:localhost:3000"
      - "-D 1080"
      - { type: remote, remote: 9000, local: ./app.sock }
      - { type: remote, remote: "0.0.0.0:9001", allow: ["*.corp:443"] }
      - { type: dynamic, local: localhost:1081, allow: ["*:80"] }
`;
    const { tunnel } = await only(text);
    const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port });
    expect(tunnel.forwards).toEqual([
      {
        name: 'db',
        type: 'local',
        listen: tcp('127.0.0.1', 5432),
        target: tcp('db', 5432),
        probe: { kind: 'postgres' },
        protocol: null,
      },
      {
        name: null,
        type: 'local',
        listen: tcp('127.0.0.1', 0),
        target: { kind: 'unix', path: '/var/run/x.sock' },
        probe: null,
        protocol: null,
      },
      {
        name: null,
        type: 'local',
        listen: { kind: 'unix', path: `${home.folder}/x.sock` },
        target: tcp('127.0.0.1', 80),
        probe: { kind: 'greeting', pattern: '^220' },
        protocol: null,
      },
      {
        name: null,
        type: 'local',
        listen: tcp('::1', 81),
        target: tcp('2001:db8::2', 80),
        probe: null,
        protocol: 'ftp',
      },
      {
        name: null,
        type: 'local',
        listen: tcp('127.0.0.1', 6379),
        target: tcp('cache', 6379),
        probe: null,
        protocol: null,
      },
      { name: null, type: 'local', listen: tcp('*', 82), target: tcp('h', 80), probe: null, protocol: null },
      {
        name: null,
        type: 'remote',
        listen: tcp('127.0.0.1', 8080),
        target: tcp('localhost', 3000),
        probe: null,
        allow: [],
      },
      {
        name: null,
        type: 'dynamic',
        listen: tcp('127.0.0.1', 1080),
        probe: null,
        allow: [],
        socksAuth: null,
      },
      {
        name: null,
        type: 'remote',
        listen: tcp('127.0.0.1', 9000),
        target: { kind: 'unix', path: `${home.folder}/app.sock` },
        probe: null,
        allow: [],
      },
      {
        name: null,
        type: 'remote',
        listen: tcp('0.0.0.0', 9001),
        target: null,
        probe: null,
        allow: ['*.corp:443'],
      },
      {
        name: null,
        type: 'dynamic',
        listen: tcp('localhost', 1081),
        probe: null,
        allow: ['*:80'],
        socksAuth: null,
      },
    ]);
  });

  test('of a SOCKS server beyond loopback carry who may use it', async () => {
    const text =
      'tunnels:\n  t: { host: h, type: dynamic, local: 0.0.0.0:1080, socks_auth: { user: u, password: "file:pw" } }\n';
    expect((await only(text)).tunnel.forwards[0]).toMatchObject({
      socksAuth: { user: 'u', password: { from: 'file', path: `${home.folder}/pw` } },
    });
  });
});
