// Dynamic forwards, from outside: curl through SOCKS4a, SOCKS5 and CONNECT to names that only the server knows.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  boxConfig,
  bringUp,
  killSessions,
  onlyForward,
  portOf,
  startSshdThatKnows,
  tool,
  toolMissing,
  type Tool,
} from '../helpers/forwards-world.ts';
import { namespaceMissing } from '../helpers/private-etc.ts';
import { freePort } from '../helpers/ports.ts';
import { sshdMissing, startSshd, type Sshd } from '../helpers/sshd.ts';
import { createWorld, type World } from '../helpers/world.ts';

const curl = (...argv: string[]): Promise<Tool> => tool('curl', ['-sSv', '--max-time', '20', ...argv]);
const missing = sshdMissing() ?? toolMissing('curl') ?? namespaceMissing();

describe.skipIf(missing !== null)('a dynamic forward', () => {
  const web: Server = createServer((_request, response) => response.end('from the far side'));
  let sshd: Sshd & AsyncDisposable;
  let world: World;
  let proxy: string;
  let port: number;
  let forbidden: number;

  beforeAll(async () => {
    web.listen(0, '127.0.0.1');
    await once(web, 'listening');
    ({ port } = web.address() as { port: number });
    forbidden = await freePort();
    sshd = await startSshdThatKnows('only-there.in', [`PermitOpen *:${port} *:1`]);
    world = createWorld();
    await bringUp(world, sshd, '  proxy: { host: box, type: dynamic, local: auto }');
    const forward = onlyForward(await world.tunnel('proxy'));
    expect(forward).toMatchObject({ type: 'dynamic', target: '*', bound: true, exposed: false });
    proxy = forward.listen;
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await sshd.stop();
    web.close();
  });

  test.each([
    ['--socks5-hostname', (at: string) => ['--socks5-hostname', at]],
    ['--socks4a', (at: string) => ['--socks4a', at]],
    ['-x socks5h://', (at: string) => ['-x', `socks5h://${at}`]],
    ['--proxytunnel -x http://', (at: string) => ['--proxytunnel', '-x', `http://${at}`]],
  ])('takes curl %s to a name that only the server resolves', async (_name, way) => {
    expect((await curl(`http://only-there.in:${port}/`)).code).toBe(6);
    const { code, output, stdout } = await curl(...way(proxy), `http://only-there.in:${port}/`);
    expect(code, output).toBe(0);
    expect(stdout.toString()).toBe('from the far side');
  });

  test.each([
    ['--socks5', (at: string) => ['--socks5', at]],
    ['--socks4', (at: string) => ['--socks4', at]],
  ])('takes curl %s to an address', async (_name, way) => {
    const { code, output } = await curl(...way(proxy), `http://127.0.0.1:${port}/`);
    expect(code, output).toBe(0);
  });

  test('tells refused, unresolved and prohibited apart', async () => {
    const ask = async (url: string): Promise<string> => (await curl('--socks5-hostname', proxy, url)).output;
    expect(await ask('http://127.0.0.1:1/')).toMatch(/\(5\)/);
    expect(await ask('http://no-such-name.invalid:1/')).toMatch(/\([145]\)/); // the server may only say that it failed
    expect(await ask(`http://127.0.0.1:${forbidden}/`)).toMatch(/\(2\)/);
    const connectRefused = await curl('--proxytunnel', '-x', `http://${proxy}`, 'http://127.0.0.1:1/');
    expect(connectRefused.output).toContain('502 ');
    const prohibited = await curl('--proxytunnel', '-x', `http://${proxy}`, `http://127.0.0.1:${forbidden}/`);
    expect(prohibited.output).toContain('403 ');
    const plain = await curl('-x', `http://${proxy}`, `http://127.0.0.1:${port}/`);
    expect(plain.output).toContain('405 ');
    const seen = await world.tunnel('proxy');
    expect(seen.state).toBe('up');
    expect((await world.run(['status'])).stdout).toMatch(/\d+ of \d+ connections failed/);
    expect((await world.run(['logs', '-n', '500'])).stdout).toMatch(/forbids.*/);
  });

  test('serves on the same port after its session was killed, and holds who came meanwhile', async () => {
    killSessions(sshd);
    const { code, output } = await curl('--socks5-hostname', proxy, `http://only-there.in:${port}/`);
    expect(code, output).toBe(0);
    const after = await world.until('proxy', ({ state }) => state === 'up');
    expect(onlyForward(after).listen).toBe(proxy);
  });

  test('closes on bytes that are no protocol', async () => {
    const socket = connect(portOf(proxy), '127.0.0.1');
    socket.on('error', () => undefined);
    const closed = once(socket, 'close');
    socket.write(Buffer.from([0x16, 0x03, 0x01, 0x00, 0x05, 1, 2, 3]));
    socket.resume();
    await closed;
  });
});

describe.skipIf(sshdMissing() !== null || toolMissing('curl') !== null)(
  'who may use a dynamic forward',
  () => {
    const web: Server = createServer((_request, response) => response.end('from the far side'));
    let port: number;
    beforeAll(async () => {
      web.listen(0, '127.0.0.1');
      await once(web, 'listening');
      ({ port } = web.address() as { port: number });
    });
    afterAll(() => web.close());

    test('is told by socks_auth and allow', async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      world.config(
        boxConfig(
          sshd,
          `  proxy: { host: box, type: dynamic, local: auto, allow: ["127.0.0.1:${port}"], socks_auth: { user: me, password: "env:PROXY_PASSWORD" } }`,
        ),
      );
      const up = await world.run(['up'], { env: { PROXY_PASSWORD: 'pa:ss' } });
      expect(up, up.stderr).toMatchObject({ code: 0 });
      const at = onlyForward(await world.tunnel('proxy')).listen;
      const url = `http://127.0.0.1:${port}/`;
      const right = await curl('-x', `socks5h://me:pa%3Ass@${at}`, url);
      expect(right.code, right.output).toBe(0);
      expect((await curl('--proxytunnel', '-x', `http://me:pa%3Ass@${at}`, url)).code).toBe(0);
      expect((await curl('-x', `socks5h://me:wrong@${at}`, url)).code).toBe(97);
      expect((await curl('-x', `socks5h://${at}`, url)).code).toBe(97);
      expect((await curl('-x', `socks4a://${at}`, url)).code).toBe(97);
      expect((await curl('--proxytunnel', '-x', `http://${at}`, url)).output).toContain('407 ');
      const other = await curl('-x', `socks5h://me:pa%3Ass@${at}`, `http://localhost:${port}/`);
      expect(other.output).toMatch(/\(2\)/);
      expect(JSON.stringify(await world.status()) + (await world.run(['logs'])).stdout).not.toContain(
        'pa:ss',
      );
    });

    test('beyond loopback, and on the far side, must be told', async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      world.config(
        boxConfig(
          sshd,
          `
  open: { host: box, type: dynamic, local: "0.0.0.0:1080" }
  back: { host: box, type: remote, remote: 0 }`,
        ),
      );
      const checked = await world.run(['check']);
      expect(checked.code).toBe(3);
      expect(checked.stderr + checked.stdout).toContain('socks_auth');
      expect(checked.stderr + checked.stdout).toMatch(/tunnels\.back.*allow/);
    });

    test('on the far side reaches from here what is allowed, and nothing else', async () => {
      await using sshd = await startSshd();
      await using world = createWorld();
      await bringUp(
        world,
        sshd,
        `  back: { host: box, type: remote, remote: 0, allow: ["127.0.0.1:${port}", "localhost:1"] }`,
      );
      const forward = onlyForward(await world.tunnel('back'));
      expect(forward).toMatchObject({ type: 'remote', target: '*', bound: true });
      const at = forward.listen;
      const right = await curl('--socks5-hostname', at, `http://127.0.0.1:${port}/`);
      expect(right.code, right.output).toBe(0);
      expect((await curl('--socks4a', at, `http://127.0.0.1:${port}/`)).code).toBe(0);
      expect((await curl('--proxytunnel', '-x', `http://${at}`, `http://127.0.0.1:${port}/`)).code).toBe(0);
      expect((await curl('--socks5-hostname', at, `http://localhost:${port}/`)).output).toMatch(/\(2\)/);
      expect((await curl('--socks5-hostname', at, 'http://localhost:1/')).output).toMatch(/\(5\)/);
      killSessions(sshd);
      await world.until('back', ({ state, reconnects }) => state === 'up' && reconnects === 1);
      expect((await curl('--socks5-hostname', at, `http://127.0.0.1:${port}/`)).code).toBe(0);
    });
  },
);
