// `tunnel why`: every layer of the way to a tunnel's target. A live link tells what its login recorded, one that is away
// is tried by its supervisor, and without either the way is gone once in this process. As few connections as that takes.
import type { WhyResult } from '../control/protocol.ts';
import { asTunnelError, reportError, TunnelError, type ErrorReport, type Hint } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { Way } from '../model/host.ts';
import type { DialContext, DialStep } from '../model/session.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { Finding, WhyDocument } from '../model/why.ts';
import { testConnection } from '../ssh/transport/open.ts';
import { firstCommand, hintFor } from '../model/hint.ts';
import { probeWay } from './probing.ts';
import type { SshHouse } from '../ssh/parts.ts';
import { checkTargets, portsOf, targetsLeftOut, tryLocalPorts, tryRemotePorts } from '../forward/try-ends.ts';
import { documentOf, findingsOf } from './why-findings.ts';

export interface WhyRequest {
  readonly tunnel: Tunnel;
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
    ...findings.map((each) => inItsName(each, tunnel)),
  ]);
}

/** A config that cannot be used is the first layer, and the last that can be looked at. */
export function configFailure(name: string, error: TunnelError, ms: number): WhyDocument {
  const step = { hop: name, layer: 'config', status: 'failed', ms, detail: error.message } as const;
  return documentOf(name, [{ step, error: reportError(error) }]);
}

function configFinding({ tunnel, configMs }: WhyRequest): Finding {
  return {
    step: { hop: hopOf(tunnel), layer: 'config', status: 'ok', ms: configMs, detail: '' },
    error: null,
  };
}

const hopOf = ({ ways, host }: Tunnel): string => ways[0].at(-1)?.name ?? host;

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
    error = await testConnection(first, clock, { signal, step: (step) => void fresh.push(step) }).then(
      () => null,
      (thrown: unknown) => asTunnelError(thrown),
    );
    const isFirst = ({ hop, layer }: DialStep): boolean =>
      hop === first.name && (layer === 'dns' || layer === 'tcp');
    const recorded = steps.filter((step) => !isFirst(step));
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
  const ports =
    answer?.tunnel.state === 'asleep' ? portsOf(tunnel, answer.tunnel) : await tryLocalPorts(tunnel);
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
function inItsName({ step, error }: Finding, tunnel: Tunnel): Finding {
  if (error === null) return { step, error };
  const hint = error.hint === null || firstCommand(error.hint) === 'why' ? null : hintFor(error.hint, tunnel);
  return { step, error: { ...error, hint: hint ?? wayOut(step, error, tunnel) } };
}

function wayOut({ layer }: Finding['step'], { code }: ErrorReport, tunnel: Tunnel): Hint {
  const on = { tunnel: tunnel.name };
  if (layer === 'dns')
    return [
      { command: 'show', on },
      '    # is the name right? if it is, mend the network or the VPN, then ',
      { command: 'up', on },
    ];
  if (layer === 'target') return `${loginCommand(tunnel)}    # is the target up, seen from there?`;
  if (layer === 'kex' && code !== 'LINK_LOST') return `${loginCommand(tunnel)} -v    # what does ssh say?`;
  const when =
    layer === 'kex'
      ? 'in a few minutes: a penalty passes by itself, and trying often makes it longer'
      : 'once the server can be reached; what is wanted also comes back by itself';
  return { command: 'up', on, note: when };
}

function loginCommand({ ways }: Tunnel): string {
  const [first, ...others] = ways[0];
  const last = others.at(-1) ?? first;
  const port = last.port === 22 ? '' : ` -p ${last.port}`;
  const jumps = others.length === 0 ? [] : ways[0].slice(0, -1);
  const via = jumps.map(({ user, hostname, port: at }) => `${user}@${hostname}:${at}`).join(',');
  return `ssh${via === '' ? '' : ` -J ${via}`}${port} ${last.user}@${last.hostname}`;
}
