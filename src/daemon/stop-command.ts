// The command that ends a supervisor for good, whoever started it: a unit's is stopped by its unit, or systemd starts it again.
import { readFileSync } from 'node:fs';

/** Fit to paste. `proc`: where the process table is mounted. */
export function stopCommand(pid: number, proc = '/proc'): string {
  try {
    const read = (of: number | string, what: string): string => readFileSync(`${proc}/${of}/${what}`, 'utf8');
    // One in the background was let go of by whatever unit its first command ran in (cron's, say): that is not its own.
    const isForeground = read(pid, 'cmdline').split('\0').includes('--foreground');
    const parent = /^PPid:\s*(\d+)/m.exec(read(pid, 'status'))?.[1] ?? '';
    const unit =
      isForeground && read(parent, 'comm').trim() === 'systemd' ? unitIn(read(pid, 'cgroup')) : null;
    if (unit !== null) return `systemctl${unit.user ? ' --user' : ''} stop ${unit.name}`;
  } catch {
    // no such process table (macOS), or the process has just ended
  }
  return `kill ${pid}`;
}

/** The unit of a process, from its control group (cgroups(7)). */
function unitIn(cgroup: string): { readonly name: string; readonly user: boolean } | null {
  const path = /^0::(.*)$/m.exec(cgroup)?.[1] ?? '';
  const name = path.split('/').at(-1) ?? '';
  return /^[\w@:.\\-]+\.service$/.test(name) ? { name, user: path.includes('/user@') } : null;
}
