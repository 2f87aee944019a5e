// `tunnel show`: what each tunnel comes to, every hop after defaults and ssh_config; secrets as their source only.
import { matchSelectors } from '../../config/selectors.ts';
import { formatEndpoint } from '../../model/endpoint.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import { formatSecretRef } from '../../model/secret.ts';
import type { Tunnel } from '../../model/tunnel.ts';
import type { Run } from '../command.ts';
import type { Context } from '../context.ts';
import { targetOf } from '../no-supervisor.ts';
import { readyConfig } from '../ready-config.ts';

export const show: Run = async (context, args) => {
  const config = await readyConfig(context);
  const names = new Set(matchSelectors(args.words, config.resolved.tunnels));
  const tunnels = config.resolved.tunnels.filter(({ name }) => names.has(name));
  if (context.options.json)
    context.out(
      JSON.stringify(
        tunnels.map((tunnel) => asJson(context, tunnel)),
        null,
        2,
      ),
    );
  else tunnels.forEach((tunnel, index) => print(context, tunnel, index > 0));
  for (const warning of config.resolved.warnings) context.talk(`warning: ${warning}`);
  return 0;
};

function agentOf(context: Context, host: Host): string | null {
  if (host.agent.from === 'socket') return host.agent.path;
  return host.agent.from === 'environment' ? (context.facts.env['SSH_AUTH_SOCK'] ?? null) : null;
}

function hopJson(context: Context, host: Host): Record<string, unknown> {
  return {
    name: host.name,
    hostname: host.hostname,
    port: host.port,
    user: host.user,
    identities: host.identities,
    certificates: host.certificates,
    agent: agentOf(context, host),
    proxyCommand: host.proxyCommand,
    hostKeyAlias: host.hostKeyAlias,
    knownHosts: host.knownHosts,
    hostKeys: host.hostKeys,
    identitiesOnly: host.identitiesOnly,
    auth: host.auth,
    password: host.password === null ? null : formatSecretRef(host.password),
    passphrase: host.passphrase === null ? null : formatSecretRef(host.passphrase),
    proxy: proxyOf(host),
    keepalive: host.keepalive,
    connectTimeoutMs: host.connectTimeoutMs,
  };
}

/** Without its password. */
function proxyOf({ proxy }: Host): string | null {
  if (proxy === null) return null;
  const user = proxy.user === null ? '' : `${proxy.user}@`;
  return `${proxy.scheme}://${user}${proxy.host}:${proxy.port}`;
}

function asJson(context: Context, tunnel: Tunnel): Record<string, unknown> {
  return {
    name: tunnel.name,
    hops: tunnel.ways[0].map((host) => hopJson(context, host)),
    forwards: tunnel.forwards.map((forward) => ({
      type: forward.type,
      listen: formatEndpoint(forward.listen),
      target: targetOf(forward),
    })),
    tags: tunnel.tags,
    ...(tunnel.ways.length > 1
      ? { ways: tunnel.ways.map((way) => way.map((host) => hopJson(context, host))) }
      : {}),
  };
}

function print(context: Context, tunnel: Tunnel, further: boolean): void {
  const { paint } = context;
  if (further) context.out('');
  context.out(paint.bold(tunnel.name));
  tunnel.ways.forEach((way, index) => {
    if (tunnel.ways.length > 1) context.out(`  ${paint.dim(`way ${index + 1}`)}`);
    way.forEach((host, hop) => printHop(context, host, hop === way.length - 1 ? 'server' : 'jump'));
  });
  for (const forward of tunnel.forwards) {
    const name = forward.name === null ? '' : ` (${forward.name})`;
    context.out(`  ${forward.type.padEnd(8)}${formatEndpoint(forward.listen)} → ${targetOf(forward)}${name}`);
  }
  if (tunnel.tags.length > 0) context.out(`  tags    ${tunnel.tags.join(', ')}`);
}

function printHop(context: Context, host: Host, role: string): void {
  const facts: [string, string][] = [
    ['identity', host.identities.join(', ')],
    ['certificate', host.certificates.join(', ')],
    ['agent', agentOf(context, host) ?? 'none'],
    ['auth', host.auth.join(', ')],
    ['password', host.password === null ? '' : formatSecretRef(host.password)],
    ['passphrase', host.passphrase === null ? '' : formatSecretRef(host.passphrase)],
    ['proxy', host.proxyCommand ?? proxyOf(host) ?? ''],
    [
      'host keys',
      [host.hostKeys, host.hostKeyAlias === null ? '' : `as ${host.hostKeyAlias}`].join(' ').trim(),
    ],
    ['known_hosts', host.knownHosts.join(', ')],
  ];
  context.out(`  ${role.padEnd(8)}${formatLogin(host)} (${host.name})`);
  for (const [name, value] of facts) {
    if (value !== '') context.out(`    ${context.paint.dim(name.padEnd(12))}${value}`);
  }
}
