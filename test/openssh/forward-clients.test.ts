// Real clients through real tunnels: curl as a proxy's client, telnet, keep-alive, WebSocket and HTTP/2.
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, get, Agent, type IncomingMessage } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/model/clock.ts';
import type { Carrier } from '../../src/model/carrier.ts';
import { tcp } from '../../src/model/endpoint.ts';
import { Secret } from '../../src/model/secret.ts';
import type { Session } from '../../src/model/session.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { clientOf, dialSshd, makeCarrier, until } from '../helpers/forward-scene.ts';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { watchSocket } from '../helpers/socket-pair.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';

const curlMissing = !existsSync('/usr/bin/curl');

function run(command: string, ...argv: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(command, argv, (error, stdout, stderr) =>
      resolve({
        code: error === null ? 0 : typeof error.code === 'number' ? error.code : 1,
        output: `${stdout}${stderr}`,
      }),
    );
  });
}
const curl = (...argv: string[]): ReturnType<typeof run> => run('curl', '-sSv', '--max-time', '20', ...argv);
const base = { name: null, probe: null };

/** An sshd whose machine knows a name that ours does not. */
function sshdWithHosts(config: readonly string[]): ReturnType<typeof startSshd> {
  const hosts = join(temporaryFolder('hosts'), 'hosts');
  writeFileSync(hosts, '127.0.0.1 localhost only-there.in\n');
  const script = `mount --bind ${hosts} /etc/hosts && exec "$@"`;
  return startSshd({ config, launcher: ['unshare', '-m', 'sh', '-c', script, 'sh'] });
}

describe.skipIf(sshdMissing() !== null || curlMissing || namespaceMissing() !== null)(
  'a dynamic forward',
  () => {
    let sshd: Sshd;
    let session: Session;
    let carrier: Carrier;
    let proxy: string;
    let port: number;
    let forbidden: number;
    const server = createHttpServer((_request, response) => response.end('from the far side'));

    beforeAll(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ({ port } = server.address() as { port: number });
      forbidden = await freePort();
      const closed = await freePort();
      sshd = await sshdWithHosts([`PermitOpen *:${port} *:1 *:${closed}`]);
      ({ carrier } = makeCarrier({
        ...base,
        type: 'dynamic',
        listen: tcp('127.0.0.1', 0),
        allow: [],
        socksAuth: null,
      }));
      await carrier.open();
      session = await dialSshd(sshd);
      carrier.link({ state: 'up', session });
      proxy = carrier.status().listen;
    });
    afterAll(async () => {
      await carrier.close(0);
      await session.close();
      await sshd.stop();
      server.close();
    });

    test.each([
      ['--socks5-hostname', (at: string) => ['--socks5-hostname', at]],
      ['--socks4a', (at: string) => ['--socks4a', at]],
      ['--proxytunnel', (at: string) => ['--proxytunnel', '-x', `http://${at}`]],
    ])('curl %s reaches a name that only the server resolves', async (_name, way) => {
      const direct = await curl(`http://only-there.in:${port}/`);
      expect(direct.code).toBe(6);
      const { code, output } = await curl(...way(proxy), `http://only-there.in:${port}/`);
      expect(output).toContain('from the far side');
      expect(code).toBe(0);
    });

    test('curl is told refused, unresolved and prohibited', async () => {
      const ask = async (url: string): Promise<string> =>
        (await curl('--socks5-hostname', proxy, url)).output;
      expect(await ask('http://127.0.0.1:1/')).toMatch(/\(5\)/);
      expect(await ask('http://no-such-name.invalid:1/')).toMatch(/\([45]\)/); // the server may only say that it failed
      expect(await ask(`http://127.0.0.1:${forbidden}/`)).toMatch(/\(2\)/);
      const http = await curl('--proxytunnel', '-x', `http://${proxy}`, `http://127.0.0.1:${forbidden}/`);
      expect(http.output).toContain('403 Forbidden');
      expect(carrier.status().error?.message).toContain('forbids');
    });

    test('a login and an allow-list are kept', async () => {
      const strict = makeCarrier(
        {
          ...base,
          type: 'dynamic',
          listen: tcp('127.0.0.1', 0),
          allow: [`127.0.0.1:${port}`],
          socksAuth: { user: 'me', password: { from: 'prompt' } },
        },
        { readSecret: () => Promise.resolve(new Secret('pa:ss')) },
      ).carrier;
      await strict.open();
      strict.link({ state: 'up', session });
      const at = strict.status().listen;
      const url = `http://127.0.0.1:${port}/`;
      expect((await curl('-x', `socks5h://me:pa%3Ass@${at}`, url)).output).toContain('from the far side');
      expect((await curl('--proxytunnel', '-x', `http://me:pa%3Ass@${at}`, url)).code).toBe(0);
      expect((await curl('-x', `socks5h://me:no@${at}`, url)).code).toBe(97);
      expect((await curl('-x', `socks5h://${at}`, url)).code).toBe(97);
      expect((await curl('--proxytunnel', '-x', `http://${at}`, url)).output).toContain('407 Proxy');
      const other = await curl('-x', `socks5h://me:pa%3Ass@${at}`, `http://only-there.in:${port}/`);
      expect(other.output).toMatch(/\(2\)/);
      await strict.close(0);
    });

    test('a client that says nothing is closed by the deadline', async () => {
      let due = (): void => undefined;
      const { carrier: slow } = makeCarrier(
        { ...base, type: 'dynamic', listen: tcp('127.0.0.1', 0), allow: [], socksAuth: null },
        { clock: { ...systemClock, schedule: (_ms, task) => ((due = task), () => undefined) } },
      );
      await slow.open();
      slow.link({ state: 'up', session });
      const client = clientOf(slow.status().listen);
      client.write(Buffer.from([5]));
      await until(() => slow.status().open === 1);
      const ending = watchSocket(client).ending;
      due();
      expect(await ending).toBe('reset');
      expect(slow.status()).toMatchObject({ failed: 1, open: 0 });
      await slow.close(0);
    });

    test('three hundred that say half a greeting keep nobody from being served, and are closed by the deadline', async () => {
      const due: (() => void)[] = [];
      const schedule = (_ms: number, task: () => void): (() => void) => (due.push(task), () => undefined);
      const { carrier: crowded } = makeCarrier(
        { ...base, type: 'dynamic', listen: tcp('127.0.0.1', 0), allow: [], socksAuth: null },
        { clock: { ...systemClock, schedule } },
      );
      await crowded.open();
      crowded.link({ state: 'up', session });
      const at = crowded.status().listen;
      const halves = ['05', '04 01 1538 0a000001 41', '43 4f 4e 4e 45 43 54', '05 01 00 05 01 00 03 ff 1b'];
      const clients = Array.from({ length: 300 }, (_, index) => {
        const client = clientOf(at);
        client.write(Buffer.from((halves[index % halves.length] ?? '').replaceAll(' ', ''), 'hex'));
        return watchSocket(client).ending;
      });
      await until(() => crowded.status().open === 300);
      const served = await curl('--socks5-hostname', at, `http://127.0.0.1:${port}/`);
      expect(served.output).toContain('from the far side');
      for (const task of due) task();
      expect(new Set(await Promise.all(clients))).toEqual(new Set(['reset']));
      await until(() => crowded.status().open === 0); // curl's own, too
      expect(crowded.status().failed).toBe(300);
      await crowded.close(0);
    });
  },
);

describe.skipIf(sshdMissing() !== null)('through a tunnel', () => {
  let sshd: Sshd;
  let session: Session;
  const carriers: Carrier[] = [];

  beforeAll(async () => {
    sshd = await startSshd();
    session = await dialSshd(sshd);
  });
  afterAll(async () => {
    for (const carrier of carriers) await carrier.close(0);
    await session.close();
    await sshd.stop();
  });
  async function tunnelTo(port: number): Promise<number> {
    const { carrier } = makeCarrier({
      ...base,
      type: 'local',
      listen: tcp('127.0.0.1', 0),
      target: tcp('127.0.0.1', port),
      protocol: null,
    });
    carriers.push(carrier);
    await carrier.open();
    carrier.link({ state: 'up', session });
    return Number(carrier.status().listen.split(':')[1]);
  }

  test('HTTP keep-alive uses one connection for many requests', async () => {
    const server = createHttpServer((request, response) => response.end(request.url));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = await tunnelTo((server.address() as { port: number }).port);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let index = 0; index < 20; index += 1) {
      const request = get({ port, host: '127.0.0.1', path: `/${index}`, agent });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      let body = '';
      for await (const chunk of response) body += String(chunk);
      expect(body).toBe(`/${index}`);
    }
    expect(carriers.at(-1)?.status().total).toBe(1);
    agent.destroy();
    server.close();
  });

  test('a WebSocket is upgraded and carries frames both ways', async () => {
    const server = createHttpServer();
    server.on('upgrade', (request, socket) => {
      const key = String(request.headers['sec-websocket-key']);
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
      );
      socket.on('data', (frame: Buffer) => {
        const mask = frame.subarray(2, 6);
        const text = frame.subarray(6).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
        socket.write(Buffer.concat([Buffer.from([0x81, text.length]), text]));
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = await tunnelTo((server.address() as { port: number }).port);
    const request = get({
      port,
      host: '127.0.0.1',
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
        'Sec-WebSocket-Version': '13',
      },
    });
    const [, socket] = (await once(request, 'upgrade')) as [IncomingMessage, Socket];
    socket.write(Buffer.from([0x81, 0x83, 0, 0, 0, 0, 0x61, 0x62, 0x63]));
    const [frame] = (await once(socket, 'data')) as [Buffer];
    expect(frame.toString('latin1')).toBe('\x81\x03abc');
    socket.destroy();
    server.close();
  });

  test('HTTP/2 runs many streams at once on one connection', async () => {
    const server = createHttp2Server();
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200 });
      stream.end(`${headers[':path']} ${'x'.repeat(100_000)}`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = await tunnelTo((server.address() as { port: number }).port);
    const client = connectHttp2(`http://127.0.0.1:${port}`);
    const bodies = await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        let body = '';
        for await (const chunk of client.request({ ':path': `/${index}` })) body += String(chunk);
        return body.length;
      }),
    );
    expect(bodies.every((length) => length > 100_000)).toBe(true);
    expect(carriers.at(-1)?.status().total).toBe(1);
    client.close();
    server.close();
  });

  test.runIf(existsSync('/usr/bin/telnet'))('a telnet session works as if it were there', async () => {
    const { createServer } = await import('node:net');
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      socket.write(Buffer.from([0xff, 0xfb, 0x01])); // IAC WILL ECHO
      socket.write('login: ');
      let said = '';
      socket.on('data', (chunk: Buffer) => {
        said += chunk.toString('latin1');
        if (said.includes('katie')) socket.end('\r\nwelcome katie\r\n');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = await tunnelTo((server.address() as { port: number }).port);
    const child = spawn('telnet', ['127.0.0.1', String(port)], { stdio: ['pipe', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.endsWith('login: ')) child.stdin.write('katie\n');
    });
    await once(child, 'exit');
    expect(output).toContain('welcome katie');
    server.close();
  });
});
