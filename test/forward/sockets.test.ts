// Listening: addresses, ports of the system's choice, unix sockets, and errors that name who is in the way.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { TunnelError } from '../../src/errors.ts';
import { dial, listen, nearestFreePort, type Listener } from '../../src/forward/sockets.ts';
import { holderOf, parseLsof, programsAt } from '../../src/forward/tcp-table.ts';
import { systemClock } from '../../src/model/clock.ts';
import { tcp, type Endpoint } from '../../src/model/endpoint.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hintOf } from '../helpers/hint.ts';

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0)) await thing.close();
});

async function hear(at: Endpoint, preferredPort: number | null = null): Promise<Listener> {
  const listener = await listen(at, {
    accept: (socket) => socket.on('error', () => undefined).end('hello'),
    trouble: () => undefined,
    preferredPort,
  });
  opened.push(listener);
  return listener;
}
const failure = (at: Endpoint): Promise<TunnelError> =>
  hear(at).then(
    () => Promise.reject(new Error('it should have failed')),
    (error: TunnelError) => error,
  );
async function occupy(port = 0, host = '127.0.0.1'): Promise<{ server: Server; port: number }> {
  const server = createServer();
  server.listen(port, host);
  await once(server, 'listening');
  opened.push(server);
  return { server, port: (server.address() as { port: number }).port };
}
async function hello(options: { port?: number; host?: string; path?: string }): Promise<string> {
  const socket: Socket = connect(options as { port: number });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString()));
  await once(socket, 'close');
  return text;
}
const portOf = (listener: Listener): number => (listener.at.kind === 'tcp' ? listener.at.port : 0);
const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === '::1'),
);

describe('a TCP listener', () => {
  test('port 0 is chosen by the system and told', async () => {
    const listener = await hear(tcp('127.0.0.1', 0));
    expect(await hello({ port: portOf(listener), host: '127.0.0.1' })).toBe('hello');
    expect(listener.exposed).toBe(false);
  });

  test('port 0 takes the preferred port when it is free, another when not', async () => {
    const { server, port } = await occupy();
    expect(portOf(await hear(tcp('127.0.0.1', 0), port))).not.toBe(port);
    server.close();
    await once(server, 'close');
    expect(portOf(await hear(tcp('127.0.0.1', 0), port))).toBe(port);
  });

  test.runIf(hasIpv6)('localhost is both loopbacks on one port', async () => {
    const listener = await hear(tcp('localhost', 0));
    expect(await hello({ port: portOf(listener), host: '127.0.0.1' })).toBe('hello');
    expect(await hello({ port: portOf(listener), host: '::1' })).toBe('hello');
    expect(listener.exposed).toBe(false);
    await listener.close();
    await hear(tcp('localhost', portOf(listener)));
  });

  test.runIf(hasIpv6)('localhost is refused when somebody has one of the loopbacks', async () => {
    const { port } = await occupy(0, '::1');
    expect((await failure(tcp('localhost', port))).code).toBe('LISTEN_FAILED');
    await occupy(port, '127.0.0.1');
  });

  test('a client that cannot be served is closed, told of, and the next one is served', async () => {
    const told: string[] = [];
    let first = true;
    const listener = await listen(tcp('127.0.0.1', 0), {
      accept(socket) {
        if (first) {
          first = false;
          throw new Error('out of order');
        }
        socket.on('error', () => undefined).end('hello');
      },
      trouble: (error) => told.push(error.message),
      preferredPort: null,
    });
    opened.push(listener);
    const { port } = listener.at as { port: number };
    expect(await hello({ port, host: '127.0.0.1' })).toBe('');
    expect(await hello({ port, host: '127.0.0.1' })).toBe('hello');
    expect(told).toEqual(['out of order']);
  });

  test('a wildcard is exposed', async () => {
    expect((await hear(tcp('0.0.0.0', 0))).exposed).toBe(true);
    expect((await hear(tcp('*', 0))).exposed).toBe(true);
  });

  test('the port is free when close resolves, also with connections running', async () => {
    const listener = await hear(tcp('127.0.0.1', 0));
    const client = connect({ port: portOf(listener), host: '127.0.0.1', allowHalfOpen: true });
    await once(client, 'data');
    await listener.close();
    await hear(tcp('127.0.0.1', portOf(listener)));
    client.destroy();
  });

  test('a busy port names its holder, and the next free port', async () => {
    const child = spawn(
      process.execPath,
      ['-e', 'const s=require("net").createServer().listen(0,"127.0.0.1",()=>console.log(s.address().port))'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    const error = await failure(tcp('127.0.0.1', port));
    child.kill();
    await once(child, 'exit');
    expect(error.code).toBe('LISTEN_FAILED');
    if (process.platform === 'linux') {
      expect(error.message).toMatch(
        new RegExp(`^listen failed, on 127.0.0.1:${port}: port in use by \\S+ \\(pid ${child.pid}\\)$`),
      );
      expect(error.facts.holderPid).toBe(child.pid);
    }
    expect(error.facts.freePort).toBeGreaterThan(port);
    expect(hintOf(error)).toBe(`tunnel up --remap    # port ${String(error.facts.freePort)} is free`);
  });

  test.runIf(process.platform === 'linux')(
    'a port of the supervisor of another config is hinted at with that config',
    async () => {
      const script =
        'const s=require("net").createServer().listen(0,"127.0.0.1",()=>console.log(s.address().port))';
      const child = spawn(process.execPath, ['-e', script, '__supervise', '/x/my tunnels.yaml'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      const error = await failure(tcp('127.0.0.1', Number(String(line))));
      child.kill();
      await once(child, 'exit');
      expect(error.message).toContain(`by tunnel (pid ${child.pid}, the supervisor of /x/my tunnels.yaml)`);
      expect(hintOf(error)).toMatch(
        /^tunnel -c '\/x\/my tunnels\.yaml' down {4}# takes down all tunnels of that config\ntunnel up --remap /,
      );
    },
  );

  test('a port of our own process says so', async () => {
    const { port } = await occupy();
    const error = await failure(tcp('127.0.0.1', port));
    expect(error.message).toContain('port in use by another tunnel of this supervisor');
  });

  test('an address of another machine is explained', async () => {
    const error = await failure(tcp('192.0.2.1', 0));
    expect(error.message).toBe('listen failed, on 192.0.2.1:0: this machine does not have that address');
  });

  test.runIf(process.platform === 'linux')('running out of descriptors does not end it', async () => {
    const script = `
      import { connect } from 'node:net';
      import { listen } from ${JSON.stringify(join(import.meta.dirname, '../../src/forward/sockets.ts'))};
      const kept = [];
      const listener = await listen({ kind: 'tcp', host: '127.0.0.1', port: 0 }, {
        accept: (socket) => { socket.on('error', () => {}); kept.push(socket); },
        trouble: () => {}, preferredPort: null });
      const clients = []; let failed = false;
      while (!failed) {
        const client = connect(listener.at.port, '127.0.0.1');
        client.on('error', () => { failed = true; }); client.on('close', () => { failed = true; });
        clients.push(client);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      for (const socket of [...clients, ...kept]) socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      const before = kept.length;
      const last = connect(listener.at.port, '127.0.0.1'); last.on('error', () => {});
      while (kept.length === before) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log('served again', before > 10);
      process.exit(0);`;
    const child = spawn(
      'sh',
      ['-c', 'ulimit -n 120; exec "$0" --import tsx --input-type=module -e "$1"', process.execPath, script],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await once(child, 'exit');
    expect(output).toBe('served again true\n');
  });
});

describe('a unix listener', () => {
  const path = (): string => join(temporaryFolder('unix'), 's');

  test('is private and gone when closed', async () => {
    const at = path();
    const listener = await hear({ kind: 'unix', path: at });
    expect(statSync(at).mode & 0o777).toBe(0o600);
    expect(await hello({ path: at })).toBe('hello');
    await listener.close();
    expect(existsSync(at)).toBe(false);
  });

  test('takes the place of a dead socket', async () => {
    const at = path();
    const child = spawn(
      process.execPath,
      ['-e', `require("net").createServer().listen(${JSON.stringify(at)},()=>console.log(1))`],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    expect((await failure({ kind: 'unix', path: at })).message).toBe(
      `listen failed, on ${at}: another process listens there`,
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(existsSync(at)).toBe(true);
    await hear({ kind: 'unix', path: at });
    expect(await hello({ path: at })).toBe('hello');
  });

  test('never removes a file that is no socket', async () => {
    const at = path();
    writeFileSync(at, 'precious');
    const error = await failure({ kind: 'unix', path: at });
    expect(error.message).toBe(`listen failed, on ${at}: there is a file that is not a socket`);
    expect(statSync(at).size).toBe(8);
  });

  test('a path too long is told with both numbers', async () => {
    const error = await failure({ kind: 'unix', path: `/tmp/${'x'.repeat(120)}` });
    expect(error.message).toMatch(/the path has 125 bytes, a socket's may have 10[37]$/);
  });

  test('a missing folder is told', async () => {
    const error = await failure({ kind: 'unix', path: join(temporaryFolder('unix'), 'no', 's') });
    expect(error.message).toMatch(/: its folder does not exist$/);
  });

  test.skipIf(process.getuid?.() === 0)('a folder that is not ours to write is told', async () => {
    const folder = temporaryFolder('unix');
    chmodSync(folder, 0o500);
    expect((await failure({ kind: 'unix', path: join(folder, 's') })).message).toContain('permission denied');
  });
});

describe.runIf(process.platform === 'linux')('a port that nothing listens on', () => {
  /** A connection from a port of its own, without SO_REUSEADDR: its port cannot be listened on. */
  async function outgoing(): Promise<{ port: number; child: ChildProcess }> {
    const { port: target } = await occupy();
    const script = `
const s = require('node:net').connect(${target}, '127.0.0.1', () => console.log(s.localPort));
s.on('close', () => console.log('closed')).resume();
process.stdin.once('data', () => s.end()).on('end', () => process.exit());`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return { port: Number(String(line)), child };
  }

  test('but a connection began at is told with whose it is', async () => {
    const { port, child } = await outgoing();
    const error = await failure({ kind: 'tcp', host: '127.0.0.1', port });
    expect(error.message).toMatch(
      new RegExp(`: port in use by an outgoing connection of \\S+ \\(pid ${child.pid}\\)$`),
    );
    child.stdin?.end();
    await once(child, 'exit');
  });

  test('but a connection ended at says for how long', async () => {
    const { port, child } = await outgoing();
    child.stdin?.write('go\n');
    await once(child.stdout as NodeJS.ReadableStream, 'data');
    const error = await failure({ kind: 'tcp', host: '127.0.0.1', port });
    expect(error.message).toMatch(/: port in use until a connection .* \(TIME_WAIT, a minute at most\)$/);
    child.stdin?.end();
    await once(child, 'exit');
  });
});

describe('who holds a port', () => {
  test.runIf(process.platform === 'linux')('is found for our own process', async () => {
    const { port } = await occupy();
    expect((await holderOf(port))?.pid).toBe(process.pid);
  });

  test('nobody is null', async () => {
    const { server, port } = await occupy();
    server.close();
    await once(server, 'close');
    expect(await holderOf(port)).toBeNull();
  });

  test.runIf(process.platform === 'linux')(
    'the program at either end of a connection is found by both ports; one that nobody has is null',
    async () => {
      const listener = await hear(tcp('127.0.0.1', 0));
      const socket = connect(portOf(listener), '127.0.0.1');
      opened.push({ close: () => socket.destroy() });
      await once(socket, 'connect');
      const [port, remotePort] = [socket.localPort ?? 0, socket.remotePort ?? 0];
      const found = await programsAt([
        { port, remotePort },
        { port, remotePort: 1 },
      ]);
      expect(found.map((each) => each?.pid)).toEqual([process.pid, undefined]);
    },
  );

  test('what lsof prints of connections is read by both ports', () => {
    const text =
      'p42\ncpsql\nf5\nn127.0.0.1:53210->127.0.0.1:5432\np43\ncre\u001bdis\nf9\nn[::1]:9->[::1]:6379\nf3\nn*:80';
    expect([...parseLsof(text)]).toEqual([
      ['53210 5432', { pid: 42, command: 'psql', supervises: null }],
      ['9 6379', { pid: 43, command: 'redis', supervises: null }],
    ]);
  });

  test('the nearest free port skips busy ones', async () => {
    const { port } = await occupy();
    expect(await nearestFreePort(['127.0.0.1'], port - 1)).toBeGreaterThan(port);
  });
});

describe('dialling from here', () => {
  const limits = { timeoutMs: 2000, clock: systemClock };
  const fault = (target: Endpoint, more: object = {}): Promise<TunnelError> =>
    dial(target, { ...limits, ...more }).then(
      () => Promise.reject(new Error('it should have failed')),
      (error: TunnelError) => error,
    );

  test('connects over TCP and unix', async () => {
    const { port } = await occupy();
    (await dial(tcp('localhost', port), limits)).destroy();
    const at = join(temporaryFolder('dial'), 's');
    await hear({ kind: 'unix', path: at });
    (await dial({ kind: 'unix', path: at }, limits)).destroy();
  });

  test('tells refused, absent, unresolved and silent apart', async () => {
    const { server, port } = await occupy();
    server.close();
    await once(server, 'close');
    expect((await fault(tcp('127.0.0.1', port))).facts.dial).toBe('refused');
    expect((await fault(tcp('localhost', port))).facts.dial).toBe('refused');
    expect((await fault({ kind: 'unix', path: '/nowhere/s' })).facts.dial).toBe('absent');
    expect((await fault(tcp('no-such-name.invalid', 80))).facts.dial).toBe('unresolved');
    const now = {
      now: () => 0,
      schedule: (_ms: number, task: () => void) => (queueMicrotask(task), () => undefined),
    };
    const silent = await fault(tcp('127.0.0.1', port), { clock: now });
    expect(silent.code).toBe('TIMED_OUT');
    expect(silent.facts.dial).toBe('timeout');
  });

  test('ends with its signal', async () => {
    expect((await fault(tcp('127.0.0.1', 9), { signal: AbortSignal.abort() })).code).toBe('LINK_LOST');
  });
});
