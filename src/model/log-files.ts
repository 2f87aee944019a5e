// The names of a supervisor's log files. Apart from log.ts, since `tunnel logs` reads them and must not load a logger.

/** Rotated files kept beside the current one. */
export const keptLogFiles = 4;

/** A log file ends and is renamed when it has this many megabytes. */
export const logFileMegabytes = 5;

/** File of a rotation: 0 is the one being written, 1 the one before it. */
export function logFileName(log: string, rotation: number): string {
  return rotation === 0 ? log : `${log}.${rotation}`;
}

/** Every name a log may have, oldest first. Not all of them exist. */
export function logFileNames(log: string): readonly string[] {
  return Array.from({ length: keptLogFiles + 1 }, (_, index) => logFileName(log, keptLogFiles - index));
}
