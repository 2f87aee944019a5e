// Status as people read it (SPEC 7): what is not up first with its cause said once, then what is up; one tunnel, or their sum, in a line.
import { count, formatAge, formatBytes, formatLatency, formatMoment, formatWait } from './units.ts';
import { groupFailures, hintLines, listNames } from './error.ts';
import { renderTable, type Cell, type Note, type Row } from './table.ts';
import {
  isReady,
  type ForwardStatus,
  type StatusDocument,
  type StatusError,
  type TunnelState,
  type TunnelStatus,
} from '../model/status.ts';
import type { Hint } from '../errors.ts';
import type { Paint } from './color.ts';
import { cleanText } from '../model/clean.ts';
import { version } from '../model/version.ts';
import { cut } from './screen.ts';

const serving = (tunnel: TunnelStatus): boolean => tunnel.state === 'up' || tunnel.state === 'asleep';

/** Most urgent first. */
export const urgency: Readonly<Record<TunnelStatus['state'], number>> = {
  'needs-you': 0,
  retrying: 1,
  connecting: 2,
  stopping: 3,
  down: 4,
  up: 5,
  asleep: 6,
};

export interface StatusView {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly paint: Paint;
  /** Of the terminal; Infinity where there is none. */
  readonly columns?: number;
  /** A row for every tunnel, also of many that are away for one reason. */
  readonly every?: boolean;
  /** The last line that sums many tunnels up; true unless it is said elsewhere. */
  readonly sum?: boolean;
  /** The config that commands in hints must name. */
  readonly config?: string;
}

/** The tables of `tunnel status`, and of many tunnels a last line that sums them up. */
export function renderStatus(document: StatusDocument, view: StatusView): string[] {
  const sorted = document.tunnels.toSorted((a, b) => urgency[a.state] - urgency[b.state]);
  const away = awayTable(
    sorted.filter((tunnel) => !serving(tunnel)),
    view,
  );
  const up = upTable(sorted.filter(serving), view);
  const tables = [...away, ...(away.length > 0 && up.length > 0 ? [''] : []), ...up];
  const isSummed = view.sum !== false && sorted.length > summedFrom;
  return isSummed ? [...tables, '', summaryLine(document, view.columns)] : tables;
}

/** So many tunnels still stand on one screen. */
const summedFrom = 12;

/** What is to be said of the supervisor itself: sentences for stderr. */
export function supervisorNotes(document: StatusDocument): Hint[] {
  const { supervisor, tunnels } = document;
  const notes: Hint[] = [...versionNotes(supervisor)];
  const wanted = tunnels.filter((tunnel) => tunnel.wanted).map(({ name }) => name);
  if (!supervisor.running) notes.push('no supervisor is running');
  if (!supervisor.running && wanted.length > 0) {
    const was = wanted.length === 1 ? 'is still wanted' : 'are still wanted';
    notes.push(`the last one ended unexpectedly: ${wanted.join(', ')} ${was}`, ['hint: ', { command: 'up' }]);
  }
  if (supervisor.configError !== null)
    notes.push(`the last good config is in use: ${supervisor.configError}`);
  if (supervisor.metricsError) notes.push(supervisor.metricsError);
  if (supervisor.draining) {
    const { pid, connections } = supervisor.draining;
    notes.push(
      `${count(connections, 'connection')} of before this supervisor began still runs over pid ${pid}`,
    );
  }
  return notes;
}

/** A supervisor of another version than whoever looks at it. */
export function versionNotes({ running, pid, version: its }: StatusDocument['supervisor']): Hint[] {
  if (!running || its === version) return [];
  return [
    `the supervisor (pid ${pid}) is of version ${its}, this command of ${version}`,
    ['hint: ', { command: 'restart --supervisor', note: 'the tunnels stay up' }],
  ];
}

const awayHead = ['NAME', 'STATE', 'SINCE', 'LISTEN', 'TARGET', 'HELD', 'NEXT TRY'];

const awayFrame = {
  shorten: { NAME: 8, TARGET: 10 },
  leaveOut: [['HELD'], ['SINCE'], ['TARGET'], ['LISTEN']],
};

function awayTable(tunnels: readonly TunnelStatus[], view: StatusView): string[] {
  const rows = causes(tunnels).flatMap((cause) => causeRows(cause, view));
  return rows.length === 0 ? [] : tableWithoutEmptyColumns(awayHead, rows, view);
}

/** More than that, away for one reason, are one row: three hundred rows hide what is wrong. */
const rowsForOneCause = 4;

function causeRows(cause: Cause, view: StatusView): Row[] {
  const { members, error } = cause;
  const notes = causeNotes(members, error, view);
  if (error !== null && members.length > rowsForOneCause && view.every !== true)
    return [{ cells: joinedCells(members, view), notes: [...notes, othersNote(members)] }];
  return members.flatMap((tunnel, index) =>
    withNotes(awayRows(tunnel, view), index === members.length - 1 ? notes : []),
  );
}

/** One row for all: what they share, the longest time, and everything that is held. */
function joinedCells(members: readonly TunnelStatus[], { now, paint }: StatusView): (Cell | string)[] {
  const [first] = members;
  if (first === undefined) return [];
  const since = members.flatMap((tunnel) => (tunnel.since === null ? [] : [Date.parse(tunnel.since)]));
  const held = members
    .flatMap(({ forwards }) => forwards.map((forward) => forward.held))
    .reduce((sum, each) => sum + each, 0);
  const next = earliestTry(members);
  return [
    { text: `${first.name} + ${members.length - 1}`, paint: paint.bold },
    stateCell(first, paint),
    since.length === 0 ? '' : formatAge(now - Math.min(...since)),
    '',
    '',
    first.state === 'down' ? '' : String(held),
    next === null ? '' : formatWait(next - now),
  ];
}

function othersNote(members: readonly TunnelStatus[]): Cell {
  const names = members.map(({ name }) => name);
  return { text: `these are ${listNames(names, 6)}` };
}

interface Cause {
  readonly members: readonly TunnelStatus[];
  readonly error: StatusError | null;
}

/** Tunnels that are away for one reason stand together, where the first of them stood. */
function causes(tunnels: readonly TunnelStatus[]): Cause[] {
  const byName = new Map(tunnels.map((tunnel) => [tunnel.name, tunnel]));
  const groups = groupFailures(
    tunnels.flatMap((tunnel) =>
      tunnel.error === null ? [] : [{ tunnel: tunnel.name, error: tunnel.error }],
    ),
  );
  const first = new Map(groups.map((group) => [group.tunnels[0], group]));
  return tunnels.flatMap((tunnel): Cause[] => {
    if (tunnel.error === null) return [{ members: [tunnel], error: null }];
    const group = first.get(tunnel.name);
    if (group === undefined) return [];
    return [{ members: group.tunnels.flatMap((name) => byName.get(name) ?? []), error: group.error }];
  });
}

function awayRows(tunnel: TunnelStatus, view: StatusView): Row[] {
  const wanted = tunnel.state !== 'down';
  return tunnelRows(tunnel, view, {
    forward: (forward) => [wanted ? String(forward.held) : ''],
    tunnel: () => [nextTry(tunnel, view.now)],
  });
}

function nextTry(tunnel: TunnelStatus, now: number): string {
  if (tunnel.retryAt === null) return '';
  return formatWait(Date.parse(tunnel.retryAt) - now);
}

function causeNotes(members: readonly TunnelStatus[], error: StatusError | null, view: StatusView): Note[] {
  const { now } = view;
  const [tunnel] = members;
  if (tunnel === undefined) return [];
  const notes: Note[] = [];
  if (error !== null) {
    const together = members.length > 1 ? `${count(members.length, 'tunnel')}: ` : '';
    const next = members.length > 1 ? earliestTry(members) : null;
    const when = next === null ? '' : `, next try in ${formatWait(next - now)}`;
    notes.push({ text: together + sentenceWithTime(error, now) + when });
    notes.push(...hintNotes(error.hint, view));
  }
  const asking = members.filter((member) => member.question !== null);
  for (const { question } of asking.slice(0, 1)) {
    if (error === null) notes.push({ text: `waits for an answer: ${question?.text ?? ''}` });
    if (!error?.hint)
      notes.push(...hintNotes({ command: 'up', on: { words: asking.map(({ name }) => name) } }, view));
  }
  return [...notes, ...forwardNotes(members), ...orphanNotes(members, view)];
}

function hintNotes(hint: Hint | null, { paint, config }: StatusView): Note[] {
  const lines = hintLines(hint, config).filter(Boolean);
  return lines.map((line) => ({ text: `hint: ${line}`, paint: paint.cyan, whole: true }));
}

/** Milliseconds since 1970; null where nothing is tried by itself. */
function earliestTry(members: readonly TunnelStatus[]): number | null {
  const tries = members.flatMap(({ retryAt }) => (retryAt === null ? [] : [Date.parse(retryAt)]));
  return tries.length === 0 ? null : Math.min(...tries);
}

/** "link lost 09:14:07: no byte from katie:22 for 60s": the time stands after what happened. */
function sentenceWithTime(error: StatusError, now: number): string {
  const at = formatMoment(error.at, now);
  const what = /^[a-z][a-z ]*(?=, on |: )/.exec(error.message)?.[0] ?? '';
  return what === '' ? `${at} ${error.message}` : `${what} ${at}${error.message.slice(what.length)}`;
}

/** Forwards of a tunnel that is not up although its link may be: each with its own reason. */
function forwardNotes(members: readonly TunnelStatus[]): Cell[] {
  return members.flatMap((tunnel) =>
    tunnel.forwards.flatMap((forward): Cell[] => {
      if (forward.error === null || forward.error.message === tunnel.error?.message) return [];
      return [{ text: `${forward.name ?? forward.listen}: ${forward.error.message}` }];
    }),
  );
}

function orphanNotes(members: readonly TunnelStatus[], view: StatusView): Note[] {
  const orphans = members.filter(({ orphan }) => orphan).map(({ name }) => name);
  if (orphans.length === 0) return [];
  return [
    { text: `${listNames(orphans)} ${orphans.length === 1 ? 'is' : 'are'} no longer in the config` },
    ...hintNotes({ command: 'down', on: { words: orphans } }, view),
  ];
}

const upHead = ['NAME', 'STATE', 'SINCE', 'LISTEN', 'TARGET', 'OPEN', 'IN', 'OUT', 'MS'];

const upFrame = {
  shorten: { NAME: 8, TARGET: 10 },
  leaveOut: [['IN', 'OUT'], ['MS'], ['OPEN'], ['SINCE'], ['TARGET']],
};

function upTable(tunnels: readonly TunnelStatus[], view: StatusView): string[] {
  if (tunnels.length === 0) return [];
  const { paint } = view;
  const rows = tunnels.flatMap((tunnel) =>
    withNotes(
      tunnelRows(tunnel, view, {
        forward: ({ open, bytesIn, bytesOut }) => [String(open), formatBytes(bytesIn), formatBytes(bytesOut)],
        tunnel: () => [formatLatency(tunnel.latencyMs)],
      }),
      tunnelNotes(tunnel, view),
    ),
  );
  return renderTable(upHead, rows, paint, { ...upFrame, columns: view.columns ?? Infinity });
}

/** What is said below one tunnel: why it does not serve and what to do, or how its last connection failed. */
export function tunnelNotes(tunnel: TunnelStatus, view: StatusView): Note[] {
  if (!serving(tunnel)) return causeNotes([tunnel], tunnel.error, view);
  return [
    ...tunnel.forwards.flatMap((forward) => failureNote(forward, view.now)),
    ...orphanNotes([tunnel], view),
  ];
}

/** A tunnel that serves keeps the reason of the last connection that failed. */
function failureNote(forward: ForwardStatus, now: number): Cell[] {
  if (forward.error === null) return [];
  const of = `${forward.failed} of ${count(forward.total, 'connection')} failed, the last: `;
  return [{ text: of + sentenceWithTime(forward.error, now) }];
}

interface Tail {
  /** Cells that each forward has its own of. */
  readonly forward: (forward: ForwardStatus) => string[];
  readonly tunnel: () => string[];
}

/** One row; with several forwards one for the tunnel and one, set in, for each of them. */
function tunnelRows(tunnel: TunnelStatus, { now, paint }: StatusView, tail: Tail): Row[] {
  const since = tunnel.since === null ? '' : formatAge(now - Date.parse(tunnel.since));
  const lead = [{ text: tunnel.name, paint: paint.bold }, stateCell(tunnel, paint), since];
  const [only, ...others] = tunnel.forwards;
  if (only !== undefined && others.length === 0) {
    const cells = [listenText(tunnel, only), only.target, ...tail.forward(only), ...tail.tunnel()];
    return [{ cells: [...lead, ...cells] }];
  }
  const blank = only === undefined ? [] : tail.forward(only).map(() => '');
  return [
    { cells: [...lead, count(tunnel.forwards.length, 'forward'), '', ...blank, ...tail.tunnel()] },
    ...tunnel.forwards.map((forward, index): Row => {
      const name = `  ${forward.name ?? `#${index + 1}`}`;
      return { cells: [name, '', '', listenText(tunnel, forward), forward.target, ...tail.forward(forward)] };
    }),
  ];
}

function stateCell(tunnel: TunnelStatus, paint: Paint): Cell {
  const text = stateText(tunnel);
  return { text: tunnel.orphan ? `${text} (orphan)` : text, paint: statePaint(tunnel.state, paint) };
}

/** `up`, or with what its probes say: `up · target refused`. */
export function stateText({ state, forwards }: TunnelStatus): string {
  const probes = forwards.flatMap(({ probe }) => (probe === null ? [] : [probe]));
  const probe = probes.find(({ ok }) => !ok) ?? probes[0];
  return state === 'up' && probe !== undefined ? `${state} · ${probe.text}` : state;
}

export function statePaint(state: TunnelStatus['state'], paint: Paint): (text: string) => string {
  switch (state) {
    case 'up':
      return paint.green;
    case 'asleep':
    case 'connecting':
      return paint.cyan;
    case 'retrying':
    case 'stopping':
      return paint.yellow;
    case 'needs-you':
      return paint.magenta;
    case 'down':
      return paint.dim;
  }
}

function listenText(tunnel: TunnelStatus, forward: ForwardStatus): string {
  const where = forward.type === 'remote' ? `${forward.listen} on ${tunnel.host}` : forward.listen;
  return forward.exposed ? `${where} (exposed)` : where;
}

function withNotes(rows: readonly Row[], notes: readonly Note[]): Row[] {
  return rows.map((row, index) => (index === rows.length - 1 ? { ...row, notes } : row));
}

/** A column that says nothing of any row is left out, with its head. */
function tableWithoutEmptyColumns(head: readonly string[], rows: readonly Row[], view: StatusView): string[] {
  const said = head.map((_, column) =>
    rows.some(({ cells }) => {
      const cell = cells[column] ?? '';
      return (typeof cell === 'string' ? cell : cell.text) !== '';
    }),
  );
  const keep = <Item>(items: readonly Item[]): Item[] => items.filter((_, column) => said[column]);
  return renderTable(
    keep(head),
    rows.map((row) => ({ ...row, cells: keep(row.cells) })),
    view.paint,
    { ...awayFrame, columns: view.columns ?? Infinity },
  );
}

/** In the order in which they are said: what serves, then the most urgent. */
const said: readonly TunnelState[] = [
  'up',
  'asleep',
  'needs-you',
  'retrying',
  'connecting',
  'stopping',
  'down',
];

/** `270 up, 30 retrying: bastion:22 does not answer`, at most `columns` wide. */
export function summaryLine(document: StatusDocument, columns = Infinity): string {
  const text = cleanText(stateCounts(document, reasonOf));
  return columns === Infinity ? text : cut(text, columns);
}

/** `270 up, 30 retrying`, with what else is to be said of those in one state. */
export function stateCounts(
  { tunnels }: StatusDocument,
  more: (members: readonly TunnelStatus[]) => string = () => '',
): string {
  const parts = said.flatMap((state) => {
    const members = tunnels.filter((tunnel) => tunnel.state === state);
    return members.length === 0 ? [] : [`${members.length} ${state}${more(members)}`];
  });
  return parts.join(', ');
}

/** The reason that most of them share. */
function reasonOf(members: readonly TunnelStatus[]): string {
  const groups = groupFailures(
    members.flatMap(({ name, error }) => (error === null ? [] : [{ tunnel: name, error }])),
  );
  const [most] = groups.toSorted((a, b) => b.tunnels.length - a.tunnels.length);
  if (most === undefined) return '';
  const others = groups.length - 1;
  return `: ${most.error.message}${others === 0 ? '' : ` (and ${others} more cause${others === 1 ? '' : 's'})`}`;
}

/** What somebody looks at when something is wrong: wanted, and not ready. */
export function isProblem(tunnel: TunnelStatus): boolean {
  return (tunnel.wanted || tunnel.state !== 'down') && !isReady(tunnel);
}

/** `uppercase  up  127.0.0.1:2345 → katie.example.org:12000 via katie` */
export function renderTunnelLine(tunnel: TunnelStatus, paint: Paint): string {
  const ways = tunnel.forwards.map((forward) => arrow(tunnel, forward)).join(', ');
  const via = [...tunnel.via, tunnel.host].join(', ');
  const state = statePaint(tunnel.state, paint)(stateText(tunnel));
  return `${paint.bold(tunnel.name)}  ${state}  ${ways} via ${via}`;
}

/** `katie  down  127.0.0.1:2345 closed`. `left`: listeners that the server would not end. */
export function renderDownLine(
  tunnel: TunnelStatus,
  { closed, left }: { readonly closed: readonly string[]; readonly left: readonly string[] },
  paint: Paint,
): string {
  const parts = [
    ...(closed.length === 0 ? [] : [`${closed.join(', ')} closed`]),
    ...(left.length === 0 ? [] : [`${left.join(', ')} not closed`]),
  ];
  const what = parts.length === 0 ? '(it was not up)' : parts.join('; ');
  return `${paint.bold(tunnel.name)}  ${statePaint(tunnel.state, paint)(tunnel.state)}  ${what}`;
}

/** Said at `up` of a listener that other machines can reach (SPEC 2). */
export function exposureNotes(tunnel: TunnelStatus): string[] {
  return tunnel.forwards
    .filter(({ exposed }) => exposed)
    .map(({ type, listen }) => {
      const where = type === 'remote' ? `${listen} on ${tunnel.host}` : listen;
      return `${tunnel.name}: ${where} is exposed, other machines can reach it`;
    });
}

/** `127.0.0.1:5432 → db:5432`, from where to where. */
export function arrow(tunnel: TunnelStatus, forward: ForwardStatus): string {
  if (forward.type === 'remote') return `${forward.listen} on ${tunnel.host} → ${forward.target} here`;
  if (forward.type === 'dynamic') return `${forward.listen} → anywhere (SOCKS)`;
  return `${forward.listen} → ${forward.target}`;
}
