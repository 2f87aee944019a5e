// An sshd that is whatever server a config names: for files as people write them, with their own names, users, ports and jump hosts.
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';
import type { Sshd } from './sshd.ts';

/** Null where namespaces can be made (root, and the kernel lets us); else why tests are skipped. */
export function anyServerMissing(): string | null {
  try {
    execFileSync('unshare', ['-n', '-m', '-p', '-f', 'ip', 'link', 'set', 'lo', 'up'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'no network namespace can be made here';
  }
}

export interface Names {
  /** Login names that the server knows besides those of this machine; each is root under another name. */
  readonly users: readonly string[];
  /** Names and IPv4 addresses of servers behind a jump host: they are the same machine. */
  readonly hosts: readonly string[];
}

/**
 * A line of ssh_config for all hosts: each connection leads to a machine of its own, where sshd listens on the usual ports too.
 * Nothing listens on this machine, so that fixed ports are no matter; with the connection all of it is gone.
 */
export function leadsToAnyServer(sshd: Sshd, { users, hosts }: Names): string {
  const folder = temporaryFolder('any');
  const passwd = join(folder, 'passwd');
  const others = users.map((user) => `${user}:x:0:0::/root:/bin/sh\n`);
  writeFileSync(passwd, readFileSync('/etc/passwd', 'utf8') + others.join(''));
  writeFileSync(join(folder, 'hosts'), `127.0.0.1 localhost ${hosts.join(' ')}\n`);
  const config = `/usr/sbin/sshd -f ${join(sshd.folder, 'sshd_config')} -o PidFile=none -E ${join(folder, 'log')}`;
  const addresses = hosts.filter((host) => /^[\d.]+$/.test(host));
  const listen = addresses.map((address) => `-o ListenAddress=${address}`).join(' ');
  const inside = join(folder, 'inside.sh');
  writeFileSync(
    inside,
    `ip link set lo up
${addresses.map((address) => `ip addr add ${address}/32 dev lo\n`).join('')}mount --bind ${passwd} /etc/passwd
mount --bind ${join(folder, 'hosts')} /etc/hosts
${config} ${listen} -p 22 -p 2222
exec ${config} -i
`,
  );
  chmodSync(inside, 0o700);
  return `ProxyCommand unshare -n -m -p -f --kill-child --mount-proc sh ${inside}\n`;
}
