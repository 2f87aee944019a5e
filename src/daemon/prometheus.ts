// Prometheus text from the status of tunnels: the exposition format 0.0.4. Pure.
import { failedProbe, type ForwardStatus, type TunnelState, type TunnelStatus } from '../model/status.ts';

const states: readonly TunnelState[] = [
  'down',
  'asleep',
  'connecting',
  'up',
  'retrying',
  'needs-you',
  'stopping',
];

interface Metric {
  readonly name: string;
  readonly type: 'gauge' | 'counter';
  readonly help: string;
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

/** The document for a scrape. Metrics without a sample keep their header lines. */
export function prometheusText(tunnels: readonly TunnelStatus[]): string {
  const lines = metrics.flatMap(({ name, type, help, samples }) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...tunnels.flatMap((tunnel) =>
      samples(tunnel).map(
        ([labels, value]) => `${name}{${formatLabels({ tunnel: tunnel.name, ...labels })}} ${value}`,
      ),
    ),
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
