// The command line of OpenSSH that goes the way a tunnel goes: with its keys, what is trusted here, and each hop in turn.
import type { Host, Way } from '../model/host.ts';
import { shellWord } from '../model/shell-word.ts';

/** `store`: our own known_hosts, read beside the host's own. Ready for a shell; for a way over a proxy it is no more than its last steps. */
export function sshCommand(way: Way, store: string, options: readonly string[] = []): string {
  const last = way.at(-1) ?? way[0];
  const words = [...options, ...hostOptions(last, store), ...wayOptions(way, store)];
  return ['ssh', ...words, `${last.user}@${last.hostname}`].map(shellWord).join(' ');
}

function hostOptions(host: Host, store: string): readonly string[] {
  const keys = host.identitiesOnly ? host.identities : [];
  return [
    ...keys.flatMap((path) => ['-i', path]),
    ...(keys.length === 0 ? [] : ['-o', 'IdentitiesOnly=yes']),
    ...(host.hostKeyAlias === null ? [] : ['-o', `HostKeyAlias=${host.hostKeyAlias}`]),
    // What ssh learns goes into the first of them, which is not ours.
    '-o',
    `UserKnownHostsFile=${[...host.knownHosts.slice(0, 1), store].map(quoted).join(' ')}`,
    ...(host.port === 22 ? [] : ['-p', String(host.port)]),
  ];
}

/** A jump by `-J` would take none of these options, so each is a proxy command of the next. */
function wayOptions(way: Way, store: string): readonly string[] {
  const [nearest, ...others] = way.slice(0, -1);
  if (nearest !== undefined) {
    const jump = sshCommand([nearest, ...others], store).replaceAll('%', '%%');
    return ['-o', `ProxyCommand=${jump.replace(/^ssh/, 'ssh -W %h:%p')}`];
  }
  const { proxyCommand } = way[0];
  return proxyCommand === null ? [] : ['-o', `ProxyCommand=${proxyCommand}`];
}

/** As ssh_config(5) takes a path with blanks. */
const quoted = (path: string): string => (/\s/.test(path) ? `"${path}"` : path);
