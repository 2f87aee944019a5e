// Old and long-lived protocols through the built program: telnet, HTTP keep-alive, WebSocket and HTTP/2, unchanged.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer as createHttp, get, type IncomingMessage } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bringUp, onlyForward, portOf, toolMissing } from '../helpers/forwards-world.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const echo = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => undefined);
  socket.write(Buffer.from([0xff, 0xfb, 0x01, 0xff, 0xfd, 0x1f])); // IAC WILL ECHO, DO NAWS
  socket.write('login: ');
  let said = '';
  socket.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1');
    if (said.includes('\r\n') && !said.includes('logout')) {
      said = '';
      socket.write('\r\nwelcome, type logout\r\n$ ');
    }
    if (said.includes('logout')) socket.end('\r\nbye\r\n');
  });
});
const web = createHttp((request, response) => response.end(`${request.method} ${request.url}`));
web.on('upgrade', (request, socket) => {
  const key = String(request.headers['sec-websocket-key']);
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('error', () => undefined);
  socket.on('data', (frame: Buffer) => {
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    socket.write(Buffer.concat([Buffer.from([frame[0] ?? 0, text.length]), text]));
  });
});
const streams = createHttp2();
streams.on('stream', (stream, headers) => {
  stream.respond({ ':status': 200 });
  stream.end(`${headers[':path']} ${'x'.repeat(100_000)}`);
});

describe.skipIf(sshdMissing() !== null)('through a tunnel', () => {
  let sshd: Sshd & AsyncDisposable;
  let world: World;

  beforeAll(async () => {
    sshd = await startSshd();
    world = createWorld();
    const servers: Record<string, Server> = { telnet: echo, web, streams };
    for (const server of Object.values(servers)) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
    const tunnels = Object.entries(servers).map(
      ([name, server]) =>
        `  ${name}: { host: box, local: auto, remote: ${(server.address() as AddressInfo).port} }`,
    );
    await bringUp(world, sshd, tunnels.join('\n'));
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await sshd.stop();
    for (const server of [echo, web, streams]) server.close();
  });
  const portFor = async (name: string): Promise<number> =>
    portOf(onlyForward(await world.tunnel(name)).listen);
  const total = async (name: string): Promise<number> => onlyForward(await world.tunnel(name)).total;

  test.skipIf(toolMissing('telnet') !== null)('a telnet session works as if it were there', async () => {
    const child = spawn('telnet', ['127.0.0.1', String(await portFor('telnet'))], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let shown = '';
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk.toString();
      if (shown.endsWith('login: ')) child.stdin.write('katie\n');
      if (shown.endsWith('$ ')) child.stdin.write('logout\n');
    });
    await once(child, 'close');
    expect(shown).toContain('welcome, type logout');
    expect(shown).toContain('bye');
    expect(await total('telnet')).toBe(1);
  });

  test('HTTP keep-alive uses one connection for many requests', async () => {
    const port = await portFor('web');
    const before = await total('web');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let index = 0; index < 20; index += 1) {
      const [response] = (await once(
        get({ port, host: '127.0.0.1', path: `/${index}`, agent }),
        'response',
      )) as [IncomingMessage];
      let body = '';
      for await (const chunk of response) body += String(chunk);
      expect(body).toBe(`GET /${index}`);
    }
    agent.destroy();
    expect((await total('web')) - before).toBe(1);
  });

  test('a WebSocket is upgraded and carries frames both ways', async () => {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'Sec-WebSocket-Version': '13',
    };
    const request = get({ port: await portFor('web'), host: '127.0.0.1', headers });
    const [response, socket] = (await once(request, 'upgrade')) as [IncomingMessage, Socket];
    expect(response.headers['sec-websocket-accept']).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    for (const text of ['abc', 'def']) {
      socket.write(Buffer.concat([Buffer.from([0x81, 0x83, 0, 0, 0, 0]), Buffer.from(text)]));
      const [frame] = (await once(socket, 'data')) as [Buffer];
      expect(frame.toString('latin1')).toBe(`\x81\x03${text}`);
    }
    socket.destroy();
  });

  test('HTTP/2 runs many streams at once on one connection', async () => {
    const before = await total('streams');
    const client = connectHttp2(`http://127.0.0.1:${await portFor('streams')}`);
    const bodies = await Promise.all(
      Array.from({ length: 30 }, async (_, index) => {
        let body = '';
        for await (const chunk of client.request({ ':path': `/${index}` })) body += String(chunk);
        return body;
      }),
    );
    client.close();
    bodies.forEach((body, index) => expect(body).toBe(`/${index} ${'x'.repeat(100_000)}`));
    expect((await total('streams')) - before).toBe(1);
  });
});
