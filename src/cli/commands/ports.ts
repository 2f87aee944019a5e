// `tunnel ports`: what listens on a server, and by which tunnel it is reached already.
import { openSshHere } from '../../client/ssh-here.ts';
import { portsAt, type ReachedPort } from '../../client/server-ports.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { locateTarget } from '../../client/supervisor.ts';
import { errorIn, routesTo } from '../../client/trust-routes.ts';
import { type Context } from '../../client/context.ts';
import { asTunnelError } from '../../errors.ts';
import { renderTable } from '../../render/table.ts';
import { usage, type CommandSpec, type Run } from '../command.ts';
import { loginContext } from '../trust-questions.ts';

export const spec: CommandSpec = {
  name: 'ports',
  words: 'NAME|HOST',
  takes: { least: 1, most: 1 },
  about: 'what listens on a server, and which tunnel leads there',
  more: [
    'Asks the server, over the live link of the tunnel where there is one, by one command: a shell with ss,',
    '/proc/net or netstat. Nothing is put on the server. Where its administrator has forced a command for this',
    'account, that one would run instead. Programs are those that the account may see.',
  ],
  options: [],
  examples: [
    ['tunnel ports db', 'on the server of the tunnel db'],
    ['tunnel ports me@katie.example.org', 'on a server that no tunnel goes to yet'],
    ["tunnel ports db --json | jq '.[].port'", 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const config = await readyConfig(context);
  const [word = ''] = args.words;
  const [route, ...others] = await routesTo([word], config, context, 'ports');
  if (route === undefined || others.length > 0)
    throw usage(`ports is about one server, and ${word} stands for several`, { command: 'ports --help' });
  using interruption = context.interruption();
  const ports = await portsAt({
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
  if (context.options.json) context.json(ports.map(documentOf));
  else show(context, ports);
  return 0;
};

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
