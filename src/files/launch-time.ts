// When a process was launched: with its pid it names a process for good, since pids come back and launch times do not.
import { readFileSync } from 'node:fs';
import { outputNow } from './child-now.ts';

/**
 * The launch of a running process as text, equal for as long as it lives. Null: no such process, or only its
 * zombie. Linux: boot id and start time from /proc (proc(5), field 22); elsewhere what ps(1) says.
 */
export function launchTimeOf(pid: number, platform: NodeJS.Platform): string | null {
  if (platform === 'linux') return fromProc(pid);
  if (platform === 'win32') return isRunning(pid) ? 'running' : null;
  return fromPs(pid);
}

function fromProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command's name stands in parentheses and may hold anything: count from the last one. State is field 3.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const started = fields[19];
    if (started === undefined || state === 'Z' || state === 'X') return null;
    return `${bootId()}:${started}`;
  } catch (thrown) {
    return absent(thrown);
  }
}

/** Null when the process is not there. Anything else is not known, and must not pass for "it is gone". */
function absent(thrown: unknown): null {
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ESRCH') return null;
  throw thrown;
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EPERM') return ''; // a sandbox hides it
    throw thrown;
  }
}

function fromPs(pid: number): string | null {
  const output = outputNow('/bin/ps', ['-o', 'stat=,lstart=', '-p', String(pid)], 5000);
  if (output === 1) return null; // no such process
  if (typeof output === 'number') throw new Error(`ps ended with ${output}`);
  const [state, ...started] = output.trim().split(/\s+/);
  return state === undefined || state === '' || state.startsWith('Z') ? null : started.join(' ');
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH
  }
}
