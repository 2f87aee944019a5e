// `tunnel metrics`: the Prometheus text of the supervisor, as its address gives it with `metrics:`; of none, its tunnels as down.
import { statusWithout } from '../../client/no-supervisor.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';
import { metricFamilies, prometheusText } from '../../model/prometheus.ts';
import { noWords, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'metrics',
  words: '',
  takes: noWords,
  about: 'print what Prometheus scrapes: states, bytes, connections, latency',
  more: [
    'The same text as GET /metrics with `metrics: 127.0.0.1:9464` in the config, which it does not need.',
    'Without a supervisor every tunnel is down. The exit code is 0, whatever the states are.',
  ],
  options: [],
  examples: [
    ['tunnel metrics | grep tunnel_up', 'which are up'],
    ['tunnel metrics > tunnel.prom.new && mv tunnel.prom.new tunnel.prom', 'for a textfile collector'],
    ['tunnel metrics --json', 'the same samples as JSON'],
  ],
};

export const run: Run = async (context) => {
  const target = locateTarget(context);
  const document =
    (await ask(target, 'status', { selectors: [] })) ?? (await statusWithout(context, target, []));
  const families = metricFamilies(document);
  if (context.options.json) context.json(families);
  else context.out(prometheusText(families).trimEnd());
  return 0;
};
