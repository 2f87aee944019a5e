// `tunnel ports`: what listens on a server, and by which tunnel it is reached already; with --up it is forwarded.
import { openSshHere } from '../../client/ssh-here.ts';
import { portsAt, type ReachedPort } from '../../client/server-ports.ts';
import { readyConfig, type ReadyConfig } from '../../client/ready-config.ts';
import { locateTarget } from '../../client/supervisor.ts';
import { errorIn, routesTo, type Route } from '../../client/trust-routes.ts';
import { type Context } from '../../client/context.ts';
import { asTunnelError } from '../../errors.ts';
import { renderTable } from '../../render/table.ts';
import { tellAdhoc } from '../adhoc-tunnel.ts';
import { timeoutOption, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { forwardPorts, readPortsWords, type FoundPorts } from '../port-forwards.ts';
import { loginContext } from '../trust-questions.ts';
import { bring } from './up.ts';

export const spec: CommandSpec = {
  name: 'ports',
  words: 'NAME|HOST',
  takes: { least: 1 },
  about: 'what listens on a server, and which tunnel leads there',
  more: [
    'Asks the server, over the live link of the tunnel where there is one, by one command: a shell with ss,',
    '/proc/net or netstat. Nothing is put on the server. Where its administrator has forced a command for this',
    'account, that one would run instead. Programs are those that the account may see.',
    'With --up the ports are forwarded by tunnels that are in no file, until `down`, the way the server was asked.',
  ],
  options: [
    { name: 'up', value: 'PORT…', about: 'forward these ports to the same ones here, until down' },
    { name: 'remap', about: 'with --up: where a local port is taken, use a free one near it' },
    { ...timeoutOption, about: 'with --up: how long to wait for them (default 30s)' },
  ],
  examples: [
    ['tunnel ports db', 'on the server of the tunnel db'],
    ['tunnel ports me@katie.example.org', 'on a server that no tunnel goes to yet'],
    ['tunnel ports db --up 5432 6379', 'and forward two of them, as tunnel up -L would'],
    ["tunnel ports db --json | jq '.[].port'", 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const words = readPortsWords(args);
  const config = await readyConfig(context);
  const [route, ...others] = await routesTo([words.server], config, context, 'ports');
  if (route === undefined || others.length > 0)
    throw usage(`ports is about one server, and ${words.server} stands for several`, {
      command: 'ports --help',
    });
  const ports = await look(context, config, route);
  if (words.wanted.length > 0) return bringPorts(context, args, { words, route, config, ports });
  if (context.options.json) context.json(ports.map(documentOf));
  else show(context, ports);
  return 0;
};

async function look(context: Context, config: ReadyConfig, route: Route): Promise<readonly ReachedPort[]> {
  using interruption = context.interruption();
  return await portsAt({
    route,
    tunnels: config.resolved.tunnels,
    target: locateTarget(context),
    openSsh: () =>
      openSshHere(context, config, (message) => {
        if (context.options.verbose) context.talk(message);
      }),
    context: loginContext(context, interruption, route.ways),
  }).catch((thrown: unknown) => {
    interruption.signal.throwIfAborted();
    throw errorIn(asTunnelError(thrown), route);
  });
}

/** As `tunnel up -L` would, for each port. */
async function bringPorts(context: Context, args: Args, found: FoundPorts): Promise<number> {
  using interruption = context.interruption();
  const { names, made } = await forwardPorts(context, found);
  const fresh = made.filter(({ isNew }) => isNew);
  try {
    const code = await bring(context, { ...args, words: names }, 'up', { interruption });
    if (code === 0)
      tellAdhoc(
        context,
        fresh.map(({ name }) => name),
      );
    return code;
  } catch (thrown) {
    for (const { forget } of fresh) await forget(); // no supervisor has them
    throw thrown;
  }
}

const documentOf = ({ address, port, program, pid, tunnel }: ReachedPort): ReachedPort => ({
  address,
  port,
  program,
  pid,
  tunnel,
});

function show(context: Context, ports: readonly ReachedPort[]): void {
  if (ports.length === 0) return context.talk('nothing listens there that this account may see');
  const head = ['PORT', 'ADDRESS', 'PROGRAM', 'TUNNEL'];
  const rows = ports.map(({ address, port, program, pid, tunnel }) => ({
    cells: [String(port), address, program === null ? '' : `${program} (${pid})`, tunnel ?? ''],
  }));
  const frame = { columns: context.columns, shorten: { PROGRAM: 8 }, leaveOut: [['PROGRAM']] };
  for (const line of renderTable(head, rows, context.paint, frame)) context.out(line);
}
