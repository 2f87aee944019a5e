// Samples of throughput and latency, of the last ten minutes: what the page plots. Pure, but for what it remembers.
import { keptSamples, sampleMs, type Sample } from '../model/page.ts';
import type { TunnelStatus } from '../model/status.ts';

interface Kept {
  readonly samples: Sample[];
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export class Samples {
  #kept = new Map<string, Kept>();
  #lastMs: number | null = null;

  /** Oldest first. */
  of(tunnel: string): readonly Sample[] {
    return this.#kept.get(tunnel)?.samples ?? [];
  }

  /** `nowMs`: of a clock that nobody sets. Answers the tunnels whose newest sample is unlike the one before. */
  take(tunnels: readonly TunnelStatus[], nowMs: number): ReadonlySet<string> {
    const passedMs = this.#lastMs === null ? null : nowMs - this.#lastMs;
    // The machine slept, or this thread was busy: the plot must not close over that.
    const missed = passedMs === null ? 0 : Math.min(keptSamples, Math.round(passedMs / sampleMs) - 1);
    const unlike = new Set<string>();
    const next = new Map<string, Kept>();
    for (const tunnel of tunnels) {
      const before = this.#kept.get(tunnel.name);
      const sample = sampleOf(tunnel, before, passedMs);
      const gap = Array.from({ length: before === undefined ? 0 : missed }, (): Sample => [null, null, null]);
      const samples = [...(before?.samples ?? []), ...gap, sample].slice(-keptSamples);
      next.set(tunnel.name, { samples, ...bytesOf(tunnel) });
      if (missed > 0 || String(before?.samples.at(-1)) !== String(sample)) unlike.add(tunnel.name);
    }
    this.#kept = next;
    this.#lastMs = nowMs;
    return unlike;
  }
}

function bytesOf({ forwards }: TunnelStatus): { readonly bytesIn: number; readonly bytesOut: number } {
  const sum = (of: (forward: TunnelStatus['forwards'][number]) => number): number =>
    forwards.reduce((total, forward) => total + of(forward), 0);
  return { bytesIn: sum(({ bytesIn }) => bytesIn), bytesOut: sum(({ bytesOut }) => bytesOut) };
}

function sampleOf(tunnel: TunnelStatus, before: Kept | undefined, passedMs: number | null): Sample {
  const { latencyMs } = tunnel;
  const round = latencyMs === null ? null : Math.round(latencyMs * 10) / 10;
  if (before === undefined || passedMs === null || passedMs <= 0) return [null, null, round];
  const { bytesIn, bytesOut } = bytesOf(tunnel);
  // The counts begin anew when a tunnel is brought up.
  const rate = (now: number, then: number): number =>
    Math.round(((now < then ? now : now - then) * 1000) / passedMs);
  return [rate(bytesIn, before.bytesIn), rate(bytesOut, before.bytesOut), round];
}
