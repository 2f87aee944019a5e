// The page's words: what /events tells a viewer, and the numbers that both ends go by. Pure.
import type { StatusDocument, SupervisorStatus, TunnelState, TunnelStatus } from './status.ts';

/** Throughput and latency are looked at this often, and so many looks are kept: ten minutes. */
export const sampleMs = 5_000;
export const keptSamples = 120;
/** How far back the strip goes. */
export const stripMs = 86_400_000;

/** Bytes a second in and out, and the round trip in milliseconds; null where it is not known. */
export type Sample = readonly [inRate: number | null, outRate: number | null, latencyMs: number | null];

/** A tunnel came to this state. */
export interface PastState {
  readonly at: string;
  readonly to: TunnelState;
  readonly message: string | null;
}

/** A tunnel of `status --json`, its hints as text, and its `open:` filled in; null where it has none, or nothing listens. */
export interface PageTunnel extends TunnelStatus {
  readonly open: string | null;
}

export interface WholeTunnel extends PageTunnel {
  /** Oldest first, the last one of `sampledAt`. */
  readonly samples: readonly Sample[];
  /** Of the last 24 hours, oldest first; the first one may be older. */
  readonly history: readonly PastState[];
}

/** The first event of a viewer, `document`. */
export interface PageDocument extends StatusDocument {
  /** The supervisor's time. */
  readonly at: string;
  readonly sampledAt: string | null;
  readonly tunnels: readonly WholeTunnel[];
}

/** Every other event, `changes`: at least one with every sample. */
export interface PageChanges {
  readonly at: string;
  readonly supervisor: SupervisorStatus;
  /** All tunnels in their order, when that has changed. */
  readonly names?: readonly string[];
  /** A sample was taken. A tunnel that tells none has the same as before. */
  readonly sampledAt?: string;
  readonly tunnels: readonly (PageTunnel & { readonly sample?: Sample })[];
}
