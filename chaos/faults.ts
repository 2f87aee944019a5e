// Makes the faults of a schedule happen to a scene, for real, and remembers when each began, cut a link, and ended.
import { sendSignal } from '../test/helpers/sshd.ts';
import type { FairClock } from './fair-clock.ts';
import type { Line } from './line.ts';
import type { Scene } from './scene.ts';
import type { Fault, Place, Strike } from './schedule.ts';

/** A strike as it happened, on the run's clock. */
export interface Struck {
  readonly strike: Strike;
  readonly beganMs: number;
  /** When links through the place were cut in a way that the tunnel is told of at once. */
  cutMs: number | null;
  /** Null: not yet. */
  endedMs: number | null;
}

/** Strikes one after the other at each place, at their times; resolves when the last one is over. */
export async function strikeAll(
  scene: Scene,
  strikes: readonly Strike[],
  clock: FairClock,
  happened: (struck: Struck) => void,
): Promise<void> {
  const startMs = clock.now();
  await Promise.all(
    [...new Set(strikes.map(({ place }) => place))].map(async (spot) => {
      for (const strike of strikes.filter((each) => each.place === spot)) {
        await clock.sleep(startMs + strike.atMs - clock.now());
        await strikeOnce(scene, strike, clock, happened);
      }
    }),
  );
}

async function strikeOnce(
  scene: Scene,
  strike: Strike,
  clock: FairClock,
  happened: (struck: Struck) => void,
): Promise<void> {
  const struck: Struck = { strike, beganMs: clock.now(), cutMs: null, endedMs: null };
  happened(struck);
  const { place, fault } = strike;
  if (fault.kind === 'sleep') await sleepHere(scene, fault.forMs, clock);
  else if (place !== 'here') await make(scene, place, fault, clock, () => (struck.cutMs ??= clock.now()));
  struck.endedMs = clock.now();
}

type ServerFault = Exclude<Fault, { kind: 'sleep' }>;

/** Does it, waits, undoes it. `cut` is called when links are gone for everyone to see. */
async function make(
  scene: Scene,
  place: Place,
  fault: ServerFault,
  clock: FairClock,
  cut: () => void,
): Promise<void> {
  const line = scene.lines[place];
  const sshd = scene.sshds[place];
  switch (fault.kind) {
    case 'delay':
      line.change((state) => (state.delayMs = fault.delayMs));
      await clock.sleep(fault.forMs);
      return line.change((state) => (state.delayMs = 0));
    case 'rate':
      line.change((state) => (state.bytesPerSecond = fault.bytesPerSecond));
      await clock.sleep(fault.forMs);
      return line.change((state) => (state.bytesPerSecond = Infinity));
    case 'trickle':
      line.change(({ trickle }) => (trickle.up = trickle.down = fault.bytes));
      await clock.sleep(fault.forMs);
      return line.change(({ trickle }) => (trickle.up = trickle.down = 0));
    case 'cut':
      return cutLine(scene, place, fault, clock, cut);
    case 'freeze':
      return freezeLine(line, fault, clock);
    case 'reset':
      line.end('reset');
      return cut();
    case 'refuse': {
      const closed = line.refuse();
      cut();
      await clock.sleep(fault.forMs);
      await closed;
      return line.accept();
    }
    case 'kill':
      sshd.signalSessions(fault.signal);
      return cut();
    case 'stop':
      return stopProcesses(scene, place, fault, clock);
    case 'down':
      await sshd.stop();
      cut();
      await clock.sleep(fault.forMs);
      return sshd.start();
    case 'reload':
      return sendSignal([sshd.pid()], 'SIGHUP');
  }
}

async function freezeLine(
  line: Line,
  { who, directions, forMs }: Extract<Fault, { kind: 'freeze' }>,
  clock: FairClock,
): Promise<void> {
  if (who === 'old') {
    const thaw = line.freezeOld(directions);
    await clock.sleep(forMs);
    return thaw();
  }
  line.change(({ frozen }) => directions.forEach((direction) => frozen.add(direction)));
  await clock.sleep(forMs);
  line.change(({ frozen }) => frozen.clear());
}

async function sleepHere({ supervisor }: Scene, forMs: number, clock: FairClock): Promise<void> {
  sendSignal([supervisor], 'SIGSTOP');
  await clock.sleep(forMs);
  sendSignal([supervisor], 'SIGCONT');
}

async function cutLine(
  scene: Scene,
  place: Place,
  fault: Extract<Fault, { kind: 'cut' }>,
  clock: FairClock,
  cut: () => void,
): Promise<void> {
  const over = new AbortController();
  const done = (): void => {
    cut();
    over.abort();
  };
  const line = scene.lines[place];
  line.change((state) => (state.cut = { bytesLeft: fault.afterBytes, how: fault.how, done }));
  await clock.sleep(fault.forMs, over.signal);
  line.change((state) => (state.cut = null));
}

async function stopProcesses(
  { sshds }: Scene,
  place: Place,
  fault: Extract<Fault, { kind: 'stop' }>,
  clock: FairClock,
): Promise<void> {
  const sshd = sshds[place];
  const pids = [
    ...(fault.who === 'sessions' ? [] : [sshd.pid()]),
    ...(fault.who === 'listener' ? [] : sshd.sessionPids()),
  ];
  sendSignal(pids, 'SIGSTOP');
  await clock.sleep(fault.forMs);
  sendSignal(pids, 'SIGCONT');
}
