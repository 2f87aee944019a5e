// Watches the network: tells of a wake from sleep and of other network interfaces, so that links look at once.
import type { Cancel, Clock } from '../model/clock.ts';

/** The answer of os.networkInterfaces(), as far as it matters here. */
export type Interfaces = Readonly<
  Record<string, readonly { readonly address: string; readonly internal: boolean }[] | undefined>
>;

export interface NetworkWatchParts {
  readonly clock: Clock;
  readonly interfaces: () => Interfaces;
  readonly changed: (reason: string) => void;
  /** After a wake, before `changed`: wall clock when the machine was last seen awake. */
  readonly slept?: (fromMs: number) => void;
}

const lookMs = 2_000;
/** The wall clock goes on while the machine sleeps and the monotonic one does not (on Linux): so far ahead is a wake. */
const aheadMs = 5_000;
/** Where both go on (macOS, Windows), or this process alone was stopped: a timer so late was not merely busy. */
const lateMs = 10_000;

/** Looks every 2 s until cancelled. */
export function watchNetwork({ clock, interfaces, changed, slept }: NetworkWatchParts): Cancel {
  let before = addressesNow(interfaces);
  let looked = { wallMs: clock.now(), ms: clock.monotonic() };
  let cancel: Cancel = () => {};
  const look = (): void => {
    const now = { wallMs: clock.now(), ms: clock.monotonic() };
    const passedMs = now.ms - looked.ms;
    const ahead = now.wallMs - looked.wallMs - passedMs;
    const late = passedMs - lookMs;
    const woke = ahead >= aheadMs || late > lateMs;
    if (woke) slept?.(looked.wallMs);
    looked = now;
    cancel = clock.schedule(lookMs, look);
    const addresses = addressesNow(interfaces);
    const change = before === null || addresses === null ? null : describeChange(before, addresses);
    before = addresses ?? before;
    if (woke) changed(`woke after ${Math.round(Math.max(ahead, late) / 1000)}s`);
    else if (change !== null) changed(change);
  };
  cancel = clock.schedule(lookMs, look);
  return () => cancel();
}

/** Null: the system does not tell now (it wants a descriptor for it, and there may be none left). */
function addressesNow(interfaces: () => Interfaces): ReadonlySet<string> | null {
  try {
    return addressesOf(interfaces());
  } catch {
    return null; // the next look asks again
  }
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
