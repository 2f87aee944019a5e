// What a process costs, from /proc: processor time, memory, descriptors.
import { readdirSync, readFileSync } from 'node:fs';

/** Processor time of all threads of a process, in milliseconds; null when it is gone, or where there is no /proc. */
export function cpuMs(pid: number): number | null {
  try {
    const spent = readdirSync(`/proc/${pid}/task`).map((task) =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    );
    return spent.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6;
  } catch {
    return null;
  }
}

/** Starts to count the processor time of some processes; what it returns tells how many milliseconds they took since. */
export function countCpu(pids: readonly number[]): () => number | null {
  const before = pids.map((pid) => [pid, cpuMs(pid)] as const);
  return () => {
    const spent = before.flatMap(([pid, then]) => {
      const now = cpuMs(pid);
      return then === null || now === null ? [] : [now - then];
    });
    return spent.length === 0 ? null : spent.reduce((sum, each) => sum + each, 0);
  };
}

/** Proportional set size in MiB: shared pages are counted once in all. */
export function memory(pids: readonly number[]): number {
  const kibibytes = pids.map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? Number.NaN);
  });
  return kibibytes.reduce((sum, each) => sum + each, 0) / 1024;
}

/** The most that a process had resident so far, in MiB (proc(5), VmHWM). */
export function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) / 1024;
}

/** How many files, sockets and pipes a process has open. */
export function descriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}
