// `tunnel why`: every layer of the way to a tunnel's target. A live link tells what its login recorded, one that is away
// is tried by its supervisor, and without either the way is gone once in this process. As few connections as that takes.
import type { WhyResult } from '../control/protocol.ts';
import { TunnelError, asTunnelError, reportError, type ErrorReport, type Hint } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import { isLoopback } from '../model/endpoint.ts';
import { formatLogin, type Host, type Way } from '../model/host.ts';
import type { DialContext, DialStep, Session } from '../model/session.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { Finding, WhyDocument, WhyStep } from '../model/why.ts';
import { testConnection } from '../ssh/transport/open.ts';
import { firstCommand, hintFor } from '../model/tunnel-hints.ts';
import type { SshHouse } from '../ssh/parts.ts';
import { sshCommand } from './ssh-command.ts';
import { checkTargets, portsOf, targetsLeftOut, tryLocalPorts, tryRemotePorts } from '../forward/try-ends.ts';
import { cleanText } from '../model/clean.ts';

export interface WhyRequest {
  readonly tunnel: Tunnel;
  /** Our own known_hosts. */
  readonly store: string;
  /** Milliseconds that reading the config took. */
  readonly configMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What the supervisor says of the tunnel; null where none runs, or where it does not know the tunnel. */
  readonly ask: () => Promise<WhyResult | null>;
  /** Has the supervisor try now, once, asking whoever is there. Its error, null when the tunnel serves. */
  readonly attempt: () => Promise<ErrorReport | null>;
  /** Opened only when this process itself must log in. */
  readonly openSsh: () => SshHouse;
  /** Everything a dial asks for but its steps and its end. */
  readonly context: Omit<DialContext, 'step' | 'signal' | 'onlyProven' | 'acceptNew'>;
}

/** Never fails for what it finds: that is in the document. Rejects with the signal's reason when it is aborted. */
export async function explain(request: WhyRequest): Promise<WhyDocument> {
  const { tunnel, signal } = request;
  const answer = await request.ask();
  signal.throwIfAborted();
  const findings = await (answer === null || isAtRest(answer)
    ? alone(request, answer)
    : answer.steps !== null
      ? live(request, answer)
      : tried(request));
  signal.throwIfAborted();
  return documentOf(tunnel.name, [
    configFinding(request),
    ...findings.map((each) => inItsName(each, request)),
  ]);
}

/** A config that cannot be used is the first layer, and the last that can be looked at. */
export function configFailure(name: string, error: TunnelError, ms: number): WhyDocument {
  const step = { hop: name, layer: 'config', status: 'failed', ms, detail: error.message } as const;
  return documentOf(name, [{ step, error: reportError(error) }]);
}

function configFinding({ tunnel, configMs }: WhyRequest): Finding {
  return {
    step: { hop: lastLabel(tunnel), layer: 'config', status: 'ok', ms: configMs, detail: '' },
    error: null,
  };
}

const lastLabel = ({ ways, host }: Tunnel): string => labelsOf(ways[0]).at(-1) ?? host;

/** What to call each hop of a way: by its name, by its login where another has that name, and by its place where even that is the same. */
function labelsOf(way: Way): readonly string[] {
  const alone = (words: readonly string[], word: string): boolean =>
    words.filter((each) => each === word).length === 1;
  const names = way.map(({ name }) => name);
  const logins = way.map(formatLogin);
  return way.map((host, index) => {
    if (alone(names, host.name)) return host.name;
    const login = formatLogin(host);
    return alone(logins, login) ? login : `${login}, hop ${index + 1}`;
  });
}

/** Steps of the hop at a place of its way. A session that an older supervisor opened recorded names alone. */
const stepsAt = (steps: readonly DialStep[], { name }: Host, index: number): readonly DialStep[] =>
  steps.filter(({ hop, place }) => (place === undefined ? hop === name : place === index));

/** Nobody wants it now, so no link is tried for it: `down`, or asleep until a client comes. */
function isAtRest({ tunnel, steps }: WhyResult): boolean {
  return steps === null && ['down', 'asleep', 'stopping'].includes(tunnel.state);
}

/** DNS and TCP anew; the login as it was recorded; the targets as the supervisor has just tried them. */
async function live(request: WhyRequest, answer: WhyResult): Promise<Finding[]> {
  const { tunnel, clock, signal } = request;
  const way = wayInUse(tunnel, answer);
  const [first] = way;
  const steps = [...(answer.steps ?? [])];
  let error: TunnelError | null = null;
  if (first.proxyCommand === null) {
    const fresh: DialStep[] = [];
    error = await testConnection(first, clock, {
      signal,
      step: (step) => void fresh.push({ ...step, place: 0 }),
    }).then(
      () => null,
      (thrown: unknown) => asTunnelError(thrown),
    );
    const ofFirst = new Set(stepsAt(steps, first, 0));
    const recorded = steps.filter(
      (step) => !ofFirst.has(step) || (step.layer !== 'dns' && step.layer !== 'tcp'),
    );
    return [
      ...reached(way, [...fresh, ...recorded], error),
      ...portsOf(tunnel, answer.tunnel),
      ...targets(answer),
    ];
  }
  return [...reached(way, steps, error), ...portsOf(tunnel, answer.tunnel), ...targets(answer)];
}

/** A link that lives although its server takes no new connection: told as it is. */
function reached(way: Way, steps: readonly DialStep[], error: TunnelError | null): Finding[] {
  const findings = findingsOf({ way, steps, error: null, last: null });
  if (error === null) return findings;
  const at = findings.findIndex(({ step }) => step.status === 'failed' && step.layer !== 'auth');
  return findings.map((each, index) => (index === at ? { ...each, error: reportError(error) } : each));
}

const targets = ({ targets: tried }: WhyResult): readonly Finding[] => tried ?? [];

/** The supervisor tries, under its own rules: a refused credential is not offered again unless a person is there. */
async function tried(request: WhyRequest): Promise<Finding[]> {
  const { tunnel } = request;
  const failure = await request.attempt();
  request.signal.throwIfAborted();
  const answer = await request.ask();
  if (answer === null) return alone(request, null);
  const way = wayInUse(tunnel, answer);
  const ports = portsOf(tunnel, answer.tunnel);
  if (answer.steps !== null) return [...reached(way, answer.steps, null), ...ports, ...targets(answer)];
  const error = answer.tunnel.error ?? failure;
  const left = await targetsLeftOut(tunnel);
  // A port that is taken is no trouble of the way.
  const ofPort = error !== null && ports.some((port) => port.error?.message === error.message);
  const dialled = { way, steps: answer.attempt ?? [], last: answer.last ?? null };
  // It has not set out for the server either, while the port here is taken.
  if (ofPort && dialled.steps.length === 0) return alone(request, answer);
  return [...findingsOf({ ...dialled, error: ofPort ? null : error }), ...ports, ...left];
}

function wayInUse(tunnel: Tunnel, { tunnel: status }: WhyResult): Way {
  const via = status.via.join();
  const same = (way: Way): boolean =>
    way
      .slice(0, -1)
      .map(({ name }) => name)
      .join() === via;
  return tunnel.ways.find(same) ?? tunnel.ways[0];
}

/** Logs in once, by the first way that leads there, and tries both ends; nothing is left behind. */
async function alone(request: WhyRequest, answer: WhyResult | null): Promise<Finding[]> {
  const { tunnel, clock, signal, context } = request;
  const ssh = request.openSsh();
  const parts = { clock, signal };
  // Its own ports are its supervisor's, be the tunnel asleep or one of them taken.
  const keepsPorts = answer !== null && !['down', 'stopping'].includes(answer.tunnel.state);
  const ports = keepsPorts ? portsOf(tunnel, answer.tunnel) : await tryLocalPorts(tunnel);
  const failed: Finding[][] = [];
  for (const way of tunnel.ways) {
    const steps: DialStep[] = [];
    let ends: Finding[] | null = null;
    const dialContext = {
      ...context,
      signal,
      acceptNew: false,
      onlyProven: false,
      step: (step: DialStep) => void steps.push(step),
    };
    const error = await probeWay(way, ssh, dialContext, async (session) => {
      ends = [
        ...ports,
        ...(await tryRemotePorts(tunnel, session)),
        ...(await checkTargets(tunnel, session, parts)),
      ];
    });
    signal.throwIfAborted();
    const findings = findingsOf({ way, steps, error, last: answer?.last ?? null });
    if (ends !== null) return [...withoutErrors(failed.flat()), ...findings, ...(ends as Finding[])];
    failed.push(findings);
    // Another way leads to the same refusal, and counts as one more attempt there.
    if (error !== null && !['UNREACHABLE', 'TIMED_OUT', 'LINK_LOST'].includes(error.code)) break;
  }
  const remote = await tryRemotePorts(tunnel, null);
  return [...failed.flat(), ...ports, ...remote, ...(await targetsLeftOut(tunnel))];
}

/** A way that fails does not matter once another one leads there: only how far it went is told. */
function withoutErrors(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ step }) => step.status !== 'skipped').map(({ step }) => ({ step, error: null }));
}

/** `tunnel why` is where the reader is: the next command is another, and in the tunnel's name. */
function inItsName({ step: told, error }: Finding, request: WhyRequest): Finding {
  const { tunnel } = request;
  const isEnd = told.layer === 'listen' || told.layer === 'target';
  const step = isEnd ? { ...told, hop: lastLabel(tunnel) } : told;
  if (error === null) return { step, error };
  const hint = error.hint === null || firstCommand(error.hint) === 'why' ? null : hintFor(error.hint, tunnel);
  return { step, error: { ...error, hint: hint ?? wayOut(step, error, request) } };
}

function wayOut({ layer }: Finding['step'], { code }: ErrorReport, { tunnel, store }: WhyRequest): Hint {
  const ssh = (options: readonly string[] = []): string => sshCommand(tunnel.ways[0], store, options);
  const on = { tunnel: tunnel.name };
  if (layer === 'dns')
    return [
      { command: 'show', on },
      '    # is the name right? if it is, mend the network or the VPN, then ',
      { command: 'up', on },
    ];
  if (layer === 'target' && endsAtServer(tunnel))
    return { command: 'ports', on, note: 'does anything listen there?' };
  if (layer === 'target') return `${ssh()}    # is the target up, seen from there?`;
  if (layer === 'kex' && code !== 'LINK_LOST') return `${ssh(['-v'])}    # what does ssh say?`;
  const when =
    layer === 'kex'
      ? 'in a few minutes: a penalty passes by itself, and trying often makes it longer'
      : 'once the server can be reached; what is wanted also comes back by itself';
  return { command: 'up', on, note: when };
}

/** True when all that it forwards to is on the server itself. */
function endsAtServer({ forwards }: Tunnel): boolean {
  return forwards.every(
    (forward) => forward.type !== 'local' || (forward.target.kind === 'tcp' && isLoopback(forward.target)),
  );
}

/**
 * Logs in to every hop in turn, once, and leaves again; `use` may try something through the last session.
 * Answers what failed; null when all went well. The steps go to `context.step`.
 */
export async function probeWay(
  way: Way,
  ssh: Pick<SshHouse, 'dialer'>,
  context: DialContext,
  use: (session: Session) => Promise<void> = () => Promise.resolve(),
): Promise<TunnelError | null> {
  const sessions: Session[] = [];
  try {
    for (const [place, host] of way.entries()) {
      const via = sessions.at(-1) ?? null;
      const step = (each: DialStep): void => context.step({ ...each, place });
      sessions.push(await ssh.dialer.dial(host, { via, transport: null }, { ...context, step }));
    }
    const last = sessions.at(-1);
    if (last !== undefined) await use(last);
    return null;
  } catch (thrown) {
    return asTunnelError(thrown);
  } finally {
    for (const session of sessions.reverse()) await session.close();
  }
}

type Layer = DialStep['layer'];

const layers: readonly Layer[] = ['dns', 'tcp', 'kex', 'host-key', 'auth'];

export interface Dialled {
  readonly way: Way;
  readonly steps: readonly DialStep[];
  /** What the dial failed with; null when it led to the last hop. */
  readonly error: TunnelError | ErrorReport | null;
  /** The last login that succeeded: said of layers that were not reached. */
  readonly last: readonly DialStep[] | null;
}

/** The findings of every hop, nearest first. Exactly one carries the error, when there is one. */
export function findingsOf({ way, steps, error, last }: Dialled): Finding[] {
  const failing = error === null ? null : failingHop(way, steps);
  const labels = labelsOf(way);
  return way.flatMap((host, index) => {
    const hop = labels[index] ?? host.name;
    const own = stepsAt(steps, host, index).map((step) => ({ ...step, hop }));
    const before = stepsAt(last ?? [], host, index);
    const failure = failing === index ? error : null;
    const broken = failure === null ? null : layerOf(failure, own);
    return hopFindings({ host, hop, own, before, behind: labels[index - 1] ?? null, broken }, failure);
  });
}

interface HopScene {
  readonly host: Host;
  /** What to call it. */
  readonly hop: string;
  readonly own: readonly DialStep[];
  readonly before: readonly DialStep[];
  /** The hop in front of it, as it is called. */
  readonly behind: string | null;
  /** The layer that failed; null when none did. */
  readonly broken: Layer | null;
}

function hopFindings(scene: HopScene, failure: Dialled['error']): Finding[] {
  const { hop, own, before, broken } = scene;
  return layers.flatMap((layer): Finding[] => {
    const error = layer === broken && failure !== null ? reportOf(failure) : null;
    const told = ofLayer(own, layer);
    if (error !== null) return withFailure(told, { hop, layer, error });
    if (told.length > 0) return told.map((step) => found(whyStep(step)));
    return [found(untold(scene, layer, ofLayer(before, layer)))];
  });
}

/** The credentials each by itself; the sum of them only where nothing was offered. */
function ofLayer(steps: readonly DialStep[], layer: Layer): readonly DialStep[] {
  const own = steps.filter((step) => step.layer === layer);
  if (layer !== 'auth') return own;
  const single = own.slice(0, -1);
  return single.length > 0 ? counted(single) : own;
}

/** What was offered again and got the same answer is one line. */
function counted(steps: readonly DialStep[]): readonly DialStep[] {
  const rows = new Map<string, { step: DialStep; times: number }>();
  for (const step of steps) {
    const key = `${step.status} ${step.detail}`;
    const { step: before, times } = rows.get(key) ?? { step: { ...step, ms: 0 }, times: 0 };
    rows.set(key, { step: { ...before, ms: before.ms + step.ms }, times: times + 1 });
  }
  return [...rows.values()].map(({ step, times }) =>
    times === 1 ? step : { ...step, detail: `${step.detail} (${times} times)` },
  );
}

function withFailure(
  told: readonly DialStep[],
  { hop, layer, error }: { hop: string; layer: Layer; error: ErrorReport },
): Finding[] {
  const at = told.findLastIndex(({ status }) => status === 'failed');
  if (at >= 0)
    return told.map((step, index) => ({ step: whyStep(step), error: index === at ? error : null }));
  const step: WhyStep = { hop, layer, status: 'failed', ms: 0, detail: whyOf(error.message) };
  return [...told.map((each) => found(whyStep(each))), { step, error }];
}

/** What nobody reported: not needed, or not reached. */
function untold(
  { host, hop, own, behind, broken }: HopScene,
  layer: Layer,
  before: readonly DialStep[],
): WhyStep {
  const step = { hop, layer, ms: 0 } as const;
  const reached = own.some((each) => layers.indexOf(each.layer) > layers.indexOf(layer));
  if (layer === 'dns' && reached) {
    if (behind !== null) return { ...step, status: 'skipped', detail: `${behind} looks it up` };
    const name = host.proxy?.host ?? host.hostname;
    if (host.proxyCommand !== null)
      return { ...step, status: 'skipped', detail: 'the proxy command looks it up' };
    if (isAddress(name)) return { ...step, status: 'ok', detail: `${name} is an address` };
  }
  if (layer === 'kex' && broken === 'host-key')
    return { ...step, status: 'skipped', detail: 'broken off for the host key, which is checked within it' };
  const times = before.map(({ detail }) => whyOf(detail)).join('; ');
  return { ...step, status: 'skipped', detail: times === '' ? '' : `last time: ${cleanText(times)}` };
}

/** The first one that is not through. */
function failingHop(way: Way, steps: readonly DialStep[]): number {
  const open = way.findIndex(
    (host, index) =>
      !stepsAt(steps, host, index).some(({ layer, status }) => layer === 'auth' && status === 'ok'),
  );
  return open < 0 ? way.length - 1 : open;
}

/** By the code where it tells, else where a step failed, else by the error's own facts. */
function layerOf(error: TunnelError | ErrorReport, steps: readonly DialStep[]): Layer {
  const { code } = error;
  if (code.startsWith('HOST_KEY_')) return 'host-key';
  if (['AUTH_REFUSED', 'KEY_UNREADABLE', 'SECRET_MISSING', 'AGENT_DOWN'].includes(code)) return 'auth';
  const failed = steps.findLast(({ status }) => status === 'failed')?.layer;
  if (failed !== undefined) return failed;
  const facts = 'facts' in error ? error.facts : {};
  return layers.find((layer) => layer === facts.layer) ?? (code === 'KEX_FAILED' ? 'kex' : 'tcp');
}

function reportOf({ code, message, hint }: ErrorReport): ErrorReport {
  return { code, message, hint };
}

/** IPv6 has colons, and names have none. */
const isAddress = (name: string): boolean => name.includes(':') || /^\d{1,3}(\.\d{1,3}){3}$/.test(name);

const found = (step: WhyStep): Finding => ({ step, error: null });

function whyStep({ hop, layer, status, ms, detail }: DialStep): WhyStep {
  return { hop, layer, status, ms, detail: cleanText(whyOf(detail)) };
}

/** "login failed, on box (10.0.0.1:22): no answer" -> "no answer": the line itself says what and where. */
function whyOf(sentence: string): string {
  return sentence.replace(/^[^,:]+, on \S+(?: \([^()]*\))?: /, '');
}

/** The document of all findings; the first that failed names the error. */
export function documentOf(name: string, findings: readonly Finding[]): WhyDocument {
  const error = findings.find((finding) => finding.error !== null)?.error ?? null;
  const steps = findings.map(({ step }) => ({ ...step, ms: Math.round(step.ms * 100) / 100 }));
  return { name, ok: error === null, steps, error };
}
