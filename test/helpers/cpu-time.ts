// Processor time of this process: what an act costs, however busy the machine is.

/** Milliseconds that the act, and whatever runs beside it in this process, took. */
export function cpuMs(act: () => unknown): number {
  const before = process.cpuUsage();
  act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}
