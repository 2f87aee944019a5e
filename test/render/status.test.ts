// The tables of SPEC 7, to the letter.
import { describe, expect, test } from 'vitest';
import { plain } from '../../src/render/color.ts';
import {
  exposureNotes,
  renderDownLine,
  renderStatus,
  renderTunnelLine,
  supervisorNotes,
} from '../../src/render/status.ts';
import type { ForwardStatus, StatusDocument, StatusError, TunnelStatus } from '../../src/model/status.ts';

const now = new Date(2026, 10, 22, 9, 14, 19).getTime();
const ago = (ms: number): string => new Date(now - ms).toISOString();

const forward = (over: Partial<ForwardStatus> = {}): ForwardStatus => ({
  name: null,
  type: 'local',
  listen: '127.0.0.1:2345',
  target: 'katie.example.org:12000',
  bound: true,
  exposed: false,
  open: 0,
  held: 0,
  total: 3,
  failed: 0,
  bytesIn: 15,
  bytesOut: 15,
  error: null,
  probe: null,
  ...over,
});

const tunnel = (over: Partial<TunnelStatus> = {}): TunnelStatus => ({
  name: 'katie',
  state: 'up',
  since: ago(125_000),
  tags: [],
  autostart: true,
  wanted: true,
  host: 'katie',
  endpoint: 'me@katie.example.org:22',
  via: [],
  link: 'l1',
  orphan: false,
  reconnects: 0,
  attempt: 0,
  retryAt: null,
  latencyMs: 12.3,
  error: null,
  lastError: null,
  question: null,
  forwards: [forward()],
  algorithms: null,
  ...over,
});

const document = (...tunnels: TunnelStatus[]): StatusDocument => ({
  version: 1,
  supervisor: {
    running: true,
    pid: 1,
    version: '0.1.0',
    config: '/t.yaml',
    since: ago(1),
    configError: null,
    nativeCrypto: true,
  },
  tunnels,
});

const error = (over: Partial<StatusError> = {}): StatusError => ({
  code: 'LINK_LOST',
  message: 'link lost, on katie.example.org:22: no byte for 60s',
  hint: 'tunnel why katie',
  at: ago(12_000),
  ...over,
});

const show = (...tunnels: TunnelStatus[]): string =>
  renderStatus(document(...tunnels), { now, paint: plain }).join('\n');

describe('status', () => {
  test('shows a tunnel that is up as SPEC 7 does', () => {
    expect(show(tunnel())).toBe(
      [
        'NAME   STATE  SINCE  LISTEN          TARGET                   OPEN  IN    OUT   MS',
        'katie  up     2m     127.0.0.1:2345  katie.example.org:12000  0     15 B  15 B  12',
      ].join('\n'),
    );
  });

  test('shows a tunnel that is away with its cause and what to do', () => {
    const away = tunnel({
      state: 'retrying',
      since: ago(12_000),
      retryAt: new Date(now + 3600).toISOString(),
      error: error(),
      forwards: [forward({ held: 1 })],
    });
    expect(show(away)).toBe(
      [
        'NAME   STATE     SINCE  LISTEN          TARGET                   HELD  NEXT TRY',
        'katie  retrying  12s    127.0.0.1:2345  katie.example.org:12000  1     4s',
        '       link lost 09:14:07, on katie.example.org:22: no byte for 60s',
        '       hint: tunnel why katie',
      ].join('\n'),
    );
  });

  test.each([
    ['link lost: no byte from katie:22 for 60s', 'link lost 09:14:07: no byte from katie:22 for 60s'],
    ['no tunnel is named x', '09:14:07 no tunnel is named x'],
    ['127.0.0.1:1 refused: no', '09:14:07 127.0.0.1:1 refused: no'],
  ])('says when %s', (message, shown) => {
    expect(show(tunnel({ state: 'retrying', error: error({ message }) }))).toContain(`       ${shown}\n`);
  });

  test('says a cause that many share once, with the earliest next try', () => {
    const cause = error({ code: 'UNREACHABLE', message: 'connect failed, on bastion:22: no answer in 10s' });
    const members = ['a', 'b', 'c'].map((name, index) =>
      tunnel({
        name,
        state: 'retrying',
        error: cause,
        retryAt: new Date(now + 4000 + index * 1000).toISOString(),
      }),
    );
    const text = show(...members);
    expect(text).toContain(
      '3 tunnels: connect failed 09:14:07, on bastion:22: no answer in 10s, next try in 4s',
    );
    expect(text.match(/connect failed/g)).toHaveLength(1);
  });

  test('puts what is not up first, what needs a person above all', () => {
    const text = show(
      tunnel({ name: 'fine' }),
      tunnel({ name: 'waits', state: 'retrying', error: error() }),
      tunnel({
        name: 'asks',
        state: 'needs-you',
        error: error({
          code: 'AUTH_REFUSED',
          message: 'login failed, on katie:22: publickey refused',
          hint: null,
        }),
      }),
    );
    const at = ['asks', 'waits', 'fine'].map((name) => text.indexOf(name));
    expect(at).toEqual(at.toSorted((a, b) => a - b));
  });

  test('leaves out columns that say nothing of tunnels that are down', () => {
    const down = tunnel({
      state: 'down',
      since: null,
      latencyMs: null,
      forwards: [forward({ bound: false })],
    });
    expect(show(down)).toBe(
      ['NAME   STATE  LISTEN          TARGET', 'katie  down   127.0.0.1:2345  katie.example.org:12000'].join(
        '\n',
      ),
    );
  });

  test('gives each forward of several its row', () => {
    const text = show(
      tunnel({
        name: 'stack',
        forwards: [forward({ name: 'db', listen: '127.0.0.1:5432', target: 'db:5432' }), forward()],
      }),
    );
    expect(text).toContain('stack  up     2m     2 forwards');
    expect(text).toMatch(/^ {2}db\s+127\.0\.0\.1:5432 {2}db:5432/m);
    expect(text).toMatch(/^ {2}#2\s+127\.0\.0\.1:2345/m);
  });

  test('keeps the reason of a failed connection in sight while the tunnel is up', () => {
    const refused = error({
      code: 'FORWARD_REFUSED',
      message: 'open failed, on db:5432: connection refused',
    });
    expect(show(tunnel({ forwards: [forward({ failed: 1, error: refused })] }))).toContain(
      '1 of 3 connections failed, the last: open failed 09:14:07, on db:5432: connection refused',
    );
  });

  test('tells which question waits and how to answer it', () => {
    const question = {
      kind: 'passphrase' as const,
      host: 'katie',
      text: 'Passphrase for ~/.ssh/id_ed25519',
      echo: false,
      fingerprint: null,
    };
    expect(show(tunnel({ state: 'connecting', question }))).toContain(
      'waits for an answer: Passphrase for ~/.ssh/id_ed25519\n       hint: tunnel up katie',
    );
  });

  test('names orphans and marks what is exposed', () => {
    const text = show(
      tunnel({ orphan: true, forwards: [forward({ listen: '0.0.0.0:2345', exposed: true })] }),
    );
    expect(text).toContain('0.0.0.0:2345 (exposed)');
    expect(text).toContain('katie is no longer in the config');
  });

  test('says of the supervisor what a person should know', () => {
    const { supervisor } = document();
    expect(supervisorNotes(document())).toEqual([]);
    expect(
      supervisorNotes({
        version: 1,
        tunnels: [],
        supervisor: { ...supervisor, configError: 't.yaml:1:1 x', nativeCrypto: false },
      }),
    ).toEqual([expect.stringContaining('the last good config is in use: t.yaml:1:1 x')]);
  });
});

describe('status of many, or in a narrow window', () => {
  const refused = error({ code: 'UNREACHABLE', message: 'connect failed, on bastion:22: no answer in 10s' });
  const away = (name: string, index: number): TunnelStatus =>
    tunnel({
      name,
      state: 'retrying',
      since: ago(12_000 + index * 1000),
      error: refused,
      retryAt: new Date(now + 4000 + index * 1000).toISOString(),
      forwards: [forward({ held: 2 })],
    });
  const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `db-${index + 1}`);
  const lines = (columns: number, ...tunnels: TunnelStatus[]): string[] =>
    renderStatus(document(...tunnels), { now, paint: plain, columns });

  test('many that are away for one reason are one row with the longest time and all that is held', () => {
    const shown = renderStatus(document(...names(30).map(away)), { now, paint: plain });
    expect(shown).toEqual([
      'NAME       STATE     SINCE  HELD  NEXT TRY',
      'db-1 + 29  retrying  41s    60    4s',
      '           30 tunnels: connect failed 09:14:07, on bastion:22: no answer in 10s, next try in 4s',
      '           hint: tunnel why katie',
      '           these are db-1, db-2, db-3, db-4, db-5 and 25 more',
      '',
      '30 retrying: connect failed, on bastion:22: no answer in 10s',
    ]);
  });

  test('each has its row when that is asked for, and when they are few', () => {
    const every = renderStatus(document(...names(30).map(away)), { now, paint: plain, every: true });
    expect(every.filter((line) => line.startsWith('db-'))).toHaveLength(30);
    expect(show(...names(4).map(away)).match(/^db-/gm)).toHaveLength(4);
  });

  test('the last line sums many up, with the reason that most of them share', () => {
    const up = names(270).map((name) => tunnel({ name: `up-${name}` }));
    const other = tunnel({ name: 'x', state: 'retrying', error: error() });
    const asks = tunnel({
      name: 'y',
      state: 'needs-you',
      error: error({ code: 'AUTH_REFUSED', message: 'no' }),
    });
    const shown = renderStatus(document(...up, ...names(30).map(away), other, asks), { now, paint: plain });
    expect(shown.at(-1)).toBe(
      '270 up, 1 needs-you: no, 31 retrying: connect failed, on bastion:22: no answer in 10s (and 1 more cause)',
    );
    expect(show(tunnel()).split('\n')).toHaveLength(2);
  });

  const long = tunnel({
    name: 'customer-database-production-eu-west-1',
    state: 'retrying',
    since: ago(12_000),
    retryAt: new Date(now + 3600).toISOString(),
    error: refused,
    forwards: [forward({ held: 1, target: 'postgres.internal.example.org:5432' })],
  });

  test.each([60, 80, 100, 120])(
    'nothing is wider than %i columns, and STATE and LISTEN stay whole',
    (columns) => {
      const all = lines(columns, long, tunnel({ ...long, name: 'web', state: 'up', error: null }));
      for (const line of all) expect(line.length, line).toBeLessThanOrEqual(columns);
      expect(all[1]).toMatch(/ {2}retrying .*127\.0\.0\.1:2345/);
      expect(all.at(-1)).toMatch(/^web .* up .*127\.0\.0\.1:2345/);
    },
  );

  test('NAME and TARGET shorten first, in their middle', () => {
    const shown = lines(80, long);
    expect(shown[0]).toMatch(/^NAME +STATE +SINCE +LISTEN +TARGET +HELD +NEXT TRY$/);
    expect(shown[1]).toMatch(/^custo\S*…\S*st-1 +retrying +12s +127\.0\.0\.1:2345 +post\S*…\S*5432 +1 +4s$/);
  });

  test('a reason wraps between words at its indent, a hint stays in one piece', () => {
    const hint = 'ssh-copy-id -i ~/.ssh/id_ed25519.pub -p 2222 somebody@katie.example.org';
    const asks = tunnel({
      name: 'db',
      state: 'needs-you',
      error: error({
        code: 'AUTH_REFUSED',
        message: 'authentication failed, on katie: the server refused every key',
        hint,
      }),
    });
    const shown = lines(40, asks);
    expect(shown.slice(2)).toEqual([
      '      authentication failed 09:14:07, on',
      '      katie: the server refused every',
      '      key',
      `      hint: ${hint}`,
    ]);
  });
});

describe('lines', () => {
  test('up reads as in SPEC 4', () => {
    expect(renderTunnelLine(tunnel({ name: 'uppercase' }), plain)).toBe(
      'uppercase  up  127.0.0.1:2345 → katie.example.org:12000 via katie',
    );
    expect(renderTunnelLine(tunnel({ via: ['bastion'] }), plain)).toMatch(/ via bastion, katie$/);
  });

  test('remote and dynamic forwards say where they listen', () => {
    const hooks = forward({ type: 'remote', listen: '127.0.0.1:8080', target: '127.0.0.1:3000' });
    expect(renderTunnelLine(tunnel({ name: 'hooks', forwards: [hooks] }), plain)).toBe(
      'hooks  up  127.0.0.1:8080 on katie → 127.0.0.1:3000 here via katie',
    );
    const proxy = forward({ type: 'dynamic', listen: '127.0.0.1:1080', target: '*' });
    expect(renderTunnelLine(tunnel({ forwards: [proxy] }), plain)).toContain('127.0.0.1:1080 → anywhere');
  });

  test('down names the addresses it closed', () => {
    const down = tunnel({ state: 'down' });
    expect(renderDownLine(down, { closed: ['127.0.0.1:2345'], left: [] }, plain)).toBe(
      'katie  down  127.0.0.1:2345 closed',
    );
    expect(renderDownLine(down, { closed: [], left: [] }, plain)).toBe('katie  down  (it was not up)');
    expect(renderDownLine(down, { closed: ['127.0.0.1:1'], left: ['127.0.0.1:2'] }, plain)).toBe(
      'katie  down  127.0.0.1:1 closed; 127.0.0.1:2 not closed',
    );
  });

  test('a listener beyond loopback is said aloud', () => {
    expect(exposureNotes(tunnel())).toEqual([]);
    expect(exposureNotes(tunnel({ forwards: [forward({ exposed: true, listen: '0.0.0.0:1' })] }))).toEqual([
      'katie: 0.0.0.0:1 is exposed, other machines can reach it',
    ]);
  });
});
