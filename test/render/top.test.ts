// The screen of `tunnel top`, from what is known to lines: as a person sees it, whatever the size and the colours.
import { Chalk } from 'chalk';
import { describe, expect, test } from 'vitest';
import type { TunnelStatus } from '../../src/model/status.ts';
import { withLook, type Traffic } from '../../src/model/traffic.ts';
import { plain } from '../../src/render/color.ts';
import { sparkline } from '../../src/render/sparkline.ts';
import { drawTop, shownTunnels, type ShownFlow, type TopScene, type TopView } from '../../src/render/top.ts';
import { displayWidth } from '../../src/render/width.ts';
import { statusDocument, tunnelStatus } from '../helpers/tunnel-status.ts';

const now = Date.parse('2026-11-22T09:14:11.000Z');
const at = (secondsAgo: number): string => new Date(now - secondsAgo * 1000).toISOString();
const [forward] = tunnelStatus('x').forwards;
const single = (more: object): TunnelStatus['forwards'] =>
  forward === undefined ? [] : [{ ...forward, held: 0, failed: 0, ...more }];

const lost = {
  code: 'LINK_LOST',
  message: 'link lost, on katie:22: no byte for 60s',
  hint: { command: 'why', on: { tunnel: 'cache' } },
  at: at(4),
} as const;
const tunnels: readonly TunnelStatus[] = [
  tunnelStatus('db', {
    since: at(120),
    tags: ['prod'],
    forwards: single({ listen: '127.0.0.1:5432', target: 'db:5432' }),
  }),
  tunnelStatus('cache', { state: 'retrying', since: at(4), retryAt: at(-6), error: lost, latencyMs: null }),
  tunnelStatus('asks', {
    state: 'needs-you',
    since: at(9),
    question: {
      kind: 'password',
      host: 'katie',
      text: 'Password for me@katie',
      echo: false,
      fingerprint: null,
    },
  }),
  tunnelStatus('spare', {
    state: 'down',
    forwards: single({ listen: '127.0.0.1:1', target: 'spare:1', open: 0 }),
  }),
];

/** Ten looks a second apart, in which db moved 2 KiB more each second. */
function traffic(): Traffic {
  let seen: Traffic = new Map();
  for (let look = 0; look <= 10; look += 1) {
    const bytes = 1024 * look * (look + 1);
    const db = tunnelStatus('db', { latencyMs: look, forwards: single({ bytesIn: bytes, bytesOut: 0 }) });
    seen = withLook(seen, [db, ...tunnels.slice(1)], look * 1000);
  }
  return seen;
}

const looking: TopView = { chosen: 'db', filter: '', sort: 'state', mode: { kind: 'look' } };
const flow: ShownFlow = {
  forward: '127.0.0.1:5432',
  program: { pid: 4711, command: 'psql' },
  peer: '127.0.0.1:53210',
  ageMs: 125_000,
  running: true,
  bytesIn: 2048,
  bytesOut: 15,
  rate: { in: 1024, out: 0 },
};
const waiting = {
  ...flow,
  program: null,
  peer: null,
  running: false,
  rate: null,
  bytesIn: 0,
  bytesOut: 0,
  ageMs: 3000,
};

function scene(more: Partial<TopScene> = {}): TopScene {
  return {
    document: statusDocument(tunnels),
    traffic: traffic(),
    flows: [waiting, flow],
    view: looking,
    message: null,
    log: [],
    trouble: null,
    now,
    ...more,
  };
}
const draw = (more: Partial<TopScene> = {}, columns = 80, rows = 24): string[] =>
  drawTop(scene(more), { rows, columns, paint: plain }).map((line) => line.trimEnd());

test('80 x 24: what needs somebody first, with its reason and next try, figures and their last seconds of what serves', () => {
  expect(draw().slice(0, 9)).toEqual([
    'tunnel top  /t/tunnels.yaml  pid 42  by state',
    '1 up, 1 needs-you, 1 retrying, 1 down',
    '',
    '  NAME     STATE      SINCE OPEN     IN/s    OUT/s TRAFFIC         MS LATENCY',
    '  asks     needs-you     9s press a to answer: Password for me@katie',
    '  cache    retrying      4s next try in 6s: link lost, on katie:22: no byte for…',
    '  spare    down             127.0.0.1:1 → spare:1',
    '> db       up            2m    2 20.0 KiB      0 B ▂▂▃▄▅▅▆▇▇█      13 ▂▂▃▃▃▄▄▅',
    '',
  ]);
});

test('the chosen tunnel shows its way, its counts, and who is connected, the busiest first', () => {
  expect(draw().slice(9, 15)).toEqual([
    'db  me@katie:22 [prod]',
    '  127.0.0.1:5432 → db:5432 (7 so far, 0 failed, in 100 B, out 50 B)',
    '  PROGRAM  PID   PEER             AGE        IN       OUT   IN/s     OUT/s',
    '  psql     4711  127.0.0.1:53210  2m         2.0 KiB  15 B  1.0 KiB  0 B',
    '  -        -     unix socket      3s, waits  0 B      0 B   -        -',
    '',
  ]);
  expect(draw().at(-1)).toBe('u up  r restart  d down  a answer  l log  o open  / filter  s sort  q quit');
});

test('what does not serve shows its error and what to do below it', () => {
  const shown = draw({ view: { ...looking, chosen: 'cache' }, flows: null }).join('\n');
  expect(shown).toContain('> cache ');
  expect(shown).toMatch(
    /\n {2}link lost \d\d:14:07, on katie:22: no byte for 60s\n {2}hint: tunnel why cache\n/,
  );
});

test.each([
  [24, 80],
  [40, 120],
  [10, 40],
  [5, 20],
  [3, 200],
  [1, 1],
])('%i rows of %i columns are filled and never left', (rows, columns) => {
  const many = Array.from({ length: 60 }, (_unused, index) =>
    tunnelStatus(`tunnel-with-a-long-name-${index}`),
  );
  for (const mode of [looking.mode, { kind: 'logs', tunnel: 'db' }, { kind: 'filter' }] as const)
    for (const document of [statusDocument(tunnels), statusDocument(many)])
      for (const paint of [plain, new Chalk({ level: 1 })]) {
        const view = { ...looking, mode };
        const log = ['a line that is much longer than the screen of this test is wide '.repeat(3)];
        const lines = drawTop(scene({ document, view, log, trouble: 'gone' }), { rows, columns, paint });
        expect(lines).toHaveLength(Math.max(rows, mode.kind === 'logs' ? 1 : 2));
        expect(lines.filter((line) => displayWidth(line) > columns)).toEqual([]);
      }
});

test('a list that is longer than the screen shows the part with the chosen one', () => {
  const many = Array.from({ length: 60 }, (_unused, index) =>
    tunnelStatus(`t${String(index).padStart(2, '0')}`),
  );
  const shown = draw({
    document: statusDocument(many),
    view: { ...looking, chosen: 't40', sort: 'name' },
    flows: null,
  });
  expect(shown.filter((line) => line.startsWith('> t40'))).toHaveLength(1);
  expect(shown.some((line) => line.startsWith('  t39'))).toBe(true);
  expect(shown.some((line) => line.startsWith('  t00'))).toBe(false);
});

test('colour only repeats what words say: without it the lines are the same', () => {
  const coloured = drawTop(scene(), { rows: 24, columns: 80, paint: new Chalk({ level: 1 }) });
  // oxlint-disable-next-line no-control-regex -- the colours are what is taken away
  expect(coloured.map((line) => line.replace(/\u001b\[[0-9;]*m/g, '').trimEnd())).toEqual(draw());
});

test('nothing that a server or a file says moves the cursor', () => {
  const evil = 'x\u001b[2J\u001b]0;title\u0007y';
  const error = { ...lost, message: evil };
  const bad = tunnelStatus('db', { state: 'retrying', error, endpoint: evil, tags: [evil] });
  const lines = draw({ document: statusDocument([bad]), message: evil, trouble: evil, log: [evil] });
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  expect(lines.filter((line) => /[\u0000-\u001f\u007f-\u009f]/.test(line))).toEqual([]);
});

describe('the foot', () => {
  test.each<[string, Partial<TopScene>, string[]]>([
    ['says what a key did', { message: 'db is up' }, ['db is up', 'u up']],
    [
      'gives a hint a line of its own',
      { message: 'db: refused\nhint: tunnel why db' },
      ['hint: tunnel why db', 'u up'],
    ],
    [
      'asks before connections are cut off',
      { view: { ...looking, mode: { kind: 'sure', act: 'down', tunnel: 'db' } } },
      ['take db down? Its connections are cut off.', 'y yes  n no'],
    ],
    [
      'shows the filter as it is typed',
      { view: { ...looking, filter: 'c', mode: { kind: 'filter' } } },
      ['filter: c_', 'Enter keep it  Esc show all'],
    ],
  ])('%s', (_name, more, lines) => {
    const foot = draw(more).slice(-2);
    expect(foot.map((line, index) => line.startsWith(lines[index] ?? '?'))).toEqual([true, true]);
  });
});

test.each([
  ['state', '', ['asks', 'cache', 'spare', 'db']],
  ['name', '', ['asks', 'cache', 'db', 'spare']],
  ['traffic', '', ['db', 'cache', 'asks', 'spare']],
  ['latency', '', ['db', 'asks', 'spare', 'cache']],
  ['name', 'PROD', ['db']],
  ['name', 'katie', ['asks', 'cache', 'db', 'spare']],
  ['name', 'retry', ['cache']],
] as const)('sorted by %s and filtered by "%s"', (sort, filter, names) => {
  expect(shownTunnels(scene({ view: { ...looking, sort, filter } })).map(({ name }) => name)).toEqual(names);
});

test.each<[readonly (number | null)[], number, number, string]>([
  [[], 4, 0, '    '],
  [[0, 0], 4, 0, '  ▁▁'],
  [[0, 1, 7], 3, 0, '▁▂█'],
  [[1, 2, 3, 4], 2, 0, '▆█'],
  [[1, null, 7], 3, 0, '▂ █'],
  [[1, 0], 2, 70, '▂▁'],
])('the sparkline of %j in %i columns', (values, width, least, line) => {
  expect(sparkline(values, width, least)).toBe(line);
});
