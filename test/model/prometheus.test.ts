// The metrics of a status: their text, by promtool where there is one, and the dashboard that asks for them.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { metricFamilies, prometheusText } from '../../src/model/prometheus.ts';
import { temporaryFolder } from '../helpers/folder.ts';
import { toolMissing } from '../helpers/forwards-world.ts';
import { version } from '../../src/model/version.ts';
import { statusDocument, tunnelStatus as tunnel } from '../helpers/tunnel-status.ts';

const probe = { ok: false, text: 'target refused', at: '' };
const [forward] = tunnel('x').forwards;
const families = metricFamilies(
  statusDocument([
    tunnel('db'),
    tunnel('web', { state: 'retrying', latencyMs: null }),
    tunnel('odd"\\\n', { forwards: forward === undefined ? [] : [{ ...forward, probe }] }),
  ]),
);

const promtool = (args: readonly string[], input = ''): { status: number | null; output: string } => {
  const { status, stdout, stderr } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  return { status, output: stdout + stderr };
};
const withPromtool = test.skipIf(toolMissing('promtool') !== null);

describe('the Prometheus text', () => {
  test('has one header a metric and sums the forwards of a tunnel', () => {
    const lines = prometheusText(families).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        `tunnel_build_info{version="${version}"} 1`,
        '# TYPE tunnel_up gauge',
        'tunnel_up{tunnel="db"} 1',
        'tunnel_up{tunnel="web"} 0',
        'tunnel_state{tunnel="web",state="retrying"} 1',
        'tunnel_state{tunnel="web",state="up"} 0',
        '# TYPE tunnel_reconnects_total counter',
        'tunnel_reconnects_total{tunnel="db"} 4',
        'tunnel_bytes_total{tunnel="db",direction="in"} 200',
        'tunnel_bytes_total{tunnel="db",direction="out"} 100',
        'tunnel_connections_open{tunnel="db"} 3',
        'tunnel_connections_held{tunnel="db"} 2',
        'tunnel_connections_total{tunnel="db"} 14',
        'tunnel_connections_failed_total{tunnel="db"} 6',
        'tunnel_latency_seconds{tunnel="db"} 0.0125',
        'tunnel_probe_up{tunnel="odd\\"\\\\\\n"} 0',
      ]),
    );
    expect(lines.filter((line) => line.startsWith('tunnel_latency_seconds{tunnel="web"'))).toEqual([]);
    expect(lines.filter((line) => line.startsWith('# TYPE tunnel_state '))).toHaveLength(1);
    expect(lines.at(-1)).toBe('');
  });

  withPromtool('is right by promtool, with samples and without', () => {
    const none = metricFamilies(statusDocument([]));
    for (const each of [families, none])
      expect(promtool(['check', 'metrics'], prometheusText(each))).toEqual({ status: 0, output: '' });
  });
});

interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets: readonly { expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query: string | { readonly query: string } }[] };
}

describe('the Grafana dashboard', () => {
  const path = resolve(import.meta.dirname, '../../docs/grafana-dashboard.json');
  const { panels, templating } = JSON.parse(readFileSync(path, 'utf8')) as Dashboard;
  const queries = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  const asked = [
    ...queries,
    ...templating.list.map(({ query }) => (typeof query === 'string' ? query : query.query)),
  ].join('\n');

  test('asks for every metric that there is, and for no other', () => {
    const names = new Set(asked.match(/\btunnel_\w+/g));
    expect([...names].sort()).toEqual(families.map(({ name }) => name).sort());
  });

  test('asks by labels that the metrics have', () => {
    const known = new Set(
      families.flatMap(({ samples }) => samples.flatMap(({ labels }) => Object.keys(labels))),
    );
    const used = new Set([...asked.matchAll(/(\w+)(?:=~|=)"/g)].map(([, label = '']) => label));
    const foreign = ['instance']; // Prometheus adds it
    expect([...used].filter((label) => !known.has(label) && !foreign.includes(label))).toEqual([]);
  });

  withPromtool('has only queries that Prometheus takes', () => {
    const file = `${temporaryFolder('rules')}/rules.yaml`;
    const rules = queries.map((expr, index) => ({
      record: `query_${index}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(instance|tunnel)/g, '.*'),
    }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'panels', rules }] })); // JSON is YAML
    expect(promtool(['check', 'rules', file])).toMatchObject({ status: 0 });
  });
});
