// `tunnel show`: what each tunnel resolves to, as the JSON of SPEC 4 and as text. Secrets only by their source. Pure.
import { cleanText } from '../model/clean.ts';
import { formatEndpoint } from '../model/endpoint.ts';
import { formatDuration, longestMs } from '../model/duration.ts';
import type { Forward } from '../model/forward.ts';
import { formatAddress, formatLogin, type AgentRef, type Host, type Way } from '../model/host.ts';
import { formatSecretRef } from '../model/secret.ts';
import { shellWord } from '../model/shell-word.ts';
import type { ResolvedConfig, Tunnel } from '../model/tunnel.ts';

export interface ShownHop {
  readonly name: string;
  readonly hostname: string;
  readonly port: number;
  readonly user: string;
  readonly identities: readonly string[];
  readonly certificates: readonly string[];
  /** What makes the certificate, where a command does. */
  readonly certificateCommand?: readonly string[];
  readonly agent: string | null;
  readonly proxyCommand: string | null;
  readonly hostKeyAlias: string | null;
  readonly knownHosts: readonly string[];
  readonly hostKeys: string;
}

export interface ShownTunnel {
  readonly name: string;
  /** Nearest first, the last one is the server. Of several ways the first. */
  readonly hops: readonly ShownHop[];
  readonly forwards: readonly { readonly type: string; readonly listen: string; readonly target: string }[];
  readonly tags: readonly string[];
  /** As written, where there are any. */
  readonly env?: Readonly<Record<string, string>>;
  /** Commands by the state that they run at, where there are any. */
  readonly hooks?: Tunnel['hooks'];
  /** Every way, where there are several. */
  readonly ways?: readonly (readonly ShownHop[])[];
}

export interface ShowParts {
  /** SSH_AUTH_SOCK of whoever asks. */
  readonly agentSocket: string | undefined;
  /** Our own known_hosts: it is read first for every host. */
  readonly ownStore: string;
}

/** The document of `show --json`. */
export function showDocument(
  config: ResolvedConfig,
  names: readonly string[],
  parts: ShowParts,
): readonly ShownTunnel[] {
  return selected(config, names).map((tunnel) => {
    const ways = tunnel.ways.map((way) => way.map((host) => hop(host, parts)));
    return {
      name: tunnel.name,
      hops: ways[0] ?? [],
      forwards: tunnel.forwards.map((forward) => ({ type: forward.type, ...ends(forward) })),
      tags: tunnel.tags,
      ...(Object.keys(tunnel.env).length > 0 ? { env: tunnel.env } : {}),
      ...(Object.keys(tunnel.hooks).length > 0 ? { hooks: tunnel.hooks } : {}),
      ...(ways.length > 1 ? { ways } : {}),
    };
  });
}

/** The same for a person, one block a tunnel. */
export function showText(config: ResolvedConfig, names: readonly string[], ownStore: string): string {
  const blocks = selected(config, names).map((tunnel) => tunnelLines(tunnel, ownStore).join('\n'));
  return blocks.map((block) => `${block}\n`).join('\n');
}

function selected(config: ResolvedConfig, names: readonly string[]): readonly Tunnel[] {
  return config.tunnels.filter(({ name }) => names.includes(name));
}

function hop(host: Host, { agentSocket, ownStore }: ShowParts): ShownHop {
  return {
    name: host.name,
    hostname: host.hostname,
    port: host.port,
    user: host.user,
    identities: host.identities,
    certificates: host.certificates,
    ...(host.certificateCommand === null ? {} : { certificateCommand: host.certificateCommand.argv }),
    agent: agentPath(host.agent, agentSocket),
    proxyCommand: host.proxyCommand,
    hostKeyAlias: host.hostKeyAlias,
    knownHosts: [ownStore, ...host.knownHosts],
    hostKeys: host.hostKeys,
  };
}

function agentPath(agent: AgentRef, agentSocket: string | undefined): string | null {
  if (agent.from === 'socket') return agent.path;
  return agent.from === 'environment' ? agentSocket || null : null;
}

function ends(forward: Forward): { listen: string; target: string } {
  const auto = forward.type !== 'remote' && forward.listen.kind === 'tcp' && forward.listen.port === 0;
  const listen = auto
    ? formatEndpoint(forward.listen).replace(/:0$/, ':auto')
    : formatEndpoint(forward.listen);
  const target = forward.type === 'dynamic' || forward.target === null ? '*' : formatEndpoint(forward.target);
  return { listen, target };
}

function tunnelLines(tunnel: Tunnel, ownStore: string): string[] {
  const lines = [tunnel.name];
  for (const forward of tunnel.forwards) {
    const { listen, target } = ends(forward);
    const named = forward.name === null ? '' : `  (${forward.name})`;
    lines.push(line(forward.type, `${listen} → ${target}${named}`));
    if (forward.type !== 'local' && forward.allow.length > 0)
      lines.push(line('allow', forward.allow.join(', ')));
    if (forward.probe !== null) lines.push(line('probe', forward.probe.kind));
  }
  if (tunnel.tags.length > 0) lines.push(line('tags', tunnel.tags.join(', ')));
  for (const [variable, text] of Object.entries(tunnel.env))
    lines.push(line('env', `${variable}=${cleanText(text)}`));
  for (const [state, argv] of Object.entries(tunnel.hooks))
    lines.push(line(`on ${state}`, argv.map((word) => shellWord(cleanText(word))).join(' ')));
  const hold = tunnel.hold.kind === 'refuse' ? 'refuse' : formatDuration(tunnel.hold.ms);
  const { initialMs, maxMs } = tunnel.reconnect;
  lines.push(
    line('hold', hold),
    line('reconnect', `${formatDuration(initialMs)} to ${formatDuration(maxMs)}`),
  );
  const marks = [
    ...(tunnel.autostart ? [] : ['no autostart']),
    ...(tunnel.lazy ? ['lazy'] : []),
    ...(tunnel.share ? [] : ['own connection']),
    ...(tunnel.after.length > 0 ? [`after ${tunnel.after.join(', ')}`] : []),
  ];
  if (marks.length > 0) lines.push(line('start', marks.join(', ')));
  for (const [index, way] of tunnel.ways.entries()) {
    if (tunnel.ways.length > 1) lines.push(line(`way ${index + 1}`, way.map(({ name }) => name).join(' → ')));
    lines.push(...wayLines(way, ownStore));
  }
  return lines;
}

function wayLines(way: Way, ownStore: string): string[] {
  return way.flatMap((host, index) => [
    line(index === way.length - 1 ? 'server' : 'hop', `${host.name}  ${formatLogin(host)}`),
    ...hostLines(host, ownStore).map((each) => `  ${each}`),
  ]);
}

function hostLines(host: Host, ownStore: string): string[] {
  const agents = { none: 'none', environment: 'SSH_AUTH_SOCK', socket: '' };
  const agent = host.agent.from === 'socket' ? host.agent.path : agents[host.agent.from];
  const { intervalMs, count } = host.keepalive;
  const found: [string, string | null][] = [
    ['keys', host.identities.join(', ') || null],
    ['certificates', host.certificates.join(', ') || null],
    ['made by', madeBy(host)],
    [
      'agent',
      `${agent}${host.identitiesOnly && host.agent.from !== 'none' ? ', only for the keys above' : ''}`,
    ],
    ['auth', host.auth.join(', ')],
    ...(['password', 'passphrase', 'totp'] as const).map((kind): [string, string | null] => {
      const source = host[kind];
      return [kind, source === null ? null : formatSecretRef(source)];
    }),
    ['command', host.proxyCommand],
    [
      'proxy',
      host.proxy === null
        ? null
        : `${host.proxy.scheme}://${formatAddress({ hostname: host.proxy.host, port: host.proxy.port })}`,
    ],
    ['host keys', `${host.hostKeys}${host.hostKeyAlias === null ? '' : `, as ${host.hostKeyAlias}`}`],
    ['known hosts', [ownStore, ...host.knownHosts].join(', ')],
    ['keepalive', intervalMs === 0 ? 'off' : `${formatDuration(intervalMs)} x ${count}`],
    ['connect', limitWords(host)],
    ...Object.entries(host.algorithms).map(([kind, names]): [string, string | null] => [
      kind,
      names?.join(',') ?? null,
    ]),
    ['compression', host.compression ? 'on' : null],
    ['from', host.bindAddress],
    ['family', host.addressFamily === 'any' ? null : host.addressFamily],
  ];
  return found.flatMap(([label, text]) => (text === null ? [] : [line(label, text)]));
}

function madeBy({ certificateCommand: made }: Host): string | null {
  if (made === null) return null;
  const words = made.argv.map((word) => shellWord(cleanText(word))).join(' ');
  return `${words}  (${formatDuration(made.renewBeforeMs)} before it ends)`;
}

function line(label: string, text: string): string {
  return `  ${label.padEnd(12)}  ${text}`;
}

function limitWords({ connectTimeoutMs, firstWordsMs }: Host): string {
  const limit = connectTimeoutMs === longestMs ? 'no limit' : `within ${formatDuration(connectTimeoutMs)}`;
  return firstWordsMs === null ? `first words: no limit, key exchange: ${limit}` : limit;
}
