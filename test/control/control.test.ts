// The control socket from both ends: real sockets, a server of trivial handlers, clients that behave badly.
import { chmodSync, existsSync, mkdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { connectControl, type ControlClient } from '../../src/control/client.ts';
import type { Handlers } from '../../src/control/connection.ts';
import { ensureOwnFolder } from '../../src/files/folders.ts';
import { listenControl, type ControlServer, type ControlServerOptions } from '../../src/control/server.ts';
import { TunnelError } from '../../src/errors.ts';
import type { StatusDocument } from '../../src/model/status.ts';
import { temporaryFolder } from '../helpers/folder.ts';

const owner = { platform: process.platform, uid: process.getuid?.() ?? 0 };
const document: StatusDocument = {
  version: 1,
  supervisor: {
    running: true,
    pid: 1,
    version: '1',
    config: '/c',
    since: null,
    configError: null,
    nativeCrypto: true,
  },
  tunnels: [],
};

const none = (): Promise<never> => Promise.reject(new TunnelError('INTERNAL', 'not in this test'));
const idle: Handlers = {
  status: () => Promise.resolve(document),
  watch: none,
  up: none,
  wait: none,
  down: none,
  leased: none,
  release: none,
  restart: none,
  reload: none,
  answer: none,
  recheck: none,
  flows: none,
  why: none,
  ports: none,
  'hand-over': none,
  shutdown: none,
};

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface World {
  readonly address: string;
  readonly server: ControlServer;
  readonly bugs: TunnelError[];
}

async function serve(
  handlers: Partial<Handlers>,
  options: Partial<ControlServerOptions> = {},
): Promise<World> {
  const address = join(temporaryFolder('control'), 'run', 's.sock');
  const bugs: TunnelError[] = [];
  const server = await listenControl({
    addresses: [address],
    owner,
    version: '9.9.9',
    pid: 4242,
    config: '/etc/tunnels.yaml',
    token: null,
    handlers: { ...idle, ...handlers },
    refuse: () => null,
    onBug: (error) => bugs.push(error),
    ...options,
  });
  closers.push(() => server.close());
  return { address, server, bugs };
}

async function client(address: string): Promise<ControlClient> {
  const connected = await connectControl(address, { version: '1.0.0', owner, timeoutMs: 3000 });
  if (connected === null) throw new Error(`nothing listens on ${address}`);
  closers.push(() => connected.close());
  return connected;
}

/** A socket of our own, to speak badly. */
async function rawSocket(
  address: string,
): Promise<{ socket: Socket; received: () => string; closed: Promise<void> }> {
  const socket = connect(address);
  closers.push(() => socket.destroy());
  let text = '';
  socket.on('data', (chunk) => (text += chunk.toString())).on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  return { socket, received: () => text, closed };
}

const helloLine = '{"id":1,"method":"hello","params":{"protocol":1,"version":"x"}}\n';

describe('the control socket', () => {
  test('answers hello and the first call, and says who it is', async () => {
    const { address } = await serve({});
    const control = await client(address);
    expect(await control.call('status', { selectors: [] })).toEqual(document);
    expect(await control.hello()).toEqual({
      protocol: 1,
      version: '9.9.9',
      pid: 4242,
      config: '/etc/tunnels.yaml',
    });
  });

  test('is 0600 in a folder of 0700', async () => {
    const { address } = await serve({});
    expect(statSync(address).mode & 0o777).toBe(0o600);
    expect(statSync(join(address, '..')).mode & 0o777).toBe(0o700);
  });

  test('carries an error of a handler with its code and hint, and knows a bug from a failure', async () => {
    const { address, bugs } = await serve({
      reload: () => Promise.reject(new TunnelError('CONFIG_INVALID', 'bad file', { hint: 'tunnel check' })),
      why: () => Promise.reject(new RangeError('oops')),
    });
    const control = await client(address);
    await expect(control.call('reload', { prune: false })).rejects.toMatchObject({
      name: 'TunnelError',
      code: 'CONFIG_INVALID',
      message: 'bad file',
      hint: 'tunnel check',
    });
    expect(bugs).toEqual([]);
    await expect(control.call('why', { name: 'x' })).rejects.toMatchObject({ code: 'INTERNAL' });
    expect(bugs).toHaveLength(1);
  });

  test('streams progress before the result, and answers other calls meanwhile', async () => {
    let release = (): void => undefined;
    const { address } = await serve({
      async watch(_, call) {
        call.progress(document);
        await new Promise<void>((resolve) => (release = resolve));
        call.progress(document);
        return null;
      },
    });
    const control = await client(address);
    const seen: StatusDocument[] = [];
    const first = new Promise<void>((resolve) => {
      void control
        .call('watch', { selectors: [] }, { onProgress: (snapshot) => resolve(void seen.push(snapshot)) })
        .then(() => seen.push(document));
    });
    await first;
    await control.call('status', { selectors: [] });
    release();
    await expect.poll(() => seen.length).toBe(3);
  });

  test('ends a long call when its client leaves', async () => {
    let left: Promise<void> = Promise.resolve();
    let begun = (): void => undefined;
    const started = new Promise<void>((resolve) => (begun = resolve));
    const { address, server } = await serve({
      up: (_, call) => {
        left = new Promise<void>((resolve) => call.signal.addEventListener('abort', () => resolve()));
        begun();
        return left.then(none);
      },
    });
    const control = await client(address);
    const leave = new AbortController();
    const up = control.call(
      'up',
      {
        selectors: [],
        timeoutMs: 1,
        interactive: false,
        acceptNew: false,
        environment: { variables: {}, agentSockets: [] },
        remap: false,
      },
      { signal: leave.signal },
    );
    const failed = expect(up).rejects.toBe('gone');
    await started;
    leave.abort('gone');
    await failed;
    await left;
    await expect.poll(() => server.connections).toBe(0);
  });

  test('takes many long calls on one connection without a word on stderr', async () => {
    const { address } = await serve({
      watch: (_, call) =>
        new Promise((resolve) => call.signal.addEventListener('abort', () => resolve(null), { once: true })),
    });
    const warned: Error[] = [];
    const warn = (warning: Error): unknown => warned.push(warning);
    process.on('warning', warn);
    closers.push(() => process.off('warning', warn));
    const control = await client(address);
    const calls = Array.from({ length: 40 }, () =>
      control.call('watch', { selectors: [] }).catch(() => null),
    );
    await control.call('status', { selectors: [] });
    control.close();
    await Promise.all(calls);
    expect(warned).toEqual([]);
  });

  test('refuses another protocol and names the way out', async () => {
    const { address } = await serve({});
    const raw = await rawSocket(address);
    raw.socket.write('{"id":7,"method":"hello","params":{"protocol":99,"version":"2.0.0"}}\n');
    await raw.closed;
    const answer = JSON.parse(raw.received()) as { id: number; error: { code: string; hint: string } };
    expect(answer).toMatchObject({
      id: 7,
      error: { code: 'DAEMON_MISMATCH', hint: expect.stringContaining('tunnel restart --supervisor') },
    });
  });

  test('wants hello first, and the token where one is set', async () => {
    const { address } = await serve({}, { token: 'sesame' });
    const first = await rawSocket(address);
    first.socket.write('{"id":1,"method":"status","params":{"selectors":[]}}\n');
    await first.closed;
    expect(first.received()).toContain('no hello');
    const second = await rawSocket(address);
    second.socket.write(helloLine);
    await second.closed;
    expect(second.received()).toContain('wrong token');
    const third = await connectControl(address, { version: '1', owner, token: 'sesame' });
    expect((await third?.hello())?.pid).toBe(4242);
    third?.close();
  });

  test('closes a connection that says nothing', async () => {
    const { address } = await serve({}, { helloDeadlineMs: 20 });
    const raw = await rawSocket(address);
    await raw.closed;
    expect(raw.received()).toBe('');
  });

  test('answers a wrong parameter with its name, never its value, and goes on', async () => {
    const { address } = await serve({});
    const raw = await rawSocket(address);
    raw.socket.write(helloLine);
    raw.socket.write('{"id":2,"method":"answer","params":{"question":"q","value":{"secret":"hunter2"}}}\n');
    raw.socket.write(
      '{"id":3,"method":"launch","params":{}}\n{"id":4,"method":"status","params":{"selectors":[]}}\n',
    );
    await expect.poll(() => raw.received().split('\n').length).toBe(5);
    expect(raw.received()).toContain('value is not as the protocol says');
    expect(raw.received()).toContain('no such method');
    expect(raw.received()).not.toContain('hunter2');
    expect(raw.received()).toContain('"id":4,"result"');
  });

  test.each([
    '\u0000\u0001\n',
    'GET / HTTP/1.1\r\n\r\n',
    '[1,2]\n',
    'null\n',
    '{"id":-1}\n',
    '{"id":1e99,"method":3}\n',
  ])('ends a connection that sends %j, and lives on', async (bytes) => {
    const { address } = await serve({});
    const raw = await rawSocket(address);
    raw.socket.write(bytes);
    await raw.closed;
    expect(await (await client(address)).call('status', { selectors: [] })).toEqual(document);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf'])(
    'knows no method %s, and lets nothing of it in by a parameter',
    async (name) => {
      const { address } = await serve({ down: (params) => Promise.resolve(params as never) });
      const raw = await rawSocket(address);
      const inherits = `{"${name}":{"polluted":true},"selectors":[],"drainMs":0}`;
      raw.socket.end(
        `${helloLine}{"id":2,"method":"${name}","params":{}}\n{"id":3,"method":"down","params":${inherits}}\n`,
      );
      await raw.closed;
      expect(raw.received()).toContain('no such method');
      expect(raw.received()).toContain('{"id":3,"result":{"selectors":[],"drainMs":0}}');
      expect(Reflect.get({}, 'polluted')).toBeUndefined();
    },
  );

  test('answers what a half-closed client asked, then ends', async () => {
    const { address } = await serve({});
    const raw = await rawSocket(address);
    raw.socket.end(`${helloLine}{"id":2,"method":"status","params":{"selectors":[]}}\n`);
    await raw.closed;
    expect(raw.received()).toContain('"id":2,"result"');
  });

  test('drops a client that does not read once its backlog is over the limit', async () => {
    const { address, server } = await serve(
      {
        async watch(_, call) {
          while (!call.signal.aborted) {
            call.progress({
              ...document,
              supervisor: { ...document.supervisor, config: 'x'.repeat(60_000) },
            });
            await new Promise((resolve) => setImmediate(resolve));
          }
          return null;
        },
      },
      { backlogLimitBytes: 500_000 },
    );
    const raw = await rawSocket(address);
    raw.socket.pause();
    raw.socket.write(`${helloLine}{"id":2,"method":"watch","params":{"selectors":[]}}\n`);
    await expect.poll(() => server.connections).toBe(1);
    await expect.poll(() => server.connections).toBe(0);
  });

  test('lets a stream skip what a slow client has not read', async () => {
    let behind = false;
    let readAgain = false;
    const { address } = await serve({
      async watch(_, call) {
        while (!call.behind) call.progress(document);
        behind = true;
        await call.whenRead();
        readAgain = true;
        return null;
      },
    });
    const raw = await rawSocket(address);
    raw.socket.pause();
    raw.socket.write(`${helloLine}{"id":2,"method":"watch","params":{"selectors":[]}}\n`);
    await expect.poll(() => behind).toBe(true);
    raw.socket.resume();
    await expect.poll(() => readAgain).toBe(true);
  });

  test('is made again when it vanishes, also with its folder, and open connections live on', async () => {
    const remade: unknown[] = [];
    const { address } = await serve({}, { lookEveryMs: 10, onRemade: (failure) => remade.push(failure) });
    const before = await client(address);
    await before.hello();
    rmSync(join(address, '..'), { recursive: true });
    await expect.poll(() => remade).toEqual([null]);
    expect(await (await client(address)).call('status', { selectors: [] })).toEqual(document);
    expect(await before.call('status', { selectors: [] })).toEqual(document);
  });

  test('goes elsewhere when its place is gone for good, and says where', async () => {
    const spare = join(temporaryFolder('spare'), 'run', 's.sock');
    const remade: string[] = [];
    // A file where the folder was: nothing can be made there any more.
    const { address, server } = await serve(
      {},
      {
        lookEveryMs: 10,
        addresses: [join(temporaryFolder('first'), 'run', 's.sock'), spare],
        onRemade: (failure, at) => remade.push(failure?.message ?? at),
      },
    );
    void address;
    const folder = join(server.address, '..');
    rmSync(folder, { recursive: true });
    rmSync(join(folder, '..'), { recursive: true });
    writeFileSync(join(folder, '..'), '');
    await expect.poll(() => remade).toEqual([spare]);
    expect(await (await client(spare)).call('status', { selectors: [] })).toEqual(document);
  });

  test('keeps trying when it cannot be made again', async () => {
    const remade: unknown[] = [];
    const { address } = await serve({}, { lookEveryMs: 10, onRemade: (failure) => remade.push(failure) });
    const folder = join(address, '..');
    chmodSync(folder, 0o777);
    rmSync(address);
    await expect.poll(() => remade[0]).toMatchObject({ code: 'DAEMON_DOWN', hint: `chmod 700 ${folder}` });
    chmodSync(folder, 0o700);
    await expect.poll(() => remade.at(-1)).toBe(null);
    expect(await (await client(address)).call('status', { selectors: [] })).toEqual(document);
  });

  test('says on its way out that it is, and leaves no file', async () => {
    let refusal: TunnelError | null = null;
    const { address, server } = await serve({}, { refuse: () => refusal });
    const control = await client(address);
    await control.hello();
    refusal = new TunnelError('DAEMON_DOWN', 'supervisor is ending');
    await expect(control.call('status', { selectors: [] })).rejects.toMatchObject({ code: 'DAEMON_DOWN' });
    expect(control.ending).toBe(true);
    await server.close();
    await control.closed;
    expect(existsSync(address)).toBe(false);
    expect(await connectControl(address, { version: '1', owner })).toBe(null);
  });

  test('rejects a pending call when the supervisor ends', async () => {
    const { address, server } = await serve({ wait: () => new Promise(() => undefined) });
    const control = await client(address);
    const waiting = control.call('wait', { selectors: [], timeoutMs: 1 });
    const failed = expect(waiting).rejects.toMatchObject({ code: 'DAEMON_DOWN' });
    await control.hello();
    await server.close();
    await failed;
  });
});

describe('a folder of our own', () => {
  test('is refused when others may look in, with the line to fix it', () => {
    const folder = join(temporaryFolder('own'), 'x');
    mkdirSync(folder, { mode: 0o755 });
    expect(() => ensureOwnFolder(folder, owner)).toThrow('its mode is 0755, it must be 0700');
    expect(() => ensureOwnFolder(folder, owner, 'unwritable')).not.toThrow();
    chmodSync(folder, 0o775);
    expect(() => ensureOwnFolder(folder, owner, 'unwritable')).toThrow('0775');
  });

  test('is refused when it is a link or belongs to somebody else', () => {
    const parent = temporaryFolder('own');
    symlinkSync(temporaryFolder('target'), join(parent, 'link'));
    expect(() => ensureOwnFolder(join(parent, 'link'), owner)).toThrow('not a folder');
    expect(() => ensureOwnFolder(parent, { ...owner, uid: owner.uid + 1 })).toThrow('belongs to user');
  });

  test('is looked at before a command says its first word', async () => {
    const { address } = await serve({});
    const strange = { ...owner, uid: owner.uid + 1 };
    await expect(connectControl(address, { version: '1', owner: strange })).rejects.toMatchObject({
      code: 'DAEMON_DOWN',
    });
  });

  test('makes every missing folder 0700', () => {
    const parent = temporaryFolder('own');
    ensureOwnFolder(join(parent, 'a', 'b'), owner);
    expect(statSync(join(parent, 'a')).mode & 0o777).toBe(0o700);
  });
});

describe('a handover', () => {
  test('is asked for without a greeting, whatever protocol the command speaks, and nothing else is', async () => {
    const asked: unknown[] = [];
    const { address } = await serve({
      'hand-over': (params) => (asked.push(params), Promise.resolve({ pid: 7, version: '2' })),
    });
    const params = { program: ['/node', '/tunnel.js'], protocol: 99, byPerson: true };
    const raw = await rawSocket(address);
    raw.socket.write(`${JSON.stringify({ id: 3, method: 'hand-over', params })}\n`);
    await new Promise((resolve) => raw.socket.once('data', resolve));
    expect(JSON.parse(raw.received())).toEqual({ id: 3, result: { pid: 7, version: '2' } });
    expect(asked).toEqual([params]);
  });

  test('needs the token where the control pipe has one', async () => {
    const { address } = await serve({}, { token: 'secret' });
    const params = { program: ['/node', '/tunnel.js'], protocol: 1, byPerson: true, token: 'guess' };
    const raw = await rawSocket(address);
    raw.socket.write(`${JSON.stringify({ id: 3, method: 'hand-over', params })}\n`);
    await raw.closed;
    expect(raw.received()).toContain('no hello was said before it');
  });
});
