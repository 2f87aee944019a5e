// The live screen of `tunnel top`: tunnels, what is known of the chosen one with its connections, and the keys. From what
// is known to lines, pure: the lines fit the size they were asked for.
import { cleanText, visibleText } from '../model/clean.ts';
import {
  failedProbe,
  isReady,
  type ForwardStatus,
  type StatusDocument,
  type TunnelStatus,
} from '../model/status.ts';
import type { Rate, Traffic } from '../model/traffic.ts';
import type { Paint } from './color.ts';
import { cut } from './screen.ts';
import { sparkline } from './sparkline.ts';
import { arrow, stateCounts, statePaint, supervisorNotes, tunnelNotes, urgency } from './status.ts';
import { hintText } from './error.ts';
import { renderTable } from './table.ts';
import { formatAge, formatBytes, formatLatency, formatWait } from './units.ts';
import { displayWidth, shorten, wrap } from './width.ts';

export const topSorts = ['state', 'name', 'traffic', 'latency'] as const;
export type TopSort = (typeof topSorts)[number];

/** What the person at it has chosen. */
export interface TopView {
  /** Name of the chosen tunnel; null, or one that is not shown, means the first. */
  readonly chosen: string | null;
  readonly filter: string;
  readonly sort: TopSort;
  readonly mode:
    | { readonly kind: 'look' }
    | { readonly kind: 'filter' }
    | { readonly kind: 'logs'; readonly tunnel: string }
    /** A key that ends connections waits for a yes. */
    | { readonly kind: 'sure'; readonly act: 'restart' | 'down'; readonly tunnel: string };
}

/** A connection of the chosen tunnel. */
export interface ShownFlow {
  readonly forward: string;
  /** Null: not known. */
  readonly program: { readonly pid: number; readonly command: string } | null;
  /** Null: a unix socket, or not connected yet. */
  readonly peer: string | null;
  readonly ageMs: number;
  readonly running: boolean;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly rate: Rate | null;
}

export interface TopScene {
  readonly document: StatusDocument;
  readonly traffic: Traffic;
  /** Of the chosen tunnel; null: not known. */
  readonly flows: readonly ShownFlow[] | null;
  readonly view: TopView;
  /** What became of the last key, or what is wrong; null for nothing. */
  readonly message: string | null;
  /** Lines of the log, newest last, painted. */
  readonly log: readonly string[];
  /** Why what is shown may be old; null while the supervisor answers. */
  readonly trouble: string | null;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export interface TopFrame {
  readonly rows: number;
  readonly columns: number;
  readonly paint: Paint;
  /** The config that commands in hints must name. */
  readonly config?: string;
}

/** The screen: exactly as many lines as there are rows, fit to show. */
export function drawTop(scene: TopScene, frame: TopFrame): string[] {
  const foot = footLines(scene, frame);
  const room = Math.max(0, frame.rows - foot.length);
  const body = scene.view.mode.kind === 'logs' ? logLines(scene, frame, room) : lookLines(scene, frame, room);
  const blank = Array.from({ length: Math.max(0, room - body.length) }, () => '');
  return [...body.slice(0, room), ...blank, ...foot].map((line) => cut(visibleText(line), frame.columns));
}

/** The tunnels that the filter leaves, in their order. */
export function shownTunnels({
  document,
  view,
  traffic,
}: Pick<TopScene, 'document' | 'view' | 'traffic'>): TunnelStatus[] {
  const wish = view.filter.toLowerCase();
  const words = (tunnel: TunnelStatus): string =>
    [tunnel.name, tunnel.state, tunnel.host, ...tunnel.tags].join('\n').toLowerCase();
  const shown = document.tunnels.filter((tunnel) => wish === '' || words(tunnel).includes(wish));
  const rate = ({ name }: TunnelStatus): number => sumOfRate(traffic.get(name)?.rates.at(-1));
  const by: Readonly<Record<TopSort, (a: TunnelStatus, b: TunnelStatus) => number>> = {
    state: (a, b) => urgency[a.state] - urgency[b.state],
    name: (a, b) => (a.name < b.name ? -1 : 1),
    traffic: (a, b) => rate(b) - rate(a),
    latency: (a, b) => (b.latencyMs ?? -1) - (a.latencyMs ?? -1),
  };
  return shown.toSorted(by[view.sort]);
}

const sumOfRate = (rate: Rate | undefined): number => (rate === undefined ? 0 : rate.in + rate.out);

/** The one that the keys are about; null where none is shown. */
export function chosenTunnel(shown: readonly TunnelStatus[], view: TopView): TunnelStatus | null {
  return shown.find(({ name }) => name === view.chosen) ?? shown[0] ?? null;
}

/** How many rows the list of tunnels may take, of those that are there for it and for the chosen one. */
const leastList = 4;

function lookLines(scene: TopScene, frame: TopFrame, room: number): string[] {
  const shown = shownTunnels(scene);
  const chosen = chosenTunnel(shown, scene.view);
  const head = headLines(scene, frame);
  const columns = columnsOf(shown, frame);
  const left = room - head.length - 1;
  const detail = chosen === null ? [] : ['', ...detailLines(chosen, scene, frame)];
  const list = Math.max(
    Math.min(leastList, left),
    Math.min(shown.length, left - Math.min(detail.length, left / 2)),
  );
  const rows = windowOf(shown, chosen, Math.floor(list)).map((tunnel) =>
    tunnelRow(tunnel, tunnel === chosen, columns, { scene, frame }),
  );
  const table = rows.length === 0 ? [nothingShown(scene)] : [headRow(columns, frame.paint), ...rows];
  return [
    ...head,
    ...table,
    ...withMore(detail, left - Math.max(rows.length, 1) + (rows.length === 0 ? 1 : 0)),
  ];
}

function nothingShown({ document, view }: TopScene): string {
  if (document.tunnels.length === 0) return 'no tunnel is selected';
  return `no tunnel matches "${cleanText(view.filter)}": Esc shows all`;
}

/** What does not fit is counted. */
function withMore(lines: readonly string[], room: number): readonly string[] {
  if (lines.length <= room) return lines;
  if (room < 2) return [];
  return [...lines.slice(0, room - 1), `  … ${lines.length - room + 1} more`];
}

/** As many as fit, the chosen one among them. */
function windowOf<T>(items: readonly T[], chosen: T | null, size: number): readonly T[] {
  const at = chosen === null ? 0 : items.indexOf(chosen);
  const first = Math.min(Math.max(0, at - Math.floor(size / 2)), Math.max(0, items.length - size));
  return items.slice(first, first + size);
}

function headLines({ document, view, trouble }: TopScene, { paint, columns }: TopFrame): string[] {
  const { config, pid } = document.supervisor;
  const facts = [
    paint.bold('tunnel top'),
    ...(config === null ? [] : [cleanText(shorten(config, Math.max(20, columns - 50)))]),
    ...(pid === null ? [] : [`pid ${pid}`]),
    `by ${view.sort}`,
    ...(view.filter === '' ? [] : [`filter "${cleanText(view.filter)}"`]),
  ];
  const notes = document.supervisor.running ? supervisorNotes(document).map((note) => hintText(note)) : [];
  return [
    facts.join('  '),
    stateCounts(document),
    ...(trouble === null ? [] : [paint.yellow(cleanText(trouble))]),
    ...notes.map((note) => paint.yellow(cleanText(note))),
    '',
  ];
}

// The list.

interface Column {
  readonly head: string;
  width: number;
  readonly right?: true;
  readonly text: (tunnel: TunnelStatus, scene: TopScene) => string;
}

interface Columns {
  readonly lead: readonly Column[];
  /** In their order on the screen. */
  readonly figures: readonly Column[];
}

const rateOf = ({ name }: TunnelStatus, { traffic }: TopScene): Rate =>
  traffic.get(name)?.rates.at(-1) ?? { in: 0, out: 0 };

const openOf = ({ forwards }: TunnelStatus): string => {
  const open = forwards.reduce((sum, forward) => sum + forward.open, 0);
  const held = forwards.reduce((sum, forward) => sum + forward.held, 0);
  return held === 0 ? String(open) : `${open}+${held}`;
};

/** Bars of less than that a second would make noise look like work. */
const quietRate = 1024;
/** The same of milliseconds: a network that is always as quick draws a low line. */
const quickMs = 20;

/** The columns for 80; what is left out of fewer, the first ones first. */
const leftOut = ['LATENCY', 'MS', 'TRAFFIC', 'OUT/s', 'IN/s', 'OPEN'];

function figureColumns(): Column[] {
  return [
    { head: 'OPEN', width: 4, right: true, text: openOf },
    { head: 'IN/s', width: 8, right: true, text: (tunnel, scene) => formatBytes(rateOf(tunnel, scene).in) },
    { head: 'OUT/s', width: 8, right: true, text: (tunnel, scene) => formatBytes(rateOf(tunnel, scene).out) },
    {
      head: 'TRAFFIC',
      width: 10,
      text({ name }, { traffic }) {
        return sparkline(traffic.get(name)?.rates.map(sumOfRate) ?? [], this.width, quietRate);
      },
    },
    { head: 'MS', width: 4, right: true, text: ({ latencyMs }) => formatLatency(latencyMs) },
    {
      head: 'LATENCY',
      width: 7,
      text({ name }, { traffic }) {
        return sparkline(traffic.get(name)?.latencies ?? [], this.width, quickMs);
      },
    },
  ];
}

function columnsOf(tunnels: readonly TunnelStatus[], { columns }: TopFrame): Columns {
  const longest = Math.max(8, ...tunnels.map(({ name }) => displayWidth(name)));
  const lead: Column[] = [
    {
      head: 'NAME',
      width: Math.min(longest, 14 + Math.max(0, Math.floor((columns - 80) / 4))),
      text: ({ name }) => name,
    },
    { head: 'STATE', width: 10, text: ({ state }) => state },
    {
      head: 'SINCE',
      width: 5,
      right: true,
      text: ({ since }, { now }) => (since === null ? '' : formatAge(now - Date.parse(since))),
    },
  ];
  let figures = figureColumns();
  const free = (): number =>
    columns - 1 - [...lead, ...figures].reduce((sum, { width }) => sum + width + 1, 0);
  for (const head of leftOut) if (free() < 0) figures = figures.filter((column) => column.head !== head);
  figures = withListen(tunnels, figures, free());
  for (const [head, most] of [['TRAFFIC', 20] as const, ['LATENCY', 12] as const]) {
    const column = figures.find((each) => each.head === head);
    if (column !== undefined) column.width += Math.max(0, Math.min(most, Math.floor(free() / 2)));
  }
  return { lead, figures };
}

/** Where there is room: the address to connect to. */
function withListen(tunnels: readonly TunnelStatus[], figures: Column[], free: number): Column[] {
  const listen = ({ forwards }: TunnelStatus): string =>
    forwards.length === 1 ? (forwards[0]?.listen ?? '') : `${forwards.length} forwards`;
  const width = Math.min(free - 1, 24, Math.max(6, ...tunnels.map((tunnel) => displayWidth(listen(tunnel)))));
  return width < 14 ? figures : [{ head: 'LISTEN', width, text: listen }, ...figures];
}

function headRow({ lead, figures }: Columns, paint: Paint): string {
  const heads = [...lead, ...figures].map(({ head, width, right }) => fitted(head, width, right));
  return paint.bold(`  ${heads.join(' ')}`.trimEnd());
}

function tunnelRow(
  tunnel: TunnelStatus,
  isChosen: boolean,
  { lead, figures }: Columns,
  { scene, frame }: { readonly scene: TopScene; readonly frame: TopFrame },
): string {
  const { paint } = frame;
  const cell = (column: Column): string => {
    const text = fitted(cleanText(column.text(tunnel, scene)), column.width, column.right);
    if (column.head === 'STATE') return statePaint(tunnel.state, paint)(text);
    if (column.head === 'TRAFFIC' || column.head === 'LATENCY') return paint.cyan(text);
    return column.head === 'NAME' && isChosen ? paint.bold(text) : text;
  };
  const marker = isChosen ? paint.bold('>') : ' ';
  const begin = `${marker} ${lead.map(cell).join(' ')}`;
  const why = whyNot(tunnel, scene.now);
  return why === null ? `${begin} ${figures.map(cell).join(' ')}`.trimEnd() : `${begin} ${why}`;
}

function fitted(text: string, width: number, right = false): string {
  const short = shorten(text, width);
  const blank = ' '.repeat(Math.max(0, width - displayWidth(short)));
  return right ? blank + short : short + blank;
}

/** In place of figures: the reason and the next try of what does not serve; null for what does. */
function whyNot(tunnel: TunnelStatus, now: number): string | null {
  if (isReady(tunnel)) return null;
  const { state, question, error, retryAt, forwards } = tunnel;
  const next = retryAt === null ? '' : `next try in ${formatWait(Date.parse(retryAt) - now)}: `;
  if (question !== null) return cleanText(`press a to answer: ${question.text}`);
  if (error !== null) return cleanText(next + error.message);
  const probe = failedProbe(tunnel);
  if (probe !== null) return cleanText(`${probe.target}: ${probe.text}`);
  if (state === 'down') return cleanText(forwards.map((forward) => arrow(tunnel, forward)).join(', '));
  return state === 'connecting' ? cleanText(`to ${tunnel.endpoint}`) : '';
}

// The chosen one.

function detailLines(tunnel: TunnelStatus, scene: TopScene, frame: TopFrame): string[] {
  const { paint, columns, config } = frame;
  const via = tunnel.via.length === 0 ? '' : ` via ${tunnel.via.join(', ')}`;
  const tags = tunnel.tags.length === 0 ? '' : `  [${tunnel.tags.join(' ')}]`;
  const view = { now: scene.now, paint, ...(config === undefined ? {} : { config }) };
  const notes = tunnelNotes(tunnel, view).flatMap((note) =>
    wrap(cleanText(note.text), columns - 2).map((line) => `  ${(note.paint ?? String)(line)}`),
  );
  return [
    `${paint.bold(cleanText(tunnel.name))}  ${cleanText(`${tunnel.endpoint}${via}${tags}`)}`,
    ...tunnel.forwards.map((forward) => forwardLine(tunnel, forward)),
    ...notes,
    ...flowLines(scene.flows, tunnel, frame),
  ];
}

function forwardLine(tunnel: TunnelStatus, forward: ForwardStatus): string {
  const name = forward.name === null ? '' : `${forward.name}: `;
  const counts = `${forward.total} so far, ${forward.failed} failed`;
  const bytes = `in ${formatBytes(forward.bytesIn)}, out ${formatBytes(forward.bytesOut)}`;
  const exposed = forward.exposed ? ', exposed' : '';
  return `  ${cleanText(`${name}${arrow(tunnel, forward)}  (${counts}, ${bytes}${exposed})`)}`;
}

const flowFrame = {
  shorten: { PROGRAM: 8, PEER: 12 },
  leaveOut: [['IN/s', 'OUT/s'], ['PID'], ['PEER']],
};

function flowLines(flows: readonly ShownFlow[] | null, tunnel: TunnelStatus, frame: TopFrame): string[] {
  if (flows === null || flows.length === 0) return [];
  const several = tunnel.forwards.length > 1;
  const head = [
    'PROGRAM',
    'PID',
    ...(several ? ['FORWARD'] : []),
    'PEER',
    'AGE',
    'IN',
    'OUT',
    'IN/s',
    'OUT/s',
  ];
  const rate = (flow: ShownFlow): number => sumOfRate(flow.rate ?? undefined);
  const sorted = flows.toSorted((a, b) => rate(b) - rate(a) || b.ageMs - a.ageMs);
  const rows = sorted.slice(0, frame.rows).map((flow) => ({
    cells: [
      cleanText(flow.program?.command ?? '-'),
      flow.program === null ? '-' : String(flow.program.pid),
      ...(several ? [cleanText(flow.forward)] : []),
      cleanText(flow.peer ?? 'unix socket'),
      flow.running ? formatAge(flow.ageMs) : `${formatAge(flow.ageMs)}, waits`,
      formatBytes(flow.bytesIn),
      formatBytes(flow.bytesOut),
      flow.rate === null ? '-' : formatBytes(flow.rate.in),
      flow.rate === null ? '-' : formatBytes(flow.rate.out),
    ],
  }));
  const table = renderTable(head, rows, frame.paint, { ...flowFrame, columns: frame.columns - 2 });
  const more = sorted.length - rows.length;
  return [...table.map((line) => `  ${line}`), ...(more > 0 ? [`  … ${more} more`] : [])];
}

// The log, and the foot.

function logLines({ log, view }: TopScene, { paint, columns }: TopFrame, room: number): string[] {
  const name = view.mode.kind === 'logs' ? view.mode.tunnel : '';
  const lines = log.flatMap((line) => line.split('\n')).flatMap((line) => wrap(line, columns));
  const shown = lines.length === 0 ? ['nothing has been logged yet'] : lines.slice(-Math.max(1, room - 2));
  return [paint.bold(cleanText(`log of ${name}`)), '', ...shown];
}

const lookKeys = [
  ['u', 'up'],
  ['r', 'restart'],
  ['d', 'down'],
  ['a', 'answer'],
  ['l', 'log'],
  ['o', 'open'],
  ['/', 'filter'],
  ['s', 'sort'],
  ['q', 'quit'],
] as const;

function footLines({ view, message }: TopScene, { paint, columns }: TopFrame): string[] {
  const said = (message ?? '').split('\n').map(cleanText);
  const keys = (pairs: readonly (readonly [string, string])[]): string =>
    pairs.map(([key, what]) => `${paint.bold(key)} ${what}`).join('  ');
  const { mode } = view;
  switch (mode.kind) {
    case 'look':
      return [...messageLines(said, columns), keys(lookKeys)];
    case 'filter':
      return [
        `filter: ${cleanText(view.filter)}_`,
        keys([
          ['Enter', 'keep it'],
          ['Esc', 'show all'],
        ]),
      ];
    case 'logs':
      return [
        keys([
          ['l', 'back'],
          ['q', 'quit'],
        ]),
      ];
    case 'sure': {
      const what = mode.act === 'down' ? `take ${mode.tunnel} down` : `restart ${mode.tunnel}`;
      return [
        paint.yellow(cleanText(`${what}? Its connections are cut off.`)),
        keys([
          ['y', 'yes'],
          ['n', 'no'],
        ]),
      ];
    }
  }
}

/** A reason and its hint are worth three lines. */
function messageLines(said: readonly string[], columns: number): string[] {
  return said.flatMap((line) => wrap(line, columns)).slice(0, 3);
}
