// Units: durations, sizes and times as people read them.

const durationSteps: readonly (readonly [unit: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
];

/** An age or a wait in its largest whole unit: `14s`, `2m`, `3h`, `5d`. Below a second: `0s`. */
export function formatAge(ms: number): string {
  const step = durationSteps.find(([, size]) => ms >= size);
  return step === undefined ? '0s' : `${Math.floor(ms / step[1])}${step[0]}`;
}

/** A wait still to come, in whole seconds: `4s`. What is due at this moment reads `1s`: nothing has happened yet. */
export function formatWait(ms: number): string {
  return formatAge(Math.max(1, Math.ceil(ms / 1000)) * 1000);
}

/** A measured time: `3 ms`, `3.0 s`. */
export function formatElapsed(ms: number): string {
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A size in binary units: `15 B`, `1.2 MiB`, `120 GiB`. At most four characters and the unit. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (unit < byteUnits.length - 1 && value >= (unit === 0 ? 1024 : 1023.95)) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${byteUnits[unit]}`;
}

/** A round trip for the MS column: `12`, `0.4`, `-` where it is not known. */
export function formatLatency(ms: number | null): string {
  if (ms === null) return '-';
  return ms < 9.95 ? ms.toFixed(1).replace(/\.0$/, '') : String(Math.round(ms));
}

/** `1 tunnel`, `12 tunnels`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}

/** A moment for people, in local time: `09:14:07`, or with its date when it was not within the last 20 hours. */
export function formatMoment(iso: string, now: number): string {
  const at = new Date(iso);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(':');
  if (Math.abs(now - at.getTime()) < 20 * 3_600_000) return clock;
  return `${at.getFullYear()}-${twoDigits(at.getMonth() + 1)}-${twoDigits(at.getDate())} ${clock}`;
}

const twoDigits = (value: number): string => String(value).padStart(2, '0');
