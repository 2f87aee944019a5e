// Probes against real small servers, over a session in memory that dials them.
import { createServer as createHttpServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { TunnelError } from '../../src/errors.ts';
import { createCarrier } from '../../src/forward/create.ts';
import { runProbe } from '../../src/forward/probe.ts';
import { readUntil } from '../../src/forward/probe-kinds.ts';
import { systemClock } from '../../src/model/clock.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { Forward, LocalForward, Probe } from '../../src/model/forward.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { memorySession, type MemoryChannel, type MemorySession } from '../helpers/memory-session.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A session whose server really dials. */
function dialling(): MemorySession {
  const session = memorySession();
  session.onOpen = async (target, _origin, far) => {
    if (target.kind !== 'tcp') throw new Error('TCP only');
    const socket = connect(target.port, '127.0.0.1');
    await once(socket, 'connect').catch(() => {
      throw new TunnelError('FORWARD_REFUSED', 'refused', {
        facts: { reason: 'connect-failed', words: 'Connection refused' },
      });
    });
    join2(socket, far);
  };
  return session;
}
function join2(socket: Socket, far: MemoryChannel): void {
  socket.on('data', (chunk: Buffer) => void far.write(chunk));
  socket.on('error', () => undefined);
  socket.once('close', () => far.close());
  far.attach({
    data(chunk) {
      socket.write(chunk);
      far.consumed(chunk.length);
    },
    end: () => socket.end(),
    closed: () => socket.destroy(),
    drain: () => undefined,
  });
}

async function serve(answer: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    answer(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as { port: number }).port;
}
const local = (port: number, probe: Probe): LocalForward => ({
  type: 'local',
  name: null,
  probe,
  listen: tcp('127.0.0.1', 0),
  target: tcp('db', port),
  protocol: null,
});
const look = async (port: number, probe: Probe): Promise<string> => {
  const { ok, text } = await runProbe(probe, local(port, probe), dialling(), systemClock);
  return `${ok ? 'ok' : 'no'}: ${text}`;
};
const says = (bytes: string | Buffer) => (socket: Socket) => void socket.write(bytes);
const answers = (bytes: string | Buffer) => (socket: Socket) =>
  void socket.once('data', () => socket.write(bytes));
const message = (type: string, body: string | Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeUInt32BE(Buffer.byteLength(body) + 4, 1);
  return Buffer.concat([head, Buffer.from(body as string)]);
};

test('tcp is open, or refused', async () => {
  const port = await serve(() => undefined);
  expect(await look(port, { kind: 'tcp' })).toBe('ok: target open');
  for (const close of closing.splice(0)) await close();
  expect(await look(port, { kind: 'tcp' })).toBe('no: target refused');
});

describe('http', () => {
  test.each([
    [200, 'ok: http 200'],
    [404, 'ok: http 404'],
    [503, 'no: http 503'],
  ])('%i', async (status, wanted) => {
    let host = '';
    const server = createHttpServer((request, response) => {
      host = `${request.headers.host} ${request.url}`;
      response.writeHead(status).end('body');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    const { port } = server.address() as { port: number };
    expect(await look(port, { kind: 'http', url: 'http://app.in/health?x=1' })).toBe(wanted);
    expect(host).toBe('app.in /health?x=1');
  });

  test('over TLS, whoever signed it', async () => {
    const folder = temporaryFolder('tls');
    const [key, cert] = [join(folder, 'k'), join(folder, 'c')];
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        key,
        '-out',
        cert,
        '-days',
        '2',
        '-subj',
        '/CN=app.in',
      ],
      { stdio: 'ignore' },
    );
    const server = createTlsServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_request, response) => response.end('hi'),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    const { port } = server.address() as { port: number };
    expect(await look(port, { kind: 'http', url: 'https://app.in/' })).toBe('ok: https 200');
    expect(await look(port, { kind: 'http', url: 'http://app.in/' })).toMatch(
      /^ok: http 400|^no: target does not speak HTTP/,
    );
  });

  test('something else does not speak it', async () => {
    expect(
      await look(await serve(says('SSH-2.0-x\r\n'.repeat(1000))), { kind: 'http', url: 'http://a/' }),
    ).toBe('no: target does not speak HTTP');
    const mute = await serve((socket) => socket.end());
    expect(await look(mute, { kind: 'http', url: 'https://a/' })).toMatch(/^no: target does not speak TLS/);
  });
});

describe('a target that speaks without end', () => {
  /** Until nobody takes it any more; what was taken. */
  const floods = (piece: string): { port: Promise<number>; bytes: () => number } => {
    let bytes = 0;
    const port = serve((socket) => {
      const more = (): void => {
        bytes += piece.length;
        if (!socket.destroyed) socket.write(piece, () => setImmediate(more));
      };
      more();
    });
    return { port, bytes: () => bytes };
  };
  test.each([
    ['http', { kind: 'http', url: 'http://a/' }, 'x'.repeat(1000), /does not speak HTTP/],
    ['greeting', { kind: 'greeting', pattern: '^SSH-' }, 'x'.repeat(1000), /^no: target said x{60}…$/],
    [
      'greeting in escapes',
      { kind: 'greeting', pattern: '^SSH-' },
      '\u001b[2J'.repeat(300),
      /^no: target said/,
    ],
    ['postgres', { kind: 'postgres' }, 'N'.repeat(1000), /postgres|does not speak PostgreSQL/],
    ['redis', { kind: 'redis' }, '+'.repeat(1000), /does not speak Redis/],
  ] as const)('is left by %s at its limit', async (_what, probe, piece, words) => {
    const { port, bytes } = floods(piece);
    const said = await look(await port, probe);
    expect(said).toMatch(words);
    expect(said).not.toContain('\u001b');
    expect(bytes()).toBeLessThan(16 * 1024 * 1024);
  });
});

describe('greeting', () => {
  test('matches what the target says first', async () => {
    const port = await serve(says('220 \x1b[31mmail.in ESMTP\r\n'));
    expect(await look(port, { kind: 'greeting', pattern: '^220 .*ESMTP' })).toBe('ok: 220 mail.in ESMTP');
    expect(await look(port, { kind: 'greeting', pattern: '^SSH-' })).toMatch(
      /^no: target (said|does not answer)/,
    );
  });
  test('a pattern that would never end is stopped', async () => {
    const port = await serve((socket) => socket.end('a'.repeat(40)));
    const began = Date.now();
    expect(await look(port, { kind: 'greeting', pattern: '^(a+)+$b' })).toBe(
      `no: target said ${'a'.repeat(40)}`,
    );
    expect(Date.now() - began).toBeLessThan(3000);
  });
  test('silence is told', async () => {
    expect(await look(await serve((socket) => socket.end()), { kind: 'greeting', pattern: 'x' })).toBe(
      'no: target said nothing',
    );
  });
});

describe('postgres', () => {
  const server = (reply: Buffer) => (socket: Socket) => {
    socket.once('data', () => {
      socket.write('N');
      socket.once('data', () => socket.write(reply));
    });
  };
  const ok = message('R', Buffer.from([0, 0, 0, 0]));
  const parameter = (name: string, value: string): Buffer => message('S', `${name}\0${value}\0`);
  test.each([
    [
      'its version, where everybody may log in',
      Buffer.concat([ok, parameter('TimeZone', 'UTC'), parameter('server_version', '16.4 (Debian)')]),
      'ok: postgres 16',
    ],
    ['that it is there, where a password is asked', message('R', Buffer.from([0, 0, 0, 10])), 'ok: postgres'],
    ['that it is there, where nobody may log in', message('E', 'SFATAL\0\0'), 'ok: postgres'],
  ])('tells %s', async (_name, reply, wanted) => {
    expect(await look(await serve(server(reply)), { kind: 'postgres' })).toBe(wanted);
  });
  test('is there when it wants TLS', async () => {
    expect(await look(await serve(answers('S')), { kind: 'postgres' })).toBe('ok: postgres');
  });
  test('is not something else', async () => {
    expect(await look(await serve(answers('HTTP/1.1 400')), { kind: 'postgres' })).toBe(
      'no: target does not speak PostgreSQL',
    );
  });
});

test.each([
  ['+PONG\r\n', 'ok: redis'],
  ['-NOAUTH Authentication required.\r\n', 'ok: redis, wants a password'],
  ['-LOADING Redis is loading\r\n', 'no: redis says LOADING Redis is loading'],
  ['-ERR what\r\n', 'no: target does not speak Redis'],
])('redis that answers %j', async (answer, wanted) => {
  expect(await look(await serve(answers(answer)), { kind: 'redis' })).toBe(wanted);
});

test('a carrier probes when the link comes up, then on schedule, sooner after a failure, and on demand', async () => {
  const clock = manualClock();
  let changes = 0;
  const forward: Forward = local(1, { kind: 'tcp' });
  const carrier = createCarrier(
    forward,
    { kind: 'wait', ms: 1000 },
    {
      clock,
      preferredPort: null,
      backoffMs: () => 500,
      events: { changed: () => (changes += 1), knock: () => undefined, log: () => undefined },
    },
  );
  const session = memorySession();
  let up = true;
  session.onOpen = (_target, _origin, far) => {
    if (!up)
      throw new TunnelError('FORWARD_REFUSED', 'no', { facts: { reason: 'connect-failed', words: '' } });
    far.attach({
      data: () => undefined,
      end: () => undefined,
      closed: () => undefined,
      drain: () => undefined,
    });
  };
  const probed = async (count: number): Promise<void> => {
    while (session.opened().length < count || carrier.status().probe === null)
      await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  };
  expect(carrier.status().probe).toBeNull();
  carrier.link({ state: 'up', session });
  await probed(1);
  expect(carrier.status().probe).toMatchObject({ ok: true, text: 'target open' });
  expect(carrier.status()).toMatchObject({ open: 0, total: 0, bytesIn: 0 });
  up = false;
  clock.advance(30_000);
  await probed(2);
  expect(carrier.status().probe).toMatchObject({ ok: false, text: 'target refused' });
  up = true;
  clock.advance(5_000);
  await probed(3);
  expect(carrier.status().probe).toMatchObject({ ok: true });
  expect(await carrier.probe?.()).toMatchObject({ ok: true });
  expect(changes).toBeGreaterThanOrEqual(3);
  carrier.link({ state: 'away', sinceMs: 0, failures: 0, reached: false });
  expect(carrier.status().probe).toBeNull();
  await carrier.close(0);
  expect(clock.armed()).toBe(0);
});

test('a look at what a target said that throws fails that probe, and nothing else', async () => {
  const stream = new PassThrough();
  const looked = readUntil(
    stream,
    () => {
      throw new RangeError('the answer ends too early');
    },
    100,
    'nothing',
  );
  stream.write('garbage');
  await expect(looked).rejects.toThrow('the answer ends too early');
});
