// What a process holds: descriptors and memory, as the kernel counts them.
import { readdirSync, readFileSync } from 'node:fs';

export interface Resources {
  readonly descriptors: number;
  /** Resident memory of its own (RssAnon), MiB. */
  readonly memoryMib: number;
}

export function resourcesOf(pid: number): Resources {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN);
  return { descriptors: readdirSync(`/proc/${pid}/fd`).length, memoryMib: Math.round(kib / 1024) };
}
