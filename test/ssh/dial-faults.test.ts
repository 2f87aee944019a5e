// Dials that meet something other than a good SSH server: each has its own code, words and layer, in time.
import { existsSync } from 'node:fs';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { Host } from '../../src/model/host.ts';
import type { DialContext } from '../../src/model/session.ts';
import { failureOf } from '../helpers/failure.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { hostOf, testContext, testDialer, type TestContext } from '../helpers/ssh-dialer.ts';
import { freePort } from '../helpers/ports.ts';
import { hintOf } from '../helpers/hint.ts';

const anew = { via: null, transport: null };
let running: { server: Server; sockets: Set<Socket> }[] = [];

/** A server that does with each connection what it is told. */
async function serverThat(does: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
    does(socket);
  });
  running.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

afterEach(() => {
  for (const { server, sockets } of running) {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
  running = [];
});

const host = (port: number, more: Partial<Host> = {}): Host =>
  hostOf({ port, user: 'me', identity: '/dev/null' }, { connectTimeoutMs: 200, ...more });

/** Rejects with this, in whichever step it was aborted. */
const unwanted = new Error('nobody wants it any more');

/** A KEXINIT of a server (RFC 4253 7.1), unencrypted. */
function kexinit(kex: string): Buffer {
  const lists = [
    kex,
    'ssh-ed25519',
    ...Array<string>(2).fill('aes128-gcm@openssh.com'),
    'hmac-sha2-256',
    'hmac-sha2-256',
  ];
  const strings = [...lists, 'none', 'none', '', ''].map((list) =>
    Buffer.concat([length(list.length), Buffer.from(list)]),
  );
  const payload = Buffer.concat([Buffer.from([20]), Buffer.alloc(16), ...strings, Buffer.alloc(5)]);
  const padding = 16 - ((payload.length + 5) % 8);
  return Buffer.concat([
    length(payload.length + 1 + padding),
    Buffer.from([padding]),
    payload,
    Buffer.alloc(padding),
  ]);
}

function length(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A context whose signal is aborted by `abort`, as `down` does it. */
function unwantedContext(more: Partial<DialContext> = {}): TestContext & { abort(): void } {
  const controller = new AbortController();
  const context = testContext(null, { ...more, signal: controller.signal });
  return { ...context, abort: () => controller.abort(unwanted) };
}

describe('a dial that nobody wants any more', () => {
  test('at the moment the server is reached says nothing to it and closes the connection', async () => {
    const said: Buffer[] = [];
    let closed = (): void => undefined;
    const left = new Promise<void>((resolve) => (closed = resolve));
    const port = await serverThat((socket) => {
      socket.on('data', (chunk) => said.push(chunk)).on('close', closed);
    });
    const context = unwantedContext({ step: ({ layer }) => layer === 'tcp' && context.abort() });
    await expect(testDialer().dialer.dial(host(port), anew, context)).rejects.toBe(unwanted);
    await left;
    expect(Buffer.concat(said).toString()).toBe('');
  });

  test('at the moment its proxy command would start starts none', async () => {
    const file = join(temporaryFolder('command'), 'started');
    const context = unwantedContext();
    const { dialer } = testDialer({
      secretVariables: () => {
        context.abort();
        return [];
      },
    });
    const proxyCommand = `touch ${file}; sleep 1000`;
    await expect(dialer.dial(host(1, { proxyCommand }), anew, context)).rejects.toBe(unwanted);
    expect(existsSync(file)).toBe(false);
  });

  test('before its proxy is spoken with asks it for nothing', async () => {
    const said: Buffer[] = [];
    const port = await serverThat((socket) => void socket.on('data', (chunk) => said.push(chunk)));
    const context = unwantedContext();
    const { dialer } = testDialer({
      proxyPassword: async () => {
        context.abort();
        return 'secret';
      },
    });
    const password = { from: 'env', name: 'PW' } as const;
    const proxy = { scheme: 'socks5', host: '127.0.0.1', port, user: 'me', password } as const;
    await expect(dialer.dial(host(1, { proxy }), anew, context)).rejects.toBe(unwanted);
    expect(Buffer.concat(said).toString()).toBe('');
  });
});

describe('a dial', () => {
  test.each(['Exceeded MaxStartups', 'Not allowed at this time'])(
    'to a server that says %s and closes is told of a penalty, in one connection',
    async (words) => {
      let connections = 0;
      const port = await serverThat((socket) => {
        connections += 1;
        socket.end(`${words}\r\n`);
      });
      const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
      expect(failed).toMatchObject({ code: 'LINK_LOST', facts: { layer: 'kex', tcpLevel: false } });
      expect(failed.message).toContain(`it says: ${words}; `);
      expect(failed.message).toContain('(PerSourcePenalties, MaxStartups, fail2ban)');
      expect(connections).toBe(1);
    },
  );

  test('to a port nobody listens on is UNREACHABLE at TCP level and names the address', async () => {
    const port = await freePort();
    const context = testContext();
    const { dialer } = testDialer();
    const failed = await failureOf(dialer.dial(host(port), anew, context));
    expect(failed).toMatchObject({ code: 'UNREACHABLE', facts: { layer: 'tcp', tcpLevel: true } });
    expect(failed.message).toBe(`connect failed, on test (127.0.0.1:${port}): connection refused`);
    expect(hintOf(failed)).toBe('tunnel why test');
    expect(context.steps).toMatchObject([{ layer: 'tcp', status: 'failed' }]);
    expect((await failureOf(dialer.reach(host(port), new AbortController().signal))).code).toBe(
      'UNREACHABLE',
    );
  });

  test('to a name that does not exist is UNREACHABLE in its DNS step', async () => {
    const context = testContext();
    const nowhere = host(22, { hostname: 'no-such-host.invalid', connectTimeoutMs: 10_000 });
    const failed = await failureOf(testDialer().dialer.dial(nowhere, anew, context));
    expect(failed).toMatchObject({ code: 'UNREACHABLE', facts: { layer: 'dns', tcpLevel: true } });
    expect(context.steps).toMatchObject([{ layer: 'dns', status: 'failed' }]);
  });

  /** A server whose packets, or ours, are lost from somewhere on: what it says reaches us, nothing more. */
  const hole = (...said: readonly (string | Buffer)[]): Promise<number> =>
    serverThat((socket) => {
      for (const piece of said) socket.write(piece);
    });
  const banner = 'SSH-2.0-Deep_1.0\r\n';

  test('that gets the banner and no more names the MTU', async () => {
    const port = await hole(banner);
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
    expect(failed).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'kex', tcpLevel: false } });
    expect(failed.message).toContain('no more than its banner, SSH-2.0-Deep_1.0, came in 0.2s');
    expect(failed.message).toContain('MTU');
    expect(hintOf(failed)).toMatch(/^ip link set dev \S+ mtu \d+/);
    expect(hintOf(failed)).not.toContain('kex:');
  });

  test.each([
    ['mlkem768x25519-sha256', 'curve25519-sha256', /^kex: -mlkem768x25519-sha256 .* under host test/],
    ['curve25519-sha256', 'ecdh-sha2-nistp256', /^ip link/],
  ])('whose %s is never answered says so, and offers less where there is less', async (kex, other, hint) => {
    const port = await hole(banner, kexinit(`${kex},${other}`));
    const context = testContext();
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, context));
    expect(failed.message).toContain(`its algorithms came, but no answer to our ${kex} in 0.2s`);
    expect(failed.message).toContain('MTU');
    expect(hintOf(failed)).toMatch(hint);
    expect(context.steps).toMatchObject([{ layer: 'tcp' }, { layer: 'kex', status: 'failed' }]);
  });

  test('to a black hole is TIMED_OUT and says that not even a banner came', async () => {
    const port = await serverThat(() => undefined);
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
    expect(failed).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'kex', tcpLevel: false } });
    expect(failed.message).toContain('no SSH banner in 0.2s');
  });

  test('to a server that stops after its banner is TIMED_OUT', async () => {
    const port = await serverThat((socket) => socket.write('SSH-2.0-Test\r\n'));
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
    expect(failed).toMatchObject({ code: 'TIMED_OUT', facts: { layer: 'kex' } });
  });

  test('to a server that closes at once says that it may be a penalty', async () => {
    for (const close of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy()]) {
      const port = await serverThat(close);
      const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
      expect(failed).toMatchObject({ code: 'LINK_LOST', facts: { layer: 'kex', tcpLevel: false } });
      expect(failed.message).toContain('PerSourcePenalties');
    }
  });

  test('to a web server says that it does not speak SSH', async () => {
    const port = await serverThat((socket) => {
      socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'));
    });
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
    expect(failed).toMatchObject({ code: 'KEX_FAILED', facts: { layer: 'kex', tcpLevel: false } });
    expect(failed.message).toContain('does not speak SSH, it says: HTTP/1.1 400 Bad Request');
  });

  test('to a server that says it is full in a line of its own passes that on', async () => {
    const port = await serverThat((socket) => socket.end('Exceeded MaxStartups\r\n'));
    const failed = await failureOf(testDialer().dialer.dial(host(port), anew, testContext()));
    expect(failed.message).toContain('Exceeded MaxStartups');
  });

  test('that is aborted ends at once, wherever it is', async () => {
    const port = await serverThat(() => undefined);
    const stop = new AbortController();
    const reason = new Error('not wanted any more');
    const dialing = testDialer().dialer.dial(
      host(port, { connectTimeoutMs: 60_000 }),
      anew,
      testContext(null, { signal: stop.signal }),
    );
    stop.abort(reason);
    await expect(dialing).rejects.toBe(reason);
  });

  test('with algorithms that nothing here has is refused before the wire', async () => {
    let connections = 0;
    const port = await serverThat(() => (connections += 1));
    const algorithms = { kex: null, cipher: ['rot13'], mac: null, hostKey: null, pubkey: null };
    const failed = await failureOf(testDialer().dialer.dial(host(port, { algorithms }), anew, testContext()));
    expect(failed.code).toBe('CONFIG_INVALID');
    expect(failed.message).toContain('rot13');
    expect(connections).toBe(0);
  });

  test('over a known_hosts file that cannot be read is refused, closed, before the wire', async () => {
    let connections = 0;
    const port = await serverThat(() => (connections += 1));
    const failed = await failureOf(
      testDialer().dialer.dial(host(port, { knownHosts: [import.meta.dirname] }), anew, testContext()),
    );
    expect(failed.code).toBe('HOST_KEY_UNKNOWN');
    expect(connections).toBe(0);
  });
});
