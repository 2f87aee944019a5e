// The known_hosts files that ssh itself reads by default (ssh_config(5)): ours to read, never to write.
import { join } from 'node:path';
import type { PlaceFacts } from '../paths.ts';

export function foreignKnownHosts({ home }: Pick<PlaceFacts, 'home'>): readonly string[] {
  return [
    join(home, '.ssh', 'known_hosts'),
    join(home, '.ssh', 'known_hosts2'),
    '/etc/ssh/ssh_known_hosts',
    '/etc/ssh/ssh_known_hosts2',
  ];
}
