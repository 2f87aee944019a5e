// `tunnel why`: each layer that can fail, on a live link, through a supervisor, and alone; with as few connections as it takes.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { WhyDocument, WhyStep } from '../../src/model/why.ts';
import { entriesBelow } from '../helpers/folder.ts';
import { hintOf } from '../helpers/hint.ts';
import { freePort } from '../helpers/ports.ts';
import { makeKey, sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { startTarget, uppercase } from '../helpers/targets.ts';
import { openTerminal, tmuxMissing } from '../helpers/tmux.ts';
import { connections, logins, requests } from '../helpers/ways-in.ts';
import { createWorld, isAlive, type World } from '../helpers/world.ts';

const bin = resolve(import.meta.dirname, '../../bin/tunnel.js');

interface Setting {
  readonly local?: number | string;
  readonly target?: number;
  readonly policy?: 'ask' | 'accept-new';
  readonly identity?: string;
}

function configure(
  world: World,
  sshd: Pick<Sshd, 'port' | 'user' | 'identity'>,
  setting: Setting = {},
): void {
  const { local = 'auto', target = 9, policy = 'accept-new', identity = sshd.identity } = setting;
  world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${identity}], agent: false, host_keys: ${policy} }
  inner: { hostname: localhost, port: ${sshd.port}, user: ${sshd.user}, identity: [${identity}], agent: false, host_keys: ${policy}, jump: [box] }
tunnels:
  db: { host: box, local: ${local}, remote: ${target}, hold: 0s }
  deep: { host: inner, local: auto, remote: ${target}, autostart: false }
`);
}

interface Told {
  readonly code: number | null;
  readonly document: WhyDocument;
  readonly stderr: string;
  /** Connections and attempts at a login that the server saw of it. */
  readonly connections: number;
  readonly logins: number;
}

async function why(world: World, name: string, sshd?: Sshd): Promise<Told> {
  const seen = (pattern: RegExp): number => sshd?.log().match(pattern)?.length ?? 0;
  const count = (): number[] => [seen(/Connection from /g), seen(/userauth-request for user/g)];
  const [connections = 0, logins = 0] = count();
  const ran = await world.run(['why', name, '--json']);
  const document = JSON.parse(ran.stdout) as WhyDocument;
  expect(document).toMatchObject({ name: expect.any(String) as string, ok: ran.code === 0 });
  for (const step of document.steps)
    expect(Object.keys(step).sort()).toEqual(['detail', 'hop', 'layer', 'ms', 'status']);
  const [after = 0, attempts = 0] = count();
  return {
    code: ran.code,
    document,
    stderr: ran.stderr,
    connections: after - connections,
    logins: attempts - logins,
  };
}

const at = ({ document }: Told, layer: WhyStep['layer'], hop = 'box'): WhyStep | undefined =>
  document.steps.find((step) => step.layer === layer && step.hop === hop);
const states = ({ document }: Told): string[] =>
  document.steps.map(({ layer, status }) => `${layer} ${status}`);
const supervisors = (world: World): number[] =>
  entriesBelow(world.folder)
    .filter(({ name, text }) => name.endsWith('/lock') && text !== '')
    .map(({ text }) => (JSON.parse(text) as { pid: number }).pid)
    .filter(isAlive);

const good = ['config', 'dns', 'tcp', 'kex', 'host-key', 'auth', 'listen', 'target'].map(
  (each) => `${each} ok`,
);

describe.skipIf(sshdMissing() !== null)('a tunnel that works', () => {
  test('alone: one connection, every layer ok, and no supervisor left behind', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port });
    const told = await why(world, 'db', sshd);
    expect(told, told.stderr).toMatchObject({ code: 0, connections: 1, document: { error: null } });
    expect(states(told)).toEqual(good);
    expect(at(told, 'kex')?.detail).toMatch(/^\S+, \S+, ssh-ed25519$/);
    expect(at(told, 'auth')?.detail).toMatch(/^key ED25519 SHA256:\S+ \(.*id_ed25519\): accepted$/);
    expect(supervisors(world)).toEqual([]);
  });

  test('alone through a jump host: each hop, one connection a hop', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port });
    const told = await why(world, 'deep', sshd);
    expect(told, told.stderr).toMatchObject({ code: 0, connections: 2 });
    for (const layer of ['tcp', 'kex', 'host-key', 'auth'] as const)
      for (const hop of ['box', 'inner']) expect(at(told, layer, hop)?.status).toBe('ok');
    const table = await world.run(['why', 'deep']);
    expect(table.stdout).toMatch(/^box +tcp +ok/m);
    expect(table.stdout).toMatch(/^inner +tcp +ok +\d+ ms +localhost:\d+ from box$/m);
  });

  test('alone by the second of two ways: the first is told as far as it went', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const dead = await freePort();
    world.config(`
hosts:
  dead: { hostname: 127.0.0.1, port: ${dead}, user: me }
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  db: { host: box, local: auto, remote: ${target.port}, ways: [dead, direct] }
`);
    const told = await why(world, 'db', sshd);
    expect(told, told.stderr).toMatchObject({ code: 0, connections: 1, document: { error: null } });
    expect(at(told, 'tcp', 'dead')?.status).toBe('failed');
    expect(at(told, 'kex', 'dead')).toBeUndefined();
    expect(states(told).slice(-7)).toEqual(good.slice(1));
  });

  test('on a live link: no login, DNS, TCP and target anew', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port });
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    const told = await why(world, 'db', sshd);
    expect(told, told.stderr).toMatchObject({ code: 0, logins: 0 });
    expect(told.connections).toBeLessThanOrEqual(1);
    expect(states(told)).toEqual(good);
    expect(target.accepted()).toBe(1);
    expect((await world.tunnel('db')).forwards[0]).toMatchObject({ total: 0, failed: 0 });
    await target[Symbol.asyncDispose]();
    const dead = await why(world, 'db', sshd);
    expect(dead).toMatchObject({ code: 8, document: { error: { code: 'FORWARD_REFUSED' } } });
    expect(at(dead, 'target')?.status).toBe('failed');
    expect(dead.document.error?.hint).toBe('tunnel ports db    # does anything listen there?');
    expect(await world.run(['ports', 'db'])).toMatchObject({ code: 0 });
    expect((await world.tunnel('db')).state).toBe('up');
  });
});

describe.skipIf(sshdMissing() !== null)('a tunnel of several forwards', () => {
  test('has a line for each port and each target: local, remote and dynamic', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const port = await freePort();
    world.config(`
hosts:
  box: { hostname: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, identity: [${sshd.identity}], agent: false, host_keys: accept-new }
tunnels:
  stack:
    host: box
    forwards:
      - { name: web, local: auto, remote: ${target.port} }
      - { name: hook, type: remote, remote: ${port}, local: ${target.port} }
      - { name: socks, type: dynamic, local: auto }
`);
    const ends = ({ document }: Told): unknown =>
      document.steps.flatMap(({ layer, status, detail }) =>
        layer === 'listen' || layer === 'target' ? [`${layer} ${detail.split(':')[0]} ${status}`] : [],
      );
    const alone = await why(world, 'stack', sshd);
    expect(alone, alone.stderr).toMatchObject({ code: 0, connections: 1 });
    const targets = ['target web ok', 'target hook ok', 'target socks skipped'];
    expect(ends(alone)).toEqual(['listen web ok', 'listen socks ok', 'listen hook ok', ...targets]);
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    const live = await why(world, 'stack', sshd);
    expect(live, live.stderr).toMatchObject({ code: 0, logins: 0 });
    expect(ends(live)).toEqual(['listen web ok', 'listen hook ok', 'listen socks ok', ...targets]);
    await target[Symbol.asyncDispose]();
    expect((await why(world, 'stack', sshd)).document.error?.hint).toMatch(/^tunnel ports stack /);
  });
});

describe.skipIf(sshdMissing() !== null)('the first layer that fails', () => {
  test('config: exit 3, every problem said', async () => {
    await using world = createWorld();
    world.config('tunnels: { db: { host: box, local: 70000, remote: 9 } }\n');
    const told = await why(world, 'db');
    expect(told).toMatchObject({ code: 3, document: { error: { code: 'CONFIG_INVALID' } } });
    expect(states(told)).toEqual(['config failed']);
    expect(told.stderr).toContain('tunnels.db.local');
  });

  test('dns: exit 5, and what to do next', async () => {
    await using world = createWorld();
    world.config('tunnels: { db: { host: "me@no-such-name.invalid", local: auto, remote: 9 } }\n');
    const told = await why(world, 'db');
    expect(told.code).toBe(5);
    expect(states(told).slice(0, 3)).toEqual(['config ok', 'dns failed', 'tcp skipped']);
    expect(told.document.error?.hint).toMatch(/^tunnel show db/);
  });

  test('tcp: exit 5, the port still tried, the rest skipped', async () => {
    await using world = createWorld();
    const port = await freePort();
    world.config(`tunnels: { db: { host: "me@127.0.0.1:${port}", local: auto, remote: 9 } }\n`);
    const told = await why(world, 'db');
    expect(told).toMatchObject({ code: 5, document: { error: { code: 'UNREACHABLE' } } });
    expect(states(told)).toEqual([
      'config ok',
      'dns ok',
      'tcp failed',
      'kex skipped',
      'host-key skipped',
      'auth skipped',
      'listen ok',
      'target skipped',
    ]);
    expect(told.document.error?.hint).toMatch(/^tunnel up db/);
  });

  test('kex: what closes at once may be a penalty, and is asked once', async () => {
    await using world = createWorld();
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as { port: number };
    world.config(`tunnels: { db: { host: "me@127.0.0.1:${port}", local: auto, remote: 9 } }\n`);
    try {
      const told = await why(world, 'db');
      expect(told).toMatchObject({ code: 5, document: { error: { code: 'LINK_LOST' } } });
      expect(at(told, 'kex', '127.0.0.1')?.status).toBe('failed');
      expect(told.stderr).toMatch(/PerSourcePenalties, MaxStartups, fail2ban/);
      expect(told.document.error?.hint).toMatch(/^tunnel up db {4}# in a few minutes/);
      expect(accepted).toBe(1);
    } finally {
      server.close();
    }
  });

  test('host-key: exit 7, the fingerprint shown, no login begun', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, { policy: 'ask' });
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 7, connections: 1, logins: 0 });
    expect(at(told, 'host-key')).toMatchObject({ status: 'failed' });
    expect(at(told, 'host-key')?.detail).toContain(sshd.fingerprint());
    expect(told.document.error?.hint).toBe('tunnel trust db');
    expect(at(told, 'kex')).toMatchObject({
      status: 'skipped',
      detail: 'broken off for the host key, which is checked within it',
    });
  });

  test('auth: exit 6, each credential with the answer to it', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const stranger = makeKey(join(world.folder, 'stranger'));
    configure(world, sshd, { identity: stranger });
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 6, connections: 1, document: { error: { code: 'AUTH_REFUSED' } } });
    expect(at(told, 'auth')).toMatchObject({ status: 'failed' });
    expect(at(told, 'auth')?.detail).toMatch(/stranger\): refused; the server takes publickey/);
    expect(told.document.error?.hint).toContain('ssh-copy-id');
  });

  test('listen: exit 8, naming who holds the port', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using holder = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port, local: holder.port });
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 8, document: { error: { code: 'LISTEN_FAILED' } } });
    expect(at(told, 'listen')?.status).toBe('failed');
    expect(at(told, 'auth')?.status).toBe('ok');
  });
});

describe.skipIf(sshdMissing() !== null)('two hops of one hostname', () => {
  test('are told apart by their logins, alone and on a live link', async () => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    const logins = [first, second].map(({ user, port }) => `${user}@127.0.0.1:${port}`);
    const [near = '', far = ''] = logins;
    const forward = `{ host: "${far}", jump: ["${near}"], local: auto, remote: ${target.port} }`;
    world.config(`defaults: { agent: false, host_keys: accept-new, identity: [${first.identity}, ${second.identity}] }
tunnels:\n  db: ${forward}\n`);
    // accept-new stores nothing for `why`
    expect(await world.run(['trust', '--yes', 'db'])).toMatchObject({ code: 0 });
    for (const isLive of [false, true]) {
      if (isLive) expect(await world.run(['up'])).toMatchObject({ code: 0 });
      const told = await why(world, 'db');
      expect(told, told.stderr).toMatchObject({ code: 0 });
      const layersOf = (hop: string): string[] =>
        told.document.steps.filter((step) => step.hop === hop).map(({ layer }) => layer);
      expect(layersOf(near)).toEqual(['dns', 'tcp', 'kex', 'host-key', 'auth']);
      expect(new Set(layersOf(far))).toEqual(new Set(good.map((each) => each.split(' ')[0])));
      expect(at(told, 'dns', far)?.detail).toBe(`${near} looks it up`);
      expect(told.document.steps.every(({ hop }) => logins.includes(hop))).toBe(true);
    }
    expect((await world.run(['why', 'db'])).stdout).toContain(`${near}  tcp`);
  });
});

describe.skipIf(sshdMissing() !== null)('a target beyond the server that refuses', () => {
  test('leads to a command of ssh that logs in by the same way, keys and trust', async () => {
    await using first = await startSshd();
    await using second = await startSshd();
    await using world = createWorld();
    world.config(`defaults: { agent: false, host_keys: accept-new }
hosts:
  near: { hostname: 127.0.0.1, port: ${first.port}, user: ${first.user}, identity: [${first.identity}] }
tunnels:
  db: { host: "${second.user}@127.0.0.1", port: ${second.port}, identity: [${second.identity}], jump: [near], local: auto, remote: "nowhere.invalid:9" }
`);
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    const told = await why(world, 'db');
    expect(told).toMatchObject({ code: 8, document: { error: { code: 'FORWARD_REFUSED' } } });
    const [command = ''] = (hintOf(told.document.error) ?? '').split('    #');
    expect(command).toMatch(/^ssh -i /);
    expect(
      execFileSync('sh', ['-c', `${command} echo inside`], { stdio: ['ignore', 'pipe', 'pipe'] }).toString(),
    ).toBe('inside\n');
    expect(logins(first)).toBe(2);
    expect(logins(second)).toBe(2);
  });
});

describe.skipIf(sshdMissing() !== null)('a tunnel that its supervisor cannot bring up', () => {
  test('for a taken port: the way to the server is gone all the same, and the port alone fails', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using holder = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port, local: holder.port });
    expect(await world.run(['up', 'db'])).toMatchObject({ code: 8 });
    expect(supervisors(world)).toHaveLength(1);
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 8, connections: 1, document: { error: { code: 'LISTEN_FAILED' } } });
    expect(states(told)).toEqual(good.map((each) => (each === 'listen ok' ? 'listen failed' : each)));
  });

  test('a lost server: tcp fails, and the last login is told', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd);
    expect(await world.run(['up'])).toMatchObject({ code: 0 });
    await sshd.stop();
    await world.until('db', ({ state }) => state === 'retrying');
    const told = await why(world, 'db');
    expect(told).toMatchObject({ code: 5, document: { error: { code: 'UNREACHABLE' } } });
    expect(at(told, 'tcp')?.status).toBe('failed');
    expect(at(told, 'kex')?.detail).toMatch(/^last time: \S+, \S+, ssh-ed25519$/);
    expect(at(told, 'auth')?.detail).toMatch(/^last time: key ED25519 .*accepted$/);
    expect(at(told, 'listen')?.status).toBe('ok');
    expect((await world.status(['db'])).tunnels[0]?.error?.hint).toBe('tunnel why db');
  });

  test('a server that takes connections and closes them is tried once more, not in a loop', async () => {
    await using world = createWorld();
    let accepted = 0;
    const server = createServer((socket) => {
      accepted += 1;
      socket.end();
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address() as { port: number };
    world.config(
      `tunnels: { db: { host: "me@127.0.0.1:${port}", local: auto, remote: 9, reconnect: { initial: 5m, max: 10m } } }\n`,
    );
    try {
      expect(await world.run(['up', '--timeout', '1s'])).toMatchObject({ code: 5 });
      // The second of `up` may be over before the supervisor's own attempt has ended.
      await world.until('db', ({ state }) => state === 'retrying');
      const before = accepted;
      const told = await why(world, 'db');
      expect(told).toMatchObject({ code: 5, document: { error: { code: 'LINK_LOST' } } });
      expect(at(told, 'kex', '127.0.0.1')?.status).toBe('failed');
      expect(accepted - before).toBe(1);
    } finally {
      server.close();
    }
  });

  test('a refused credential is not offered again: the kept answer is told, without a connection', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, { identity: makeKey(join(world.folder, 'stranger')) });
    expect(await world.run(['up'])).toMatchObject({ code: 6 });
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 6, connections: 0, logins: 0 });
    expect(at(told, 'auth')?.detail).toMatch(/refused; the server takes publickey/);
    expect(told.document.error).toMatchObject({ code: 'AUTH_REFUSED' });
  });

  test('one that is down is tried alone, and stays down', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    await using world = createWorld();
    configure(world, sshd, { target: target.port });
    expect(await world.run(['up', 'db'])).toMatchObject({ code: 0 });
    const told = await why(world, 'deep', sshd);
    expect(told, told.stderr).toMatchObject({ code: 0, connections: 2 });
    expect((await world.tunnel('deep')).state).toBe('down');
  });

  test('a name that no tunnel has is exit 2; a host leads to its tunnel', async () => {
    await using world = createWorld();
    const port = await freePort();
    configure(world, { port, user: 'me', identity: '/nowhere' });
    expect(await world.run(['why', 'nothing'])).toMatchObject({ code: 2, stdout: '' });
    expect((await why(world, 'inner')).document.name).toBe('deep');
  });

  test.skipIf(tmuxMissing() !== null)('on a terminal it asks, and the answer resumes the link', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    const locked = makeKey(join(world.folder, 'locked'), ['-t', 'ed25519'], 'correct horse');
    writeFileSync(sshd.authorizedKeys, readFileSync(`${locked}.pub`));
    configure(world, sshd, { identity: locked });
    expect(await world.run(['up'])).toMatchObject({ code: 6 });
    using terminal = openTerminal(world.env);
    terminal.type(`${process.execPath} ${bin} why db; echo "exit=$?"`);
    terminal.key('Enter');
    await terminal.until(/Passphrase for .*locked/);
    terminal.type('correct horse');
    terminal.key('Enter');
    const shown = await terminal.until(/exit=8/); // nothing listens on the target
    expect(shown).toMatch(/auth +ok/);
    expect(shown).not.toContain('correct horse');
    expect((await world.tunnel('db')).state).toBe('up');
  });
});

describe.skipIf(sshdMissing() !== null)('good manners', () => {
  /** Connections that a command makes; none of them begins a login beyond `logins`. */
  const cost = async (world: World, sshd: Sshd, ...args: string[]): Promise<[number, number]> => {
    const count = (): [number, number] => [connections(sshd), requests(sshd)];
    const before = count();
    await world.run(args);
    const after = count();
    return [after[0] - before[0], after[1] - before[1]];
  };

  test('a refused key costs the first `up` one login, and no command after it another', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, { identity: makeKey(join(world.folder, 'stranger')) });
    expect(await cost(world, sshd, 'up', 'db')).toEqual([1, 2]); // `none`, then the key
    for (let round = 0; round < 10; round += 1) expect(await cost(world, sshd, 'up', 'db')).toEqual([0, 0]);
    for (const args of [
      ['wait', '--timeout', '300ms'],
      ['why', 'db'],
      ['exec', 'db', '--', 'true'],
      ['reload'],
    ])
      expect(await cost(world, sshd, ...args), args.join(' ')).toEqual([0, 0]);
    // looks at the key anew, and does not have the login begun anew
    expect(await cost(world, sshd, 'trust', '--yes', 'db')).toEqual([1, 0]);
    expect((await world.tunnel('db')).error?.code).toBe('AUTH_REFUSED');
    expect(await cost(world, sshd, 'restart', 'db')).toEqual([1, 2]);
  });

  test('a changed key costs each command a key exchange at most, and none begins a login', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd);
    expect(await cost(world, sshd, 'trust', '--yes', 'db')).toEqual([1, 0]);
    await sshd.stop();
    sshd.changeHostKey();
    await sshd.start();
    expect(await cost(world, sshd, 'up', 'db')).toEqual([1, 0]);
    for (let round = 0; round < 3; round += 1)
      expect(await cost(world, sshd, 'up', '--accept-new', 'db')).toEqual([0, 0]);
    for (const args of [['wait', '--timeout', '300ms'], ['why', 'db'], ['reload']])
      expect(await cost(world, sshd, ...args), args.join(' ')).toEqual([0, 0]);
    expect(await cost(world, sshd, 'trust', '--yes', 'db')).toEqual([1, 0]);
    expect((await world.tunnel('db')).error?.code).toBe('HOST_KEY_CHANGED');
    expect(await cost(world, sshd, 'down', 'db')).toEqual([0, 0]);
    expect(await cost(world, sshd, 'why', 'db')).toEqual([1, 0]);
  });

  test('an unknown key costs `up`, `trust` and `why` one connection each, and `trust` begins no login', async () => {
    await using sshd = await startSshd();
    await using world = createWorld();
    configure(world, sshd, { policy: 'ask' });
    const connections = async (...args: string[]): Promise<number> => {
      const before = sshd.log().split('Connection from ').length;
      await world.run(args);
      return sshd.log().split('Connection from ').length - before;
    };
    expect(await connections('why', 'db')).toBe(1);
    expect(await connections('up', 'db')).toBe(1);
    expect(await connections('down', 'db')).toBe(0);
    expect(sshd.log()).not.toContain('userauth-request');
    expect(await connections('trust', '--yes', 'db')).toBe(1);
    expect(await connections('trust', '--yes', 'deep')).toBe(2);
    rmSync(join(world.folder, 'known_hosts'));
    expect(await connections('trust', '--fingerprint', sshd.fingerprint(), 'db')).toBe(1);
  });
});

test.skipIf(sshdMissing() !== null)('a server at its MaxStartups is told as what it is', async () => {
  await using sshd = await startSshd({ config: ['PerSourceMaxStartups 1'] });
  await using world = createWorld();
  configure(world, sshd);
  const waiting: Socket[] = []; // the last of them takes the only place, and never logs in
  try {
    for (let words = ''; !words.startsWith('SSH-');) {
      const socket = connect(sshd.port, '127.0.0.1');
      waiting.push(socket);
      words = String(((await once(socket, 'data')) as [Buffer])[0]);
    }
    const before = sshd.log().split('drop connection').length;
    const told = await why(world, 'db', sshd);
    expect(told).toMatchObject({ code: 5, document: { error: { code: 'LINK_LOST' } } });
    expect(told.stderr).toMatch(
      /it says: (Exceeded MaxStartups|Not allowed at this time); .*\(PerSourcePenalties, MaxStartups, fail2ban\)/,
    );
    expect(sshd.log().split('drop connection').length - before).toBe(1);
  } finally {
    for (const socket of waiting) socket.destroy();
  }
});
