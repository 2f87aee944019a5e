// What commands answer when no supervisor runs: the config's tunnels, all of them down, and what one that ended unexpectedly
// served. Runs nothing, needs no consent.
import { matchSelectors, type Selectable } from '../config/selectors.ts';
import { readWanted } from '../control/wanted.ts';
import { ConfigError } from '../config/issue.ts';
import { checkAll } from '../config/load.ts';
import { formatEndpoint, isLoopback } from '../model/endpoint.ts';
import type { Forward } from '../model/forward.ts';
import { formatLogin } from '../model/host.ts';
import type { ForwardStatus, StatusDocument, TunnelStatus } from '../model/status.ts';
import type { Tunnel } from '../model/tunnel.ts';
import { ask, foundConfig, type Target, type Where } from './supervisor.ts';

/** Throws CONFIG_MISSING, ConfigError, or NO_SUCH_TUNNEL. */
export async function statusWithout(
  where: Where,
  target: Target,
  selectors: readonly string[],
): Promise<StatusDocument> {
  const { path } = foundConfig(where, target);
  const { config, issues } = await checkAll(path, where.facts);
  if (config === null) throw new ConfigError(path, issues);
  const names = new Set(matchSelectors(selectors, config.tunnels));
  const wanted = new Set(readWanted(target.supervisor.wanted, () => undefined).names);
  return {
    version: 1,
    supervisor: {
      running: false,
      pid: null,
      version: null,
      config: path,
      since: null,
      configError: null,
      nativeCrypto: null,
    },
    tunnels: config.tunnels
      .filter(({ name }) => names.has(name))
      .map((tunnel) => downStatus(tunnel, wanted.has(tunnel.name))),
  };
}

/** Names and tags that selectors may mean, from wherever they can be had; none where nothing can be read. */
export async function knownTunnels(
  where: Where,
  target: Target,
  selectors: readonly string[],
): Promise<readonly Selectable[]> {
  if (selectors.length === 0) return [];
  try {
    const running = await ask(target, 'status', { selectors: [] });
    return (running ?? (await statusWithout(where, target, []))).tunnels;
  } catch {
    return []; // a broken file, a supervisor that does not answer: the log itself knows names too
  }
}

function downStatus(tunnel: Tunnel, wanted: boolean): TunnelStatus {
  const way = tunnel.ways[0];
  const server = way.at(-1) ?? way[0];
  return {
    name: tunnel.name,
    state: 'down',
    since: null,
    tags: tunnel.tags,
    autostart: tunnel.autostart,
    wanted,
    host: tunnel.host,
    endpoint: formatLogin(server),
    via: way.slice(0, -1).map(({ name }) => name),
    link: null,
    orphan: false,
    reconnects: 0,
    attempt: 0,
    retryAt: null,
    latencyMs: null,
    error: null,
    lastError: null,
    question: null,
    forwards: tunnel.forwards.map(downForward),
    algorithms: null,
  };
}

function downForward(forward: Forward): ForwardStatus {
  return {
    name: forward.name,
    type: forward.type,
    listen: formatEndpoint(forward.listen),
    target: targetOf(forward),
    bound: false,
    exposed: !isLoopback(forward.listen),
    open: 0,
    held: 0,
    total: 0,
    failed: 0,
    bytesIn: 0,
    bytesOut: 0,
    error: null,
    probe: null,
  };
}

/** `*`: any target, by SOCKS. */
function targetOf(forward: Forward): string {
  if (forward.type === 'dynamic' || forward.target === null) return '*';
  return formatEndpoint(forward.target);
}
