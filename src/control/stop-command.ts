// The command that ends a supervisor for good, whoever started it: a unit's is ended by its unit, or systemd starts it again.
import { readFileSync } from 'node:fs';
import type { HintCommand } from '../errors.ts';

/** Fit to paste. One in the background ends with its last tunnel. `proc`: where the process table is mounted. */
export function stopCommand(pid: number, proc = '/proc'): string | HintCommand {
  const argv = (readProcess(proc, pid, 'cmdline') ?? '').split('\0');
  if (argv.includes('__supervise')) return { command: 'down' };
  return unitCommand('stop', pid, proc) ?? `kill ${pid}`;
}

/** Somebody else started it and waits for it: a unit, a container, a person at a terminal. */
export function isForeground(pid: number, proc = '/proc'): boolean {
  return (readProcess(proc, pid, 'cmdline') ?? '').split('\0').includes('--foreground');
}

/** The systemctl command for the unit that runs a supervisor; null where none does. */
export function unitCommand(verb: 'stop' | 'restart', pid: number, proc = '/proc'): string | null {
  const read = (of: number | string, what: string): string => readProcess(proc, of, what) ?? '';
  // One in the background was let go of by whatever unit its first command ran in (cron's, say): that is not its own.
  const parent = /^PPid:\s*(\d+)/m.exec(read(pid, 'status'))?.[1] ?? '';
  if (!isForeground(pid, proc) || read(parent, 'comm').trim() !== 'systemd') return null;
  const unit = unitIn(read(pid, 'cgroup'));
  return unit === null ? null : `systemctl${unit.user ? ' --user' : ''} ${verb} ${unit.name}`;
}

/** Null where there is no such process table (macOS), or the process has just ended. */
function readProcess(proc: string, pid: number | string, what: string): string | null {
  try {
    return readFileSync(`${proc}/${pid}/${what}`, 'utf8');
  } catch {
    return null;
  }
}

/** The unit of a process, from its control group (cgroups(7)). */
function unitIn(cgroup: string): { readonly name: string; readonly user: boolean } | null {
  const path = /^0::(.*)$/m.exec(cgroup)?.[1] ?? '';
  const name = path.split('/').at(-1) ?? '';
  return /^[\w@:.\\-]+\.service$/.test(name) ? { name, user: path.includes('/user@') } : null;
}
