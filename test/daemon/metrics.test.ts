// The metrics server: what it answers, to whom, and where. And desktop notifications.
import { once } from 'node:events';
import { get } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { MetricsServer } from '../../src/daemon/metrics-http.ts';
import { createNotifier, notifyCommand } from '../../src/daemon/notify.ts';
import type { TunnelStatus } from '../../src/model/status.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { statusDocument, tunnelStatus as tunnel } from '../helpers/tunnel-status.ts';

const open: MetricsServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function serve(
  tunnels: readonly TunnelStatus[],
  host = '127.0.0.1',
): Promise<{ server: MetricsServer; logged: string[] }> {
  const logged: string[] = [];
  const server = new MetricsServer({
    document: () => statusDocument(tunnels),
    log: (_level, _event, message) => void logged.push(message),
  });
  open.push(server);
  await server.serve({ host, port: 0, page: false });
  return { server, logged };
}

function fetchText(
  server: MetricsServer,
  path: string,
  method = 'GET',
  headers: Record<string, string> = {},
): Promise<[number, string]> {
  return new Promise((resolve, reject) => {
    const request = get(
      { host: '127.0.0.1', port: server.at?.port, path, method, headers, agent: false },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += String(chunk)));
        response.on('end', () => resolve([response.statusCode ?? 0, text]));
      },
    );
    request.on('error', reject);
  });
}

describe('a metrics address that is taken', () => {
  test('is told once, kept as an error, and tried again until it is free', async () => {
    const holder = createServer().listen(0, '127.0.0.1');
    await once(holder, 'listening');
    const { port } = holder.address() as AddressInfo;
    const clock = manualClock();
    const logged: string[] = [];
    const log = (_level: string, _event: string, message: string): void => void logged.push(message);
    const server = new MetricsServer({ document: () => statusDocument([]), log, clock });
    open.push(server);
    for (let tries = 0; tries < 3; tries += 1) {
      await server.serve({ host: '127.0.0.1', port, page: false });
      expect(server.error).toMatchObject({ code: 'LISTEN_FAILED' });
      expect(server.error?.message).toContain(`on 127.0.0.1:${port}: the port is in use`);
    }
    expect(logged).toHaveLength(1);
    expect(clock.armed()).toBe(1);
    holder.close();
    await once(holder, 'close');
    clock.advance(5_000);
    await expect.poll(() => server.error).toBeNull();
    expect(await fetchText(server, '/healthz')).toEqual([200, 'ok\n']);
    expect(clock.armed()).toBe(0);
  });
});

describe('the metrics server', () => {
  test('answers metrics, health and readiness', async () => {
    const { server } = await serve([
      tunnel('db'),
      tunnel('lazy', { state: 'asleep' }),
      tunnel('off', { state: 'down', wanted: false }),
      tunnel('web', { state: 'retrying' }),
    ]);
    expect((await fetchText(server, '/metrics'))[1]).toContain('tunnel_up{tunnel="db"} 1');
    expect(await fetchText(server, '/healthz')).toEqual([200, 'ok\n']);
    expect(await fetchText(server, '/readyz')).toEqual([503, 'web retrying\n']);
    expect(await fetchText(server, '/readyz?tunnel=db')).toEqual([200, 'ok\n']);
    expect(await fetchText(server, '/readyz?tunnel=db&tunnel=lazy')).toEqual([200, 'ok\n']);
    expect(await fetchText(server, '/readyz?tunnel=off')).toEqual([503, 'off down\n']);
    expect((await fetchText(server, '/readyz?tunnel=nope'))[0]).toBe(404);
    const none = await serve([tunnel('off', { state: 'down', wanted: false, autostart: false })]);
    expect(await fetchText(none.server, '/readyz')).toEqual([503, 'nothing is wanted\n']);
    expect((await fetchText(server, '/'))[0]).toBe(404);
    expect((await fetchText(server, '/metrics', 'POST'))[0]).toBe(405);
    expect(await fetchText(server, '/healthz', 'HEAD')).toEqual([200, '']);
  });

  test('answers on loopback only to an address or its own name: a page must not read it by DNS rebinding', async () => {
    const { server } = await serve([tunnel('db')]);
    const port = server.at?.port ?? 0;
    const codeFor = async (host: string, of = server): Promise<number> =>
      (await fetchText(of, '/metrics', 'GET', { host }))[0];
    for (const host of [`127.0.0.1:${port}`, '127.0.0.1', `localhost:${port}`, 'LOCALHOST', `[::1]:${port}`])
      expect(await codeFor(host), host).toBe(200);
    for (const host of [`evil.example:${port}`, 'localhost.evil.example', '127.0.0.1.evil.example', 'evil'])
      expect(await codeFor(host), host).toBe(421);
    const named = await serve([], 'localhost');
    expect(await codeFor('localhost', named.server)).toBe(200);
    const exposed = await serve([], '0.0.0.0');
    expect(
      await codeFor(`tunnel.default.svc:9464`, exposed.server),
      'any name may be that of a machine',
    ).toBe(200);
  });

  test('answers also beside more idle connections than it keeps, which end the oldest first', async () => {
    const { server } = await serve([]);
    const idle = Array.from({ length: 200 }, () =>
      connect(server.at?.port ?? 0, '127.0.0.1').on('error', () => undefined),
    );
    await Promise.all(idle.map((socket) => once(socket, 'connect')));
    expect(await fetchText(server, '/healthz')).toEqual([200, 'ok\n']);
    await expect.poll(() => idle.filter(({ destroyed }) => destroyed).length).toBeGreaterThanOrEqual(137);
    expect(idle.at(-1)?.destroyed).toBe(false);
    for (const socket of idle) socket.destroy();
  });

  test('moves when its address changes, and stays when it does not', async () => {
    const { server } = await serve([]);
    const first = server.at?.port;
    await server.serve({ host: '127.0.0.1', port: 0, page: false });
    expect(server.at?.port).toBe(first);
    await server.serve(null);
    expect(server.at).toBe(null);
  });

  test('says which address is taken, and lives on', async () => {
    const { server } = await serve([]);
    const other = await serve([]);
    await other.server.serve(server.at === null ? null : { ...server.at, page: false });
    expect(other.logged.at(-1)).toContain('the port is in use');
    expect(other.server.at).toBe(null);
  });
});

describe('desktop notifications', () => {
  test('say who asks: the words of a server are not ours', () => {
    const shown: string[] = [];
    const message = 'login waits, on k: (u@k asks) Run this';
    const error = { code: 'SECRET_MISSING', message, hint: null, at: '' } as const;
    const question = { kind: 'prompt', host: 'k', text: 'Run this', echo: true, fingerprint: null } as const;
    createNotifier((_, text) => shown.push(text)).look(
      [tunnel('db', { state: 'needs-you', error, question })],
      true,
    );
    expect(shown).toEqual([`${message}\ntunnel up db`]);
  });

  test('tell once of each cause that needs a person', () => {
    const shown: string[] = [];
    const notifier = createNotifier((title, text) => shown.push(`${title}: ${text}`));
    const error = { code: 'AUTH_REFUSED', message: 'no key', hint: null, at: '' } as const;
    const waiting = tunnel('db', { state: 'needs-you', error });
    notifier.look([waiting, tunnel('web', { state: 'needs-you', error })], true);
    notifier.look([waiting], true);
    expect(shown).toEqual(['web (and 1 more) needs you: no key\ntunnel up web']);
    notifier.look([tunnel('db')], true);
    notifier.look([waiting], false);
    expect(shown).toHaveLength(1);
  });

  test('are shown by the program of the desktop, where there is one', () => {
    expect(notifyCommand('linux', {}, 't', 'x')).toBe(null);
    expect(notifyCommand('linux', { DBUS_SESSION_BUS_ADDRESS: 'unix:x' }, '-t', 'x')).toEqual([
      'notify-send',
      '--app-name=tunnel',
      '--',
      '-t',
      'x',
    ]);
    expect(notifyCommand('darwin', {}, 't', 'say "x" \\')?.at(-1)).toBe(
      'display notification "say \\"x\\" \\\\" with title "t"',
    );
  });
});
