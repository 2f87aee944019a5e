// The verdict on a round: every invariant held against what was seen, and the figures. Pure.
import { recoveryBoundMs } from './bounds.ts';
import { findingsOf, type Connection, type Finding } from './connection.ts';
import { channelsOf, liarOf } from './judge.ts';
import type { Struck } from './faults.ts';
import type { Evidence } from './round.ts';
import { pathOf } from './scene.ts';
import { describe, faultKinds, type FaultKind } from './schedule.ts';
import type { Part } from './script.ts';
import { readChannels, type Channel } from './sshd-log.ts';
import {
  awaySince,
  isToldLoss,
  lieAboutCut,
  lieAboutService,
  recoveryMs,
  saidBetween,
  servesAt,
  statusBoundMs,
  toldLateMs,
  wasUpThroughout,
  type Cut,
  type History,
} from './truth.ts';

export interface Broken {
  readonly invariant: string;
  readonly atMs: number;
  readonly text: string;
}

export interface Figures {
  readonly faults: Readonly<Record<FaultKind, number>>;
  readonly connections: number;
  /** Of them, those that ended well at both ends. */
  readonly whole: number;
  /** Of them, those that a fault, or an end of the script's own, ended early. */
  readonly bytes: number;
  readonly blocks: number;
  readonly refused: number;
  readonly altered: number;
  readonly falseEnds: number;
  /** Ends that OpenSSH told, of its own accord, of what was none; and closes of unix sockets, which know no reset. */
  readonly opensshEnds: number;
  readonly unixCloses: number;
  readonly cut: number;
  /** Reset with an old session that was lost after a second one had taken its place: told, and counted as failed. */
  readonly oldCuts: number;
  /** Second sessions that took over; sessions that owed an answer. */
  readonly rotations: number;
  readonly suspicions: number;
  readonly hung: number;
  readonly statusLies: number;
  readonly longestRecoveryMs: number;
  readonly descriptors: number;
  readonly memoryMib: number;
}

export interface Verdict {
  readonly seed: number;
  readonly seconds: number;
  readonly figures: Figures;
  readonly broken: readonly Broken[];
}

/** Memory that a supervisor may have gained: its heap has its size from what went through it, and gives it back late. */
const memoryBoundMib = 96;
/** As long as sshd keeps a session whose line is dead, or a line keeps what it holds. */
const newsMs = 8000;
/** So late does a jump host hand on an end, where much is to be handed on before it. */
const behindDataMs = 2000;
/** So much of a held connection is read (SPEC 3): an end behind more is not seen. */
const readWhileHeldBytes = 60_000;
/** One control connection comes and goes. */
const descriptorSlack = 1;

export function judge(evidence: Evidence): Verdict {
  const channels = {
    near: readChannels(evidence.sshdLogs.near),
    inner: readChannels(evidence.sshdLogs.inner),
  };
  const channelsFor = ({ way }: Connection): readonly Channel[] =>
    channels[way.tunnel.startsWith('near') ? 'near' : 'inner'];
  const findings = evidence.connections.flatMap((connection) => [
    ...findingsOf(connection),
    ...lossesOf(connection, evidence, channelsFor(connection)),
  ]);
  const oldCuts = findings.filter(({ flaw }) => flaw === 'oldCut');
  const kept = findings.filter((finding) => finding.flaw !== 'oldCut' && counts(finding, evidence));
  const liars = new Map(
    kept
      .filter(({ flaw }) => flaw === 'falseEnd')
      .map((finding) => {
        const { connection } = finding;
        return [finding, liarOf(finding, channelsFor(connection), namesakesOf(connection, evidence))];
      }),
  );
  const ours = kept.filter((finding) => (liars.get(finding) ?? 'tunnel') === 'tunnel');
  const lies = statusLies(evidence);
  const recoveries = recoveriesOf(evidence);
  const { seed, seconds } = evidence.schedule;
  const many = (...flaws: readonly Finding['flaw'][]): number =>
    ours.filter(({ flaw }) => flaws.includes(flaw)).length;
  const told = [...liars.values()];
  return {
    seed,
    seconds,
    figures: {
      ...trafficOf(evidence),
      refused: many('refused'),
      altered: many('altered', 'repeated'),
      falseEnds: many('falseEnd'),
      opensshEnds: told.filter((liar) => liar === 'openssh').length,
      unixCloses: told.filter((liar) => liar === 'unix').length,
      cut: many('cut', 'dropped', 'late'),
      oldCuts: oldCuts.length,
      rotations: timesSaid(evidence, 'has a fresh session'),
      suspicions: timesSaid(evidence, 'owes an answer'),
      hung: many('hung'),
      statusLies: lies.length,
      longestRecoveryMs: Math.round(Math.max(0, ...recoveries.map(({ ms }) => ms))),
      descriptors: evidence.after.descriptors - evidence.before.descriptors,
      memoryMib: evidence.after.memoryMib - evidence.before.memoryMib,
    },
    broken: [
      ...ours.map(brokenOf),
      ...lies,
      ...recoveries.flatMap(({ broken }) => broken),
      ...miscounts(evidence, [
        ...[...liars].filter(([, liar]) => liar === 'unix').map(([finding]) => finding),
        ...oldCuts,
      ]),
      ...remains(evidence),
    ].sort((one, other) => one.atMs - other.atMs),
  };
}

/** Connections that came to the same server by a remote forward from the same port, this one included. */
function namesakesOf({ way, client }: Connection, { connections }: Evidence): number {
  return connections.filter(
    (other) =>
      other.way.type === 'remote' && other.way.tunnel === way.tunnel && other.client.port === client.port,
  ).length;
}

/** How often the log says something: a line that is repeated is counted in a later one, `(3 more times since 20:00)`. */
function timesSaid({ supervisorLog }: Evidence, words: string): number {
  const lines = supervisorLog.split('\n').filter((line) => line.includes(words));
  return lines.reduce((sum, line) => sum + Number(/\((\d+) more times since/.exec(line)?.[1] ?? 1), 0);
}

const historyOf = ({ histories }: Evidence, { way }: Connection): History => histories[way.tunnel] ?? [];

/** A port on the server is there only while the link is: to be refused by it, or cut off, means something only then. */
function counts({ flaw, connection }: Finding, evidence: Evidence): boolean {
  if (connection.way.type !== 'remote' || (flaw !== 'refused' && flaw !== 'cut')) return true;
  const { startedMs, endedMs } = connection;
  const [fromMs, toMs] = [startedMs - statusBoundMs, (endedMs ?? startedMs) + statusBoundMs];
  if (!wasUpThroughout(historyOf(evidence, connection), fromMs, toMs)) return false;
  // The server may know of a lost link before the tunnel does: the news travels by the same line.
  const path = pathOf[connection.way.tunnel] ?? [];
  return !evidence.strikes.some(
    ({ strike, beganMs, endedMs: overMs }) =>
      path.includes(strike.place) && beganMs <= toMs && (overMs ?? Infinity) >= fromMs - newsMs,
  );
}

/** A client that waits is accepted before it knows that it is connected, and the hold counts from there. */
const connectMs = 50;

/** How long a server may take to open a connection (forward/local). */
const answerMs = 10_000;

/** What a connection suffered without need. */
function lossesOf(connection: Connection, evidence: Evidence, channels: readonly Channel[]): Finding[] {
  const { client, target, startedMs, endedMs, arrivals, hung, refused } = connection;
  const { holdMs } = evidence.schedule;
  const history = historyOf(evidence, connection);
  if (endedMs === null || hung !== null || refused !== null) return [];
  if (cameLate(connection, history, evidence.strikes))
    return [{ flaw: 'late', connection, sender: 'client', text: 'its client had left while it was held' }];
  const isLost = client.seen === 'fault' || (arrivals > 0 && target.seen === 'fault');
  const isAsWritten = hasLeave(connection.script.client) || hasLeave(connection.script.target);
  if (!isLost || isAsWritten) return [];
  // A machine with too much to do: by everybody's clock, which the program goes by, the server had its time to answer.
  if (arrivals === 0 && connection.lastedMs >= answerMs && endedMs - startedMs < answerMs) return [];
  const text = `${client.fault ?? target.fault} after ${Math.round(endedMs - startedMs)} ms`;
  const toldMs = toldByMs(endedMs, evidence.strikes) + toldLateMs;
  if (wasUpThroughout(history, startedMs, toldMs)) {
    const losses = evidence.losses[connection.way.tunnel] ?? [];
    const isTold = isToldLoss(losses, { startedMs, lostMs: lostMs(connection, endedMs), toldMs });
    const words = `${text}, on a link that was up all the time`;
    return [{ flaw: isTold ? 'oldCut' : 'cut', connection, sender: 'target', text: words }];
  }
  if (!wasHeld(connection, channels)) return [];
  // Its time had run out, or it came when all others' had: by everybody's clock, which the program goes by.
  const since = awaySince(history, startedMs);
  const awayMs = since === null ? 0 : connection.startedAtMs - Date.parse(since);
  if (awayMs + connection.lastedMs >= holdMs - connectMs) return [];
  return [{ flaw: 'dropped', connection, sender: 'target', text: `${text}, before anything of it went on` }];
}

/** It never went further than the tunnel, as far as sshd's log knows: not of unix sockets, at either end, which have no port. */
function wasHeld(connection: Connection, channels: readonly Channel[]): boolean {
  const { way, client, arrivals } = connection;
  if (way.type === 'remote' || way.clientIsUnix || way.targetIsUnix) return false;
  if (arrivals > 0 || client.ended !== 'no') return false;
  return !channelsOf(connection, channels).some(({ port }) => port === client.port);
}

/** Its client had left, or half-closed, with the link away all the while, and it arrived clearly later all the same. */
function cameLate(
  { way, client, startedMs, arrivedMs }: Connection,
  history: History,
  strikes: readonly Struck[],
): boolean {
  if (way.type === 'remote' || client.endedMs === null || arrivedMs === null) return false;
  if (client.sentBytes > readWhileHeldBytes) return false;
  const surelyMs = toldByMs(client.endedMs, strikes); // had it been up by the end, the status would say so by now
  return (
    arrivedMs > surelyMs && saidBetween(history, startedMs, surelyMs).every(({ state }) => state !== 'up')
  );
}

/** When the status has surely told of a moment: a supervisor that sleeps tells nothing. */
function toldByMs(atMs: number, strikes: readonly Struck[]): number {
  const sleeps = strikes.filter(({ strike }) => strike.place === 'here');
  return sleeps.reduce(
    (byMs, { beganMs, endedMs }) =>
      beganMs <= byMs && (endedMs ?? Infinity) >= atMs
        ? Math.max(byMs, (endedMs ?? Infinity) + statusBoundMs)
        : byMs,
    atMs + statusBoundMs,
  );
}

/** When the end at the tunnel's side was told of a fault: the other end may hear of it only when a line goes on. */
function lostMs({ way, client, target }: Connection, endedMs: number): number {
  const own = way.type === 'remote' ? target : client;
  return own.seen === 'fault' ? (own.seenMs ?? endedMs) : endedMs;
}

const hasLeave = ({ steps }: Part): boolean => steps.some(({ kind }) => kind === 'leave');

function trafficOf({
  connections,
  schedule,
}: Evidence): Pick<Figures, 'faults' | 'connections' | 'whole' | 'bytes' | 'blocks'> {
  const count = (kind: FaultKind): number =>
    schedule.strikes.filter(({ fault }) => fault.kind === kind).length;
  const ends = connections.flatMap(({ client, target }) => [client, target]);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    faults: Object.fromEntries(faultKinds.map((kind) => [kind, count(kind)])) as Record<FaultKind, number>,
    connections: connections.length,
    whole: connections.filter(isWhole).length,
    bytes: sum(ends.map(({ reader }) => reader.bytes)),
    blocks: sum(ends.map(({ reader }) => reader.blocks)),
  };
}

/** Both ends saw the other's end, after everything that it sent. */
export function isWhole({ client, target }: Connection): boolean {
  const pairs = [
    [client, target],
    [target, client],
  ] as const;
  return pairs.every(([reader, sender]) => reader.seen === 'end' && reader.reader.bytes === sender.sentBytes);
}

function brokenOf({ flaw, connection, sender, text }: Finding): Broken {
  const { id, way, script, startedMs } = connection;
  const who = `connection ${id} by ${way.name}, ${script.kind}, from the ${sender}`;
  return { invariant: flaw, atMs: connection.endedMs ?? startedMs, text: `${who}: ${text}` };
}

/**
 * One of its forwards may serve while the other does not, and the tunnel is not up then (SPEC 3): its socket on the server is refused
 * to a fresh session until the old file is removed.
 */
const servesInPart = ['nearBack'];

/** What the status said that was not so. */
function statusLies(evidence: Evidence): Broken[] {
  const lies: Broken[] = [];
  for (const { strike, cutMs } of evidence.strikes) {
    if (cutMs === null) continue;
    for (const [tunnel, path] of Object.entries(pathOf)) {
      if (!path.includes(strike.place)) continue;
      const cut = { cutMs, knownMs: knownMs(path, strike.place, cutMs) };
      const lie = isAloneOn(path, cut, evidence) ? lieAboutCut(evidence.histories[tunnel] ?? [], cut) : null;
      if (lie !== null)
        lies.push({ invariant: 'status', atMs: cutMs, text: `${tunnel}: ${lie}: ${describe(strike)}` });
    }
  }
  for (const connection of evidence.connections) {
    const { startedMs, endedMs, way, id } = connection;
    if (endedMs === null || !isWhole(connection) || servesInPart.includes(way.tunnel)) continue;
    const toldMs = toldByMs(endedMs, evidence.strikes);
    const lie = lieAboutService(historyOf(evidence, connection), startedMs, toldMs);
    if (lie !== null)
      lies.push({ invariant: 'status', atMs: endedMs, text: `${way.tunnel}: ${lie} (connection ${id})` });
  }
  return lies;
}

/**
 * When a cut is known here. Behind a jump host the news stands behind all that this host has yet to hand on, and on a busy machine that
 * is handed on late; a cut of the first hop is told by the system at once.
 */
function knownMs(path: readonly string[], place: string, cutMs: number): number {
  const isFirst = path.indexOf(place) <= 1;
  return isFirst ? cutMs : cutMs + behindDataMs;
}

/** Nothing else is wrong on the path around a cut that could keep the news of it. */
function isAloneOn(path: readonly string[], cut: Cut, { strikes }: Evidence): boolean {
  const around = strikes.filter(
    ({ strike, beganMs, endedMs }) =>
      path.includes(strike.place) &&
      beganMs <= cut.knownMs + statusBoundMs &&
      (endedMs ?? Infinity) >= cut.cutMs,
  );
  return around.length === 1;
}

/** After each fault: how long until each tunnel on its path was up for good, or whether it took too long. */
function recoveriesOf(evidence: Evidence): { readonly ms: number; readonly broken: readonly Broken[] }[] {
  return evidence.strikes.flatMap(({ strike, endedMs }) =>
    Object.entries(pathOf)
      .filter(([, path]) => path.includes(strike.place))
      .map(([tunnel, path]) => {
        if (endedMs === null) return { ms: 0, broken: [] };
        const next = evidence.strikes.find(
          (other) => path.includes(other.strike.place) && (other.endedMs ?? Infinity) > endedMs,
        );
        const untilMs = next?.beganMs ?? evidence.endMs;
        const boundMs = recoveryBoundMs(tunnel);
        const history = evidence.histories[tunnel] ?? [];
        const ms = recoveryMs(history, endedMs, untilMs);
        const isLate = untilMs - endedMs > boundMs && !servesAt(history, endedMs + boundMs);
        if (ms <= boundMs && !isLate) return { ms, broken: [] };
        const when = ms > boundMs ? `up ${Math.round(ms)} ms` : `not up ${boundMs} ms`;
        const text = `${tunnel}: ${when} after ${describe(strike)}, the bound is ${boundMs} ms`;
        return { ms, broken: [{ invariant: 'recovery', atMs: endedMs, text }] };
      }),
  );
}

/** Where the status counted wrongly: each connection once, and as failed at least those. */
function miscounts({ connections, forwards, endMs }: Evidence, failures: readonly Finding[]): Broken[] {
  return Object.entries(forwards).flatMap(([name, { total, failed }]) => {
    const made = connections.filter(({ way, refused }) => way.name === name && refused === null);
    if (made[0] === undefined || made[0].way.type === 'remote') return [];
    const least = failures.filter(({ connection: { way, script } }) => {
      return way.name === name && !hasLeave(script.client) && !hasLeave(script.target);
    }).length;
    if (total === made.length && failed >= least) return [];
    const text = `${name} counts ${total} connections, ${failed} failed, of ${made.length}, ${least} failed at least`;
    return [{ invariant: 'counts', atMs: endMs, text }];
  });
}

/** What is not as it was. */
/** What is in the first list more often than in the second. */
function without(names: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return names.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function remains({ before, after, leftOpen, unserved, endMs }: Evidence): Broken[] {
  const broken: Broken[] = [];
  const add = (invariant: string, text: string): void => void broken.push({ invariant, atMs: endMs, text });
  if (after.descriptors > before.descriptors + descriptorSlack)
    add(
      'descriptors',
      `${before.descriptors} before, ${after.descriptors} after: ${without(after.names, before.names).join('; ')}`,
    );
  if (after.memoryMib > before.memoryMib + memoryBoundMib)
    add('memory', `${before.memoryMib} MiB before, ${after.memoryMib} MiB after`);
  if (leftOpen > 0) add('status', `${leftOpen} connections open or held with nobody connected`);
  for (const way of unserved) add('service', `${way} did not serve when all was over`);
  return broken;
}
