// Once around a whole run: one root for every temp folder, and at the end nothing is left of it, no file and no process.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Makes the root before the first test; the returned function is run after the last one. */
export default function setup(): () => void {
  const root = mkdtempSync(join(tmpdir(), 'tt-'));
  process.env['TUNNEL_TEST_ROOT'] = root;
  return () => {
    for (const { pid, command } of processesUnder(root)) {
      console.warn(`left behind by a test, ended now: ${pid} ${command}`);
      end(pid);
    }
    rmSync(root, { recursive: true, force: true, maxRetries: 3 });
  };
}

/** Processes whose command line names something below the root: only ours can. Linux; elsewhere none are found. */
function processesUnder(root: string): { pid: number; command: string }[] {
  const pids = process.platform === 'linux' ? readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : [];
  return pids.flatMap((name) => {
    const pid = Number(name);
    const command = commandOf(pid);
    return pid !== process.pid && command.includes(root) ? [{ pid, command }] : [];
  });
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return ''; // it ended by itself in the meantime
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself in the meantime
  }
}
