// Weather: tells of a wake from sleep (the clock jumped) and of other network interfaces, so that links look at once.
import type { Cancel, Clock } from '../model/clock.ts';

/** What os.networkInterfaces() answers, as far as it matters here. */
export type Interfaces = Readonly<
  Record<string, readonly { readonly address: string; readonly internal: boolean }[] | undefined>
>;

export interface WeatherParts {
  readonly clock: Clock;
  readonly interfaces: () => Interfaces;
  readonly changed: (reason: string) => void;
}

const lookMs = 2_000;
/** A timer that is later than this was not merely busy: the machine slept, or the clock was set. */
const jumpMs = 10_000;

/** Looks every 2 s until cancelled. */
export function watchWeather({ clock, interfaces, changed }: WeatherParts): Cancel {
  let before = addressesOf(interfaces());
  let lookedAtMs = clock.now();
  let cancel: Cancel = () => {};
  const look = (): void => {
    const late = clock.now() - lookedAtMs - lookMs;
    lookedAtMs = clock.now();
    cancel = clock.schedule(lookMs, look);
    const now = addressesOf(interfaces());
    const change = describeChange(before, now);
    before = now;
    if (Math.abs(late) > jumpMs)
      changed(late > 0 ? `woke after ${Math.round(late / 1000)}s` : 'the clock was set back');
    else if (change !== null) changed(change);
  };
  cancel = clock.schedule(lookMs, look);
  return () => cancel();
}

/** "name address" of all that leads anywhere: link-local addresses come and go with every container. */
function addressesOf(interfaces: Interfaces): ReadonlySet<string> {
  const found = Object.entries(interfaces).flatMap(([name, addresses]) =>
    (addresses ?? [])
      .filter(({ address, internal }) => !internal && !/^fe[89ab]/i.test(address))
      .map(({ address }) => `${name} ${address}`),
  );
  return new Set(found);
}

function describeChange(before: ReadonlySet<string>, now: ReadonlySet<string>): string | null {
  const came = [...now].find((address) => !before.has(address));
  if (came !== undefined) return `${came} came up`;
  const went = [...before].find((address) => !now.has(address));
  return went === undefined ? null : `${went} went away`;
}
