// Metrics of tunnels, from their status: the samples, and the Prometheus text of them (exposition format 0.0.4). Pure.
import {
  failedProbe,
  type ForwardStatus,
  type StatusDocument,
  type TunnelState,
  type TunnelStatus,
} from './status.ts';

const states: readonly TunnelState[] = [
  'down',
  'asleep',
  'connecting',
  'up',
  'retrying',
  'needs-you',
  'stopping',
];

export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric with its samples: of each tunnel, none where there is nothing to measure. */
export interface MetricFamily {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
  readonly samples: readonly Sample[];
}

interface Metric extends Omit<MetricFamily, 'samples'> {
  /** Labels beside `tunnel`, and the value. */
  readonly samples: (
    tunnel: TunnelStatus,
  ) => readonly (readonly [Readonly<Record<string, string>>, number])[];
}

const total = (tunnel: TunnelStatus, of: (forward: ForwardStatus) => number): number =>
  tunnel.forwards.reduce((sum, forward) => sum + of(forward), 0);

const metrics: readonly Metric[] = [
  {
    name: 'tunnel_up',
    type: 'gauge',
    help: '1 when all forwards of the tunnel serve.',
    samples: (tunnel) => [[{}, tunnel.state === 'up' ? 1 : 0]],
  },
  {
    name: 'tunnel_state',
    type: 'gauge',
    help: '1 for the state the tunnel is in, 0 for the others.',
    samples: (tunnel) => states.map((state) => [{ state }, state === tunnel.state ? 1 : 0] as const),
  },
  {
    name: 'tunnel_probe_up',
    type: 'gauge',
    help: '1 when no probe of the tunnel fails; absent without a probe, and without a live link.',
    samples: (tunnel) =>
      tunnel.forwards.some(({ probe }) => probe !== null) ? [[{}, failedProbe(tunnel) === null ? 1 : 0]] : [],
  },
  {
    name: 'tunnel_reconnects_total',
    type: 'counter',
    help: 'Links that were up, were lost, and came up again.',
    samples: (tunnel) => [[{}, tunnel.reconnects]],
  },
  {
    name: 'tunnel_bytes_total',
    type: 'counter',
    help: 'Bytes carried; in: received from the SSH side, out: sent to it.',
    samples: (tunnel) => [
      [{ direction: 'in' }, total(tunnel, ({ bytesIn }) => bytesIn)],
      [{ direction: 'out' }, total(tunnel, ({ bytesOut }) => bytesOut)],
    ],
  },
  {
    name: 'tunnel_connections_open',
    type: 'gauge',
    help: 'Connections being carried.',
    samples: (tunnel) => [[{}, total(tunnel, ({ open }) => open)]],
  },
  {
    name: 'tunnel_connections_held',
    type: 'gauge',
    help: 'Connections waiting for the link.',
    samples: (tunnel) => [[{}, total(tunnel, ({ held }) => held)]],
  },
  {
    name: 'tunnel_connections_total',
    type: 'counter',
    help: 'Connections accepted since the tunnel was last brought up.',
    samples: (tunnel) => [[{}, total(tunnel, (forward) => forward.total)]],
  },
  {
    name: 'tunnel_connections_failed_total',
    type: 'counter',
    help: 'Connections of those that ended by a fault.',
    samples: (tunnel) => [[{}, total(tunnel, ({ failed }) => failed)]],
  },
  {
    name: 'tunnel_latency_seconds',
    type: 'gauge',
    help: 'Round trip of the last ping; absent without a live link.',
    samples: (tunnel) => (tunnel.latencyMs === null ? [] : [[{}, tunnel.latencyMs / 1000]]),
  },
];

/** What a document of `status --json` comes to. */
export function metricFamilies({ supervisor, tunnels }: StatusDocument): readonly MetricFamily[] {
  const { version } = supervisor;
  const build: MetricFamily = {
    name: 'tunnel_build_info',
    type: 'gauge',
    help: '1, with the version of the supervisor that runs; absent where none does.',
    samples: version === null ? [] : [{ labels: { version }, value: 1 }],
  };
  const ofTunnels = metrics.map(({ name, type, help, samples }) => ({
    name,
    type,
    help,
    samples: tunnels.flatMap((tunnel) =>
      samples(tunnel).map(([labels, value]) => ({ labels: { tunnel: tunnel.name, ...labels }, value })),
    ),
  }));
  return [build, ...ofTunnels];
}

/** The text for a scrape. Metrics without a sample keep their header lines. */
export function prometheusText(families: readonly MetricFamily[]): string {
  const lines = families.flatMap(({ name, type, help, samples }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...samples.map(({ labels, value }) => `${name}{${formatLabels(labels)}} ${value}`),
  ]);
  return `${lines.join('\n')}\n`;
}

function formatLabels(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(
      ([name, value]) =>
        `${name}="${value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')}"`,
    )
    .join(',');
}
