// Status: the shape that crosses the wire and that `status --json` prints, keys only ever added; and the one rule for when a tunnel is ready (SPEC 4). Pure.
import type { ErrorReport } from '../errors.ts';
import type { Question } from './question.ts';

export type TunnelState = 'down' | 'asleep' | 'connecting' | 'up' | 'retrying' | 'needs-you' | 'stopping';

/** An error with the time it happened (ISO 8601). */
export interface StatusError extends ErrorReport {
  readonly at: string;
}

export interface ForwardStatus {
  readonly name: string | null;
  readonly type: 'local' | 'remote' | 'dynamic';
  readonly listen: string;
  readonly target: string;
  readonly bound: boolean;
  readonly exposed: boolean;
  readonly open: number;
  readonly held: number;
  readonly total: number;
  readonly failed: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly error: StatusError | null;
  /** The last answer of the probe, null without one. */
  readonly probe: ProbeStatus | null;
}

export interface ProbeStatus {
  readonly ok: boolean;
  /** "postgres 16", "target refused", … */
  readonly text: string;
  readonly at: string;
  /** The target has not answered yet over this link; absent once it has. */
  readonly awaited?: true;
}

export interface TunnelStatus {
  readonly name: string;
  readonly state: TunnelState;
  readonly since: string | null;
  readonly tags: readonly string[];
  readonly autostart: boolean;
  /** Somebody brought it up and nobody has taken it down, whether its supervisor lives or not. */
  readonly wanted: boolean;
  readonly host: string;
  readonly endpoint: string;
  readonly via: readonly string[];
  readonly link: string | null;
  readonly orphan: boolean;
  readonly reconnects: number;
  readonly attempt: number;
  readonly retryAt: string | null;
  readonly latencyMs: number | null;
  readonly error: StatusError | null;
  readonly lastError: StatusError | null;
  readonly question: Question | null;
  readonly forwards: readonly ForwardStatus[];
  /** Negotiated algorithms of the live link, null without one. */
  readonly algorithms: NegotiatedAlgorithms | null;
}

export interface NegotiatedAlgorithms {
  readonly kex: string;
  readonly hostKey: string;
  readonly cipher: string;
  readonly mac: string;
}

export interface SupervisorStatus {
  readonly running: boolean;
  readonly pid: number | null;
  readonly version: string | null;
  readonly config: string | null;
  readonly since: string | null;
  readonly configError: string | null;
  /** Why its metrics are not served; null, or absent, when they are or are not wanted. */
  readonly metricsError?: string | null;
  /** The URL of the page; null, or absent, where none is served. */
  readonly page?: string | null;
  readonly nativeCrypto: boolean | null;
  /** Connections that a supervisor which this one has replaced carries to their end. */
  readonly draining?: { readonly pid: number; readonly connections: number } | null;
}

export interface StatusDocument {
  readonly version: 1;
  readonly supervisor: SupervisorStatus;
  readonly tunnels: readonly TunnelStatus[];
}

type Serving = Pick<TunnelStatus, 'state' | 'forwards'>;

/** Up or asleep, and no probe of it fails. */
export function isReady(tunnel: Serving): boolean {
  return tunnel.state === 'asleep' || (tunnel.state === 'up' && failedProbe(tunnel) === null);
}

/** The target that is not there, as its probe sees it; one whose first answer is awaited is not there yet. */
export function failedProbe({
  forwards,
}: Serving): { readonly target: string; readonly text: string } | null {
  const failed = forwards.find((forward): forward is ForwardStatus & { probe: ProbeStatus } => {
    return forward.probe?.ok === false;
  });
  return failed === undefined ? null : { target: failed.target, text: failed.probe.text };
}

/** A probe of it has not had its first answer. */
export function awaitsProbe({ forwards }: Serving): boolean {
  return forwards.some(({ probe }) => probe?.awaited === true);
}

/** Of what nobody selected: all that are wanted; where nothing is, all that would start by themselves. */
export function meantByDefault<T extends { readonly wanted: boolean; readonly autostart: boolean }>(
  tunnels: readonly T[],
): readonly T[] {
  const wanted = tunnels.filter((tunnel) => tunnel.wanted);
  return wanted.length > 0 ? wanted : tunnels.filter((tunnel) => tunnel.autostart);
}
