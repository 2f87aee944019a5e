// What listens on a server: asked over the live link of a tunnel that goes there, else by a login of this process.
import { askSupervisor } from '../control/reach.ts';
import { TunnelError } from '../errors.ts';
import { cleanText } from '../model/clean.ts';
import type { Endpoint } from '../model/endpoint.ts';
import type { Host } from '../model/host.ts';
import { portsCommand, portsLimits, readServerPorts, type ServerPort } from '../model/server-ports.ts';
import type { DialContext, Session } from '../model/session.ts';
import type { Tunnel } from '../model/tunnel.ts';
import type { SshHouse } from '../ssh/parts.ts';
import type { Target } from './supervisor.ts';
import type { Route } from './trust-routes.ts';
import { probeWay } from './why.ts';

/** A port with the tunnel of the file that leads there already; null where none does. */
export interface ReachedPort extends ServerPort {
  readonly tunnel: string | null;
}

export interface PortsRequest {
  readonly route: Route;
  readonly tunnels: readonly Tunnel[];
  readonly target: Target;
  /** Opened only when this process itself must log in. */
  readonly openSsh: () => SshHouse;
  readonly context: DialContext;
}

/**
 * The ports, in order.
 * @throws TunnelError: what a login fails with, or FORWARD_REFUSED with the server's word where it runs no command
 */
export async function portsAt(request: PortsRequest): Promise<readonly ReachedPort[]> {
  const { route, tunnels } = request;
  const server = route.ways[0].at(-1);
  if (server === undefined) throw new RangeError('a way has at least one host');
  const there = tunnels.filter(({ ways }) => ways.some((way) => isSameServer(way.at(-1), server)));
  const names = route.tunnel === null ? there.map(({ name }) => name) : [route.tunnel];
  const output = (await overLiveLink(names, request)) ?? (await byLogin(request));
  const ports = readServerPorts(output);
  if (ports === null) throw noCommand(server, output);
  return ports.map((port) => ({ ...port, tunnel: tunnelTo(port, there, server) }));
}

const isSameServer = (one: Host | undefined, other: Host): boolean =>
  one?.hostname === other.hostname && one.port === other.port;

async function overLiveLink(
  names: readonly string[],
  { target: { supervisor, owner } }: PortsRequest,
): Promise<string | null> {
  for (const name of names) {
    const call = { method: 'ports', params: { name } } as const;
    const answer = await askSupervisor(supervisor, owner, call).catch((thrown: unknown) => {
      // It has not read a file that has changed, or is older than this command.
      if (thrown instanceof TunnelError && ['NO_SUCH_TUNNEL', 'DAEMON_MISMATCH'].includes(thrown.code))
        return null;
      throw thrown;
    });
    if (answer?.result != null) return answer.result.output;
  }
  return null;
}

/** By the first way that leads there. */
async function byLogin({ route, openSsh, context }: PortsRequest): Promise<string> {
  const ssh = openSsh();
  let output = Buffer.alloc(0);
  let failure: TunnelError | null = null;
  for (const way of route.ways) {
    failure = await probeWay(way, ssh, context, async (session: Session) => {
      output = Buffer.from((await session.runCommand?.(portsCommand, portsLimits)) ?? []);
    });
    if (failure === null) return output.toString('utf8');
    if (!['UNREACHABLE', 'TIMED_OUT', 'LINK_LOST'].includes(failure.code)) break;
  }
  throw failure ?? new RangeError('there is at least one way');
}

function noCommand({ name, hostname, port, user }: Host, output: string): TunnelError {
  const said = cleanText(output.trim().split('\n').at(-1) ?? '').slice(0, 200);
  const why = said === '' ? 'it runs no commands for this account' : `it answers another thing: ${said}`;
  return new TunnelError('FORWARD_REFUSED', `looking at the ports failed, on ${name}: ${why}`, {
    hint: `ssh -p ${port} ${user}@${hostname}    # does the account have a shell there?`,
  });
}

/** A forward to the port of that name, or to an address that the listener there takes. */
function tunnelTo(port: ServerPort, there: readonly Tunnel[], server: Host): string | null {
  const found = there.find(({ forwards }) =>
    forwards.some(({ type, ...forward }) => {
      const to = type === 'local' && 'target' in forward ? forward.target : null;
      return to !== null && leadsTo(to, port, server);
    }),
  );
  return found?.name ?? null;
}

const anyAddress = ['0.0.0.0', '::'];
const loopbacks: Readonly<Record<string, readonly string[]>> = {
  localhost: ['127.0.0.1', '::1'],
  '127.0.0.1': ['127.0.0.1'],
  '::1': ['::1'],
};

function leadsTo(to: Endpoint, { address, port }: ServerPort, server: Host): boolean {
  if (to.kind !== 'tcp' || to.port !== port) return false;
  const own = [...Object.keys(loopbacks), server.hostname];
  if (anyAddress.includes(address)) return own.includes(to.host) || to.host === address;
  return to.host === address || (loopbacks[to.host]?.includes(address) ?? false);
}
