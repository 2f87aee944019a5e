// `tunnel ports … --up`: an ad-hoc tunnel for each port found on a server that no tunnel leads to yet.
import type { Context } from '../client/context.ts';
import type { ReadyConfig } from '../client/ready-config.ts';
import type { ReachedPort } from '../client/server-ports.ts';
import type { Route } from '../client/trust-routes.ts';
import { adhocTag } from '../config/adhoc.ts';
import { composeTunnel, nameByForward } from '../config/compose.ts';
import type { NewTunnel } from '../config/edit.ts';
import { readWritten } from '../config/load.ts';
import { knownKeys } from '../config/schema.ts';
import { port as portOf } from '../config/value.ts';
import { TunnelError } from '../errors.ts';
import { formatHostPort } from '../model/endpoint.ts';
import { shellWord } from '../model/shell-word.ts';
import { listNames } from '../render/error.ts';
import { keepAdhoc, type AdhocTunnel } from './adhoc-tunnel.ts';
import { usage, type Args } from './command.ts';
import { withAbsolutePaths } from './ssh-tunnel.ts';

export interface PortsWords {
  /** A tunnel's name, or a host. */
  readonly server: string;
  /** To be forwarded; empty where they are only to be shown. */
  readonly wanted: readonly number[];
}

/** `db --up 5432 6379` and `--up 5432,6379 db`: the server is what is no port. Throws USAGE. */
export function readPortsWords(args: Pick<Args, 'words' | 'text' | 'flag'>): PortsWords {
  if (args.text('up') === undefined && (args.flag('remap') || args.text('timeout') !== undefined))
    throw usage('tunnel ports takes --remap and --timeout only with --up', { command: 'ports --help' });
  const up = args.text('up')?.split(',') ?? [];
  const isPort = (word: string): boolean => 'value' in portOf(word);
  const server = (up.length === 0 ? null : args.words.find((word) => !isPort(word))) ?? args.words[0] ?? '';
  const at = args.words.indexOf(server);
  const others = args.words.filter((_, index) => index !== at).flatMap((word) => word.split(','));
  if (up.length === 0 && others.length > 0)
    throw usage(
      `tunnel ports is about one server, and cannot use ${listNames(others.map(shellWord))}`,
      others.every(isPort)
        ? { command: 'ports', on: { words: [server] }, flags: `--up ${others.join(' ')}` }
        : { command: 'ports --help' },
    );
  const wanted = [...up, ...others].map((word) => {
    const read = portOf(word);
    if ('value' in read) return read.value;
    throw usage(`--up takes ports, 1-65535, and not ${shellWord(word)}`, { command: 'ports --help' });
  });
  return { server, wanted: [...new Set(wanted)] };
}

export interface FoundPorts {
  readonly words: PortsWords;
  readonly route: Route;
  readonly config: ReadyConfig;
  readonly ports: readonly ReachedPort[];
}

export interface PortForwards {
  /** The tunnels that lead to the ports, those that were there among them. */
  readonly names: readonly string[];
  readonly made: readonly AdhocTunnel[];
}

/** Writes them down; nothing is brought up. Throws FORWARD_REFUSED where nothing listens on one of the ports, before anything is written. */
export async function forwardPorts(context: Context, found: FoundPorts): Promise<PortForwards> {
  const { words, ports, config } = found;
  const absent = words.wanted.filter((port) => !ports.some((each) => each.port === port));
  if (absent.length > 0) throw nothingThere(absent, words.server);
  const server = serverOf(context, found);
  const names: string[] = [];
  const made: AdhocTunnel[] = [];
  for (const port of words.wanted) {
    const there = ports.filter((each) => each.port === port);
    const tunnel = there.find((each) => each.tunnel !== null)?.tunnel ?? null;
    if (tunnel !== null) {
      context.talk(`${port} is reached by the tunnel ${tunnel} already`);
      names.push(tunnel);
      continue;
    }
    const adhoc = await keepAdhoc(context, config.path, tunnelTo(there, server));
    names.push(adhoc.name);
    made.push(adhoc);
  }
  return { names: [...new Set(names)], made };
}

function nothingThere(absent: readonly number[], server: string): TunnelError {
  const which = absent.length === 1 ? 'port' : 'ports';
  return new TunnelError(
    'FORWARD_REFUSED',
    `nothing listens on ${which} ${listNames(absent.map(String))} of ${server} that this account may see`,
    { hint: { command: 'ports', on: { words: [server] }, note: 'what does' } },
  );
}

interface Server {
  /** As behind `host:`. */
  readonly host: string;
  /** Keys of a host that the tunnel needs to go the same way. */
  readonly settings: NewTunnel;
}

/** As the tunnel goes there that it was asked about; else by the name of the server alone. */
function serverOf({ facts }: Context, { words, route, config }: FoundPorts): Server {
  const server = route.ways[0].at(-1);
  const { tunnels } = config.resolved;
  const leads = tunnels.find(({ ways }) => ways.some((way) => way.at(-1) === server));
  const written = leads === undefined ? null : readWritten(leads.name, config.path, facts);
  if (leads !== undefined && written !== null) {
    const keys = [...knownKeys.host, 'ways', 'share'];
    const own = Object.entries(written.keys).filter(([key]) => keys.includes(key));
    return {
      host: leads.host,
      settings: withAbsolutePaths(Object.fromEntries(own) as NewTunnel, written.folder),
    };
  }
  const isOnTheWay = tunnels.some(({ ways }) => ways.some((way) => way.some((host) => host === server)));
  if (!isOnTheWay || server === undefined) return { host: words.server, settings: {} };
  const jump = route.ways[0].slice(0, -1).map(({ name }) => name);
  return { host: server.name, settings: jump.length === 0 ? {} : { jump } };
}

/** Loopback first: what listens on all addresses listens there too. */
const preferred = ['127.0.0.1', '0.0.0.0', '::', '::1'];

function tunnelTo(
  there: readonly ReachedPort[],
  { host, settings }: Server,
): { readonly tunnel: NewTunnel; readonly meant: string } {
  const best = preferred.flatMap((at) => there.find(({ address }) => address === at) ?? [])[0] ?? there[0];
  if (best === undefined) throw new RangeError('something listens on the port');
  const dialled = { '0.0.0.0': '127.0.0.1', '::': 'localhost' }[best.address] ?? best.address;
  const forward = { letter: 'L', spec: `${best.port}:${formatHostPort(dialled, best.port)}` } as const;
  const more = { tags: [adhocTag], autostart: false };
  const composed = composeTunnel(host, [forward], { ...settings, ...more });
  if ('problem' in composed) throw usage(composed.problem, { command: 'ports --help' });
  return { tunnel: composed.value, meant: nameByForward(host, [forward]) };
}
