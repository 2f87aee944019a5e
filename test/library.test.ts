// The library, from this source and as it is shipped: a port in the program's own process, by the rules of the command.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hintOf, openTunnel, TunnelError, type OpenOptions } from '../src/library.ts';
import { temporaryFolder } from './helpers/folder.ts';
import { startSshd, sshdMissing, type Sshd } from './helpers/sshd.ts';
import { request, startTarget, uppercase } from './helpers/targets.ts';
import { finished } from './helpers/world.ts';

const root = resolve(import.meta.dirname, '..');

function place(): { readonly folder: string; readonly env: Record<string, string> } {
  const folder = temporaryFolder('lib');
  const home = join(folder, 'home');
  mkdirSync(home, { mode: 0o700 });
  return { folder, env: { PATH: process.env['PATH'] ?? '', HOME: home, TUNNEL_HOME: folder } };
}

const serverOf = (sshd: Sshd): Record<string, unknown> => ({
  hostname: '127.0.0.1',
  port: sshd.port,
  user: sshd.user,
  identity: [sshd.identity],
  agent: false,
});

async function failure(opening: Promise<unknown>): Promise<TunnelError> {
  const thrown: unknown = await opening.then(
    () => new Error('it was opened'),
    (error: unknown) => error,
  );
  if (thrown instanceof TunnelError) return thrown;
  throw thrown;
}

describe.skipIf(sshdMissing() !== null)('openTunnel', () => {
  test('serves on a free port until it is closed, and tells its status', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const { env } = place();
    const options: OpenOptions = { hosts: { box: serverOf(sshd) }, env, acceptNew: true };
    const tunnel = await openTunnel({ host: 'box', remote: target.port }, options);
    expect(tunnel.address).toBe(`127.0.0.1:${tunnel.port}`);
    expect(tunnel.status()).toMatchObject({ state: 'up', host: 'box' });
    expect((await request(tunnel.port ?? 0, 'this is a test')).text).toBe('THIS IS A TEST');
    await tunnel.close();
    await tunnel.close();
    expect((await request(tunnel.port ?? 0, 'x')).error).toBe('ECONNREFUSED');
    expect(sshd.sessionPids()).toEqual([]);
  });

  test('refuses an unknown host key, tells how to trust it, and believes what was accepted once', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const { env, folder } = place();
    const settings = { host: 'box', remote: target.port };
    const options: OpenOptions = { hosts: { box: serverOf(sshd) }, env };
    const error = await failure(openTunnel(settings, options));
    expect(error.code).toBe('HOST_KEY_UNKNOWN');
    expect(error.message).toContain(sshd.fingerprint());
    expect(hintOf(error)).toBe(`tunnel trust ${sshd.user}@127.0.0.1:${sshd.port}`);
    const asked: string[] = [];
    const ask: OpenOptions['ask'] = ({ kind, fingerprint }) => {
      asked.push(`${kind} ${fingerprint}`);
      return 'yes';
    };
    await (await openTunnel(settings, { ...options, ask })).close();
    expect(asked).toEqual([`host-key ${sshd.fingerprint()}`]);
    expect(readFileSync(join(folder, 'known_hosts'), 'utf8')).toContain(sshd.knownHostsLine());
    await (await openTunnel(settings, options)).close();
  });

  test('refuses a changed host key whatever it is told', async () => {
    await using sshd = await startSshd({ hostKeyTypes: ['ed25519'] });
    await using other = await startSshd({ hostKeyTypes: ['ed25519'] });
    const { env, folder } = place();
    const foreign = other.knownHostsLine().replace(/^\S+/, `[127.0.0.1]:${sshd.port}`);
    writeFileSync(join(folder, 'known_hosts'), `${foreign}\n`, { mode: 0o600 });
    const options: OpenOptions = { hosts: { box: serverOf(sshd) }, env, acceptNew: true, ask: () => 'yes' };
    const error = await failure(openTunnel({ host: 'box', remote: 80 }, options));
    expect(error.code).toBe('HOST_KEY_CHANGED');
  });

  test('holds a connection while the server is away, and serves it when it is back', async () => {
    await using sshd = await startSshd();
    await using target = await startTarget(uppercase);
    const { env } = place();
    const options: OpenOptions = { hosts: { box: serverOf(sshd) }, env, acceptNew: true };
    const tunnel = await openTunnel({ host: 'box', remote: target.port }, options);
    const away = new Promise<void>((resolveAway) => {
      const stop = tunnel.onChange(({ state }) => {
        if (state === 'up') return;
        stop();
        resolveAway();
      });
    });
    await sshd.stop();
    await away;
    const held = request(tunnel.port ?? 0, 'held', { halfClose: false });
    await sshd.start();
    expect((await held).text).toBe('HELD');
    await tunnel.close();
  });

  test.each([
    [{ host: 'box', remote: 'db:99999' }, /openTunnel:\d+:\d+ tunnels\.tunnel\.remote: /],
    [{ host: 'box', remote: 80, identiy: 'x' }, /identity/],
    [{ host: 'box', remote: 80, password: 'hunter2' }, /password/],
    [{ host: 'box', remote: 80, type: 'remote' }, /local port/],
  ])('tells what is wrong with %j', async (settings, words) => {
    const error = await failure(openTunnel(settings, { env: place().env }));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toMatch(words);
    expect(error.message).not.toContain('hunter2');
  });

  test('gives up when its signal says so', async () => {
    await using silent = await startTarget(() => undefined);
    const hosts = { box: { hostname: '127.0.0.1', port: silent.port, user: 'me' } };
    const leaving = new AbortController();
    const opening = openTunnel(
      { host: 'box', remote: 80 },
      { hosts, env: place().env, signal: leaving.signal },
    );
    leaving.abort(new Error('no longer wanted'));
    await expect(opening).rejects.toThrow('no longer wanted');
  });
});

/** A project that has the package installed. */
function consumer(): string {
  const folder = temporaryFolder('user');
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules', 'tunnelkeeper'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  return folder;
}

const blocks = [...readFileSync(join(root, 'docs/library.md'), 'utf8').matchAll(/```js\n([^]*?)```/g)].map(
  ([, code = '']) => code,
);

describe('the package', () => {
  test.skipIf(sshdMissing() !== null)(
    'opens a tunnel in a program, which ends by itself after close',
    async () => {
      await using sshd = await startSshd();
      await using target = await startTarget(uppercase);
      const folder = consumer();
      writeFileSync(
        join(folder, 'program.js'),
        `import { connect } from 'node:net';
import { openTunnel } from 'tunnelkeeper';
const hosts = { box: ${JSON.stringify(serverOf(sshd))} };
const tunnel = await openTunnel({ host: 'box', remote: ${target.port} }, { hosts, acceptNew: true });
const socket = connect(tunnel.port, tunnel.host, () => socket.end('from a program'));
for await (const chunk of socket) process.stdout.write(chunk);
await tunnel.close();
`,
      );
      const env = { ...place().env };
      const ran = await finished(spawn(process.execPath, ['program.js'], { cwd: folder, env }));
      expect(ran).toEqual({ code: 0, signal: null, stdout: 'FROM A PROGRAM', stderr: '' });
    },
  );

  test('has types by which every example of docs/library.md compiles', () => {
    const folder = consumer();
    expect(blocks.length).toBeGreaterThanOrEqual(3);
    for (const [index, block] of blocks.entries()) {
      const own = block.includes("from 'tunnelkeeper'")
        ? block
        : `import { openTunnel } from 'tunnelkeeper';\n${block}`;
      writeFileSync(join(folder, `example${index}.ts`), own);
    }
    writeFileSync(
      join(folder, 'wrong.ts'),
      `import { openTunnel } from 'tunnelkeeper';
// @ts-expect-error a tunnel needs a remote
await openTunnel({ host: 'box' });
`,
    );
    const lib = ['ESNext', 'DOM']; // for console and AbortSignal: much sooner read than the types of Node
    const compilerOptions = {
      module: 'NodeNext',
      target: 'ESNext',
      strict: true,
      noEmit: true,
      types: [],
      lib,
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const check = (): string => execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
    expect(check()).toBe('');
  });
});
