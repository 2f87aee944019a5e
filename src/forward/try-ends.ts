// The two ends of a tunnel, for `tunnel why`: does its port listen, does its target answer. Tried on a live session or here.
import {
  asTunnelError,
  reportError,
  type ErrorFacts,
  type ErrorReport,
  type TunnelError,
} from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import type { Session } from '../model/session.ts';
import type { ForwardStatus, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { Finding } from '../model/why.ts';
import { dial, listen } from './sockets.ts';

/** How long a target or a server may take over one answer. */
const answerMs = 10_000;

interface EndParts {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** Whether each target answers: over the session, or from here for a remote forward. Nothing is sent to it. */
export function checkTargets(tunnel: Tunnel, session: Session, parts: EndParts): Promise<Finding[]> {
  return Promise.all(
    tunnel.forwards.map((forward) => {
      const { target } = forward.type === 'dynamic' ? { target: null } : forward;
      if (target === null) return skipped(tunnel, forward, 'target', 'any, as each connection asks');
      const where = forward.type === 'remote' ? 'from here' : `from ${tunnel.host}`;
      return measured(tunnel, forward, 'target', async () => {
        await (forward.type === 'remote' ? dialHere(target, parts) : dialThere(target, session, parts));
        return `${formatEndpoint(target)} answers ${where}`;
      });
    }),
  );
}

async function dialThere(target: Endpoint, session: Session, { signal }: EndParts): Promise<void> {
  const origin = { host: '127.0.0.1', port: 0 };
  const channel = await session.openChannel(target, origin, { timeoutMs: answerMs, signal });
  channel.close();
}

async function dialHere(target: Endpoint, parts: EndParts): Promise<void> {
  (await dial(target, { timeoutMs: answerMs, ...parts })).destroy();
}

/** Tries to bind what a tunnel that is down would listen on, and lets go of it at once. */
export function tryLocalPorts(tunnel: Tunnel): Promise<Finding[]> {
  const here = tunnel.forwards.filter(({ type }) => type !== 'remote');
  return Promise.all(
    here.map((forward) =>
      measured(tunnel, forward, 'listen', async () => {
        const trouble = (): void => undefined;
        const accept = (socket: { destroy(): unknown }): unknown => socket.destroy();
        const listener = await listen(forward.listen, { accept, trouble, preferredPort: null });
        await listener.close();
        const { listen: at } = forward;
        return at.kind === 'tcp' && at.port === 0 ? 'any free port' : `${formatEndpoint(at)} is free`;
      }),
    ),
  );
}

/** Asks the server for the ports of remote forwards, and gives them back. Without a session: skipped. */
export function tryRemotePorts(tunnel: Tunnel, session: Session | null): Promise<Finding[]> {
  const there = tunnel.forwards.filter(({ type }) => type === 'remote');
  return Promise.all(
    there.map((forward) => {
      const at = `${formatEndpoint(forward.listen)} on ${tunnel.host}`;
      if (session === null) return skipped(tunnel, forward, 'listen', `${at}: there is no link to ask over`);
      return measured(tunnel, forward, 'listen', async () => {
        const accept = (channel: { close(): void }): void => channel.close();
        const listener = await session.listenRemote(forward.listen, accept, { timeoutMs: answerMs });
        await listener.close(answerMs);
        return `${at} can be had`;
      });
    }),
  );
}

/** What a supervisor says of the ports of a tunnel it keeps. */
export function portsOf(tunnel: Tunnel, status: TunnelStatus): Finding[] {
  return status.forwards.map((forward) => {
    const { error, bound, held } = forward;
    const where = forward.type === 'remote' ? `${forward.listen} on ${status.host}` : forward.listen;
    const waiting = held === 0 ? '' : `, ${held} held`;
    const failed = !bound && error !== null && (error.code === 'LISTEN_FAILED' || forward.type === 'remote');
    const step = {
      hop: hopOf(tunnel),
      layer: 'listen',
      status: bound ? 'ok' : failed ? 'failed' : 'skipped',
      ms: 0,
      detail: prefix(forward, status.forwards.length) + (failed ? error.message : `${where}${waiting}`),
    } as const;
    return { step, error: failed ? { code: error.code, message: error.message, hint: error.hint } : null };
  });
}

/** Targets that nobody can ask for, since the link is away. */
export function targetsLeftOut(tunnel: Tunnel): Promise<Finding[]> {
  return Promise.all(
    tunnel.forwards.map((forward) => {
      const { target } = forward.type === 'dynamic' ? { target: null } : forward;
      return skipped(tunnel, forward, 'target', target === null ? '' : formatEndpoint(target));
    }),
  );
}

const prefix = (forward: Pick<Forward | ForwardStatus, 'name'>, among: number): string =>
  among > 1 && forward.name !== null ? `${forward.name}: ` : '';

function skipped(
  tunnel: Tunnel,
  forward: Forward,
  layer: 'listen' | 'target',
  detail: string,
): Promise<Finding> {
  const words = prefix(forward, tunnel.forwards.length) + detail;
  return Promise.resolve({
    step: { hop: hopOf(tunnel), layer, status: 'skipped', ms: 0, detail: words },
    error: null,
  });
}

async function measured(
  tunnel: Tunnel,
  forward: Forward,
  layer: 'listen' | 'target',
  attempt: () => Promise<string>,
): Promise<Finding> {
  const started = performance.now();
  const finding = (detail: string, error: TunnelError | null): Finding => ({
    step: {
      hop: hopOf(tunnel),
      layer,
      status: error === null ? 'ok' : 'failed',
      ms: performance.now() - started,
      detail: prefix(forward, tunnel.forwards.length) + detail,
    },
    error: error === null ? null : withCommand(reportError(error), forward, error.facts),
  });
  try {
    return finding(await attempt(), null);
  } catch (thrown) {
    const error = asTunnelError(thrown);
    return finding(error.message, error);
  }
}

/** Where a question was the hint: what answers it. A null hint is for whoever knows the way there. */
function withCommand(report: ErrorReport, forward: Forward, facts: ErrorFacts): ErrorReport {
  if (facts.reason === 'connect-failed') return { ...report, hint: null };
  if (facts.dial !== 'refused' || forward.type !== 'remote' || forward.target?.kind !== 'tcp') return report;
  const { port } = forward.target;
  return { ...report, hint: `ss -ltnp 'sport = :${port}'    # does anything listen here?` };
}

const hopOf = (tunnel: Tunnel): string => tunnel.ways[0].at(-1)?.name ?? tunnel.host;
