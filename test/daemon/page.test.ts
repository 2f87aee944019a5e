// The page's server: to whom it answers, what a viewer is told and when, and that the rest of a supervisor does without it.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { resolve } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { MetricsServer } from '../../src/daemon/metrics-http.ts';
import { openPage } from '../../src/daemon/page.ts';
import { Samples } from '../../src/daemon/samples.ts';
import type { HistoryLine } from '../../src/model/history.ts';
import { openable } from '../../src/model/open-url.ts';
import { tcp } from '../../src/model/endpoint.ts';
import { keptSamples, sampleMs, type PageChanges, type PageDocument } from '../../src/model/page.ts';
import type { TunnelStatus } from '../../src/model/status.ts';
import { hostOf, local, tunnelOf } from '../helpers/fake-world.ts';
import { manualClock } from '../helpers/manual-clock.ts';
import { statusDocument, tunnelStatus } from '../helpers/tunnel-status.ts';

const closes: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closes.splice(0)) await close();
});

const text = '<style>a{}</style><script>1</script>';

/** A server with the page, of tunnels that the test changes. */
async function scene(tunnels: readonly TunnelStatus[], lines: readonly HistoryLine[] = []) {
  const clock = manualClock(Date.UTC(2026, 10, 22));
  let now = tunnels;
  let changed = (): void => undefined;
  const document = () => statusDocument(now);
  const engine = {
    examine: (name: string) => ({
      tunnel: tunnelOf(name, [hostOf('katie')], local(1), { open: 'http://{address}/' }),
      session: null,
      attempt: null,
      last: null,
      environment: { variables: {}, agentSockets: [] },
    }),
    onChange(listener: () => void) {
      changed = listener;
      return () => undefined;
    },
  };
  const parts = { engine, document, clock, history: () => lines, text };
  const server = new MetricsServer({
    document,
    log: () => undefined,
    openPage: () => Promise.resolve(openPage(parts)),
  });
  closes.push(() => server.close());
  await server.serve({ host: '127.0.0.1', port: 0, page: true });
  return {
    server,
    clock,
    change: (next: readonly TunnelStatus[]) => {
      now = next;
      changed();
    },
  };
}

function ask(server: MetricsServer, path: string, headers = {}, method = 'GET'): Promise<IncomingMessage> {
  return new Promise((done, fail) => {
    const port = server.at?.port;
    get({ host: '127.0.0.1', port, path, method, headers, agent: false }, done).on('error', fail);
  });
}

interface Viewer {
  /** Events so far: their names, and what they tell. */
  readonly events: (readonly ['document', PageDocument] | readonly ['changes', PageChanges])[];
  readonly response: IncomingMessage;
}

async function view(server: MetricsServer): Promise<Viewer> {
  const response = await ask(server, '/events');
  const events: Viewer['events'] = [];
  let rest = '';
  response.on('data', (chunk) => {
    const blocks = (rest + String(chunk)).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const [, name, told] = /^event: (\w+)\ndata: (.*)$/s.exec(block) ?? [];
      if (told !== undefined) events.push([name, JSON.parse(told)] as (typeof events)[number]);
    }
  });
  response.on('error', () => undefined);
  closes.push(() => void response.destroy());
  return { events, response };
}

const soon = { timeout: 20_000 };

describe('the page', () => {
  test('is sent with a policy under which only its own script and style run', async () => {
    const { server } = await scene([]);
    const { headers, statusCode } = await ask(server, '/');
    const hash = (inside: string): string =>
      `'sha256-${createHash('sha256').update(inside).digest('base64')}'`;
    expect(statusCode).toBe(200);
    expect(headers['content-security-policy']).toBe(
      `default-src 'none'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; script-src ${hash('1')}; style-src ${hash('a{}')}`,
    );
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' });
    expect(headers['set-cookie']).toBeUndefined();
  });

  test('is not there, and nothing of it, unless it is asked for', async () => {
    const { server } = await scene([]);
    const { port = 0 } = server.at ?? {};
    await server.serve({ host: '127.0.0.1', port: 0, page: false });
    expect(server.at?.port, 'the address stays').toBe(port);
    for (const path of ['/', '/events']) expect((await ask(server, path)).statusCode).toBe(404);
    await server.serve({ host: '127.0.0.1', port: 0, page: true });
    expect((await ask(server, '/')).statusCode).toBe(200);
  });

  test('changes nothing, and is for no other site: not by its name, and not from its pages', async () => {
    const { server } = await scene([]);
    for (const path of ['/', '/events']) {
      expect((await ask(server, path, {}, 'POST')).statusCode).toBe(405);
      expect((await ask(server, path, { host: 'evil.example' })).statusCode).toBe(421);
    }
    expect((await ask(server, '/events', { 'sec-fetch-site': 'cross-site' })).statusCode).toBe(403);
    expect((await ask(server, '/events', { 'sec-fetch-site': 'same-origin' })).statusCode).toBe(200);
  });

  test('is built without markup that its policy would not let work, and with nothing from elsewhere', () => {
    const built = readFileSync(resolve(import.meta.dirname, '../../dist/page.html'), 'utf8');
    expect(built.match(/<(script|style)>[^<]/g)).toHaveLength(2);
    expect(built).not.toMatch(/<[^>]* (style|on\w+|src)=/);
    expect(built.replaceAll('http://www.w3.org/2000/svg', '')).not.toMatch(/https?:\/\//);
  });
});

describe('a viewer', () => {
  test('is told everything first, then the tunnels that changed', async () => {
    const lines: HistoryLine[] = [
      { kind: 'change', atMs: 1, tunnel: 'db', from: 'down', to: 'up', code: null, message: null },
      {
        kind: 'change',
        atMs: 2,
        tunnel: 'db',
        from: 'up',
        to: 'retrying',
        code: 'LINK_LOST',
        message: 'lost',
      },
    ];
    const { server, clock, change } = await scene([tunnelStatus('db'), tunnelStatus('web')], lines);
    const { events } = await view(server);
    clock.advance(0);
    await expect.poll(() => events.length, soon).toBe(1);
    expect(events[0]).toMatchObject([
      'document',
      {
        version: 1,
        supervisor: { pid: 42 },
        tunnels: [
          {
            name: 'db',
            open: 'http://127.0.0.1:1/',
            history: [{ to: 'retrying', message: 'lost' }],
            samples: [[null, null, 12.5]],
          },
          { name: 'web', history: [] },
        ],
      },
    ]);
    const hint = { command: 'why', on: { tunnel: 'web' } };
    const error = { code: 'LINK_LOST', message: 'lost', hint, at: '' } as const;
    change([tunnelStatus('db'), tunnelStatus('web', { state: 'retrying', error })]);
    clock.advance(500);
    await expect.poll(() => events.length, soon).toBe(2);
    expect(events[1]).toMatchObject([
      'changes',
      { tunnels: [{ name: 'web', state: 'retrying', error: { hint: 'tunnel why web' } }] },
    ]);
    expect(events[1]?.[1]).not.toHaveProperty('names');
    change([tunnelStatus('db')]);
    clock.advance(500);
    await expect.poll(() => events.length, soon).toBe(3);
    expect(events[2]).toMatchObject(['changes', { names: ['db'], tunnels: [] }]);
    clock.advance(sampleMs);
    await expect.poll(() => events.length, soon).toBe(4);
    expect(events[3], 'a sign of life, and the rates').toMatchObject([
      'changes',
      { sampledAt: expect.any(String), tunnels: [{ name: 'db', sample: [0, 0, 12.5] }] },
    ]);
    clock.advance(sampleMs);
    await expect.poll(() => events.length, soon).toBe(5);
    expect(events[4], 'the same as before is not told again').toMatchObject(['changes', { tunnels: [] }]);
  });

  test('is one of eight', async () => {
    const { server } = await scene([]);
    const viewers: Viewer[] = [];
    for (let count = 0; count < 8; count += 1) viewers.push(await view(server));
    expect(viewers.map(({ response }) => response.statusCode)).toEqual(Array(8).fill(200));
    expect((await ask(server, '/events')).statusCode).toBe(503);
    expect((await ask(server, '/events', {}, 'HEAD')).statusCode).toBe(503);
    viewers[0]?.response.destroy();
    await expect.poll(async () => (await ask(server, '/events', {}, 'HEAD')).statusCode, soon).toBe(200);
  });

  test('waits for what the others have cost, a megabyte a second', async () => {
    const tags = ['x'.repeat(400_000)];
    const { server, clock } = await scene([tunnelStatus('db', { tags })]);
    const first = await view(server);
    clock.advance(0);
    await expect.poll(() => first.events.length, soon).toBe(1);
    const second = await view(server);
    clock.advance(350);
    await ask(server, '/healthz'); // whatever was written before has left before
    expect(second.events).toEqual([]);
    clock.advance(100);
    await expect.poll(() => second.events.length, soon).toBe(1);
  });
});

describe('samples', () => {
  const withBytes = (bytesIn: number, bytesOut: number): readonly TunnelStatus[] => {
    const { forwards, ...tunnel } = tunnelStatus('db');
    return [{ ...tunnel, forwards: forwards.slice(0, 1).map((each) => ({ ...each, bytesIn, bytesOut })) }];
  };

  test('are rates of the time between, also when counts begin anew, with a gap for what was missed', () => {
    const samples = new Samples();
    expect([...samples.take(withBytes(0, 0), 0)]).toEqual(['db']);
    expect([...samples.take(withBytes(5000, 50), 5000)]).toEqual(['db']);
    expect([...samples.take(withBytes(10_000, 100), 10_000)]).toEqual([]);
    samples.take(withBytes(500, 0), 15_000);
    samples.take(withBytes(2500, 0), 25_000);
    expect(samples.of('db')).toEqual([
      [null, null, 12.5],
      [1000, 10, 12.5],
      [1000, 10, 12.5],
      [100, 0, 12.5],
      [null, null, null],
      [200, 0, 12.5],
    ]);
  });

  test('are of ten minutes, and of tunnels that are there', () => {
    const samples = new Samples();
    for (let at = 0; at < 200; at += 1) samples.take(withBytes(at, 0), at * sampleMs);
    expect(samples.of('db')).toHaveLength(keptSamples);
    samples.take([], 200 * sampleMs);
    expect(samples.of('db')).toEqual([]);
  });
});

test.each([
  ['http://{address}/x?{port}', 'http://127.0.0.1:5/x?5'],
  ['postgres://me@{host}:{port}/db', 'postgres://me@127.0.0.1:5/db'],
  ['javascript:alert(1)', null],
  ['file:///etc/passwd', null],
  ['{address}', null],
])('open: %s leads to %s', (template, url) => {
  expect(openable(template, tcp('127.0.0.1', 5))).toBe(url);
});
