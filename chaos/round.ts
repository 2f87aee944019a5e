// One round: a seed's faults strike while clients work; then all is calm, and everything must be as it was before.
import { calmSinceMs, hangBoundMs, recoveryBoundMs } from './bounds.ts';
import type { Connection } from './connection.ts';
import { Crew } from './crew.ts';
import { startFairClock, type FairClock } from './fair-clock.ts';
import { strikeAll, type Struck } from './faults.ts';
import { createRandom } from './random.ts';
import { resourcesOf, type Resources } from './resources.ts';
import { pathOf, setScene, type Scene } from './scene.ts';
import { createSchedule, type Schedule } from './schedule.ts';
import type { OpenWay } from './traffic.ts';
import { saidBetween, statusBoundMs, type History, type Loss } from './truth.ts';
import { watchStatus, type Watch } from './watch.ts';

export interface RoundOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Puts something of its own between the clients and a way: the proof that a lie is seen. */
  readonly disguise?: (way: OpenWay) => Promise<OpenWay>;
}

/** Everything that a round saw. */
export interface Evidence {
  readonly schedule: Schedule;
  readonly connections: readonly Connection[];
  readonly strikes: readonly Struck[];
  readonly histories: Readonly<Record<string, History>>;
  /** What was told as `lastError` of them: sessions that were lost. */
  readonly losses: Readonly<Record<string, readonly Loss[]>>;
  /** What the supervisor held before and after, with nobody connected. */
  readonly before: Resources;
  readonly after: Resources;
  /** Connections that the status calls open or held a second after the last one was over. */
  readonly leftOpen: number;
  /** What the status counted, by the names of ways. */
  readonly forwards: Readonly<Record<string, { readonly total: number; readonly failed: number }>>;
  /** Ways that did not serve when all was over. */
  readonly unserved: readonly string[];
  /** When the last fault was over, on the run's clock; and the end. */
  readonly calmMs: number;
  readonly endMs: number;
  readonly sshdLogs: Readonly<Record<'near' | 'inner', string>>;
  readonly supervisorLog: string;
}

const workersPerWay = 2;
/** A touch is served so soon when nothing is wrong. */
const touchBoundMs = 5000;
/** Descriptors are given back so soon. */
const settleBoundMs = 5000;
/** So long is looked at what it holds before anything strikes. */
const firstLookMs = 300;

/** A scene with its supervisor, which rounds are played on, one after the other. */
export interface Stage extends AsyncDisposable {
  readonly scene: Scene;
  readonly watch: Watch;
  readonly clock: FairClock;
  /** Who is at work now: the targets ask it which connections to expect. */
  crew: Crew | null;
}

/** What the tunnels and servers are told is the schedule's. */
export async function setStage(schedule: Schedule): Promise<Stage> {
  const clock = startFairClock();
  const at: { stage: Stage | null } = { stage: null };
  const scene = await setScene(schedule, (id) => at.stage?.crew?.known(id), clock);
  const watch = await watchStatus(scene.world, clock);
  at.stage = {
    scene,
    watch,
    clock,
    crew: null,
    async [Symbol.asyncDispose]() {
      await watch[Symbol.asyncDispose]();
      await scene[Symbol.asyncDispose]();
      clock[Symbol.dispose]();
    },
  };
  return at.stage;
}

export async function runRound(options: RoundOptions): Promise<Evidence> {
  const schedule = createSchedule(options.seed, options.seconds);
  await using stage = await setStage(schedule);
  return await playRound(stage, schedule, options); // the stage goes when it is over
}

type PlayOptions = Pick<RoundOptions, 'disguise'> & {
  /** The number of the round's first connection: no number comes twice on a stage. */
  readonly firstId?: number;
};

function crewFor({ clock, watch }: Stage, strikes: readonly Struck[], firstId: number): Crew {
  return new Crew({
    clock,
    firstId,
    patience(way) {
      const sinceMs = calmSinceMs(way.tunnel, strikes);
      return sinceMs === null ? null : { sinceMs, boundMs: hangBoundMs(way.tunnel) };
    },
    mayConnect: (way) => way.type !== 'remote' || watch.of(way.tunnel).at(-1)?.state === 'up',
  });
}

export async function playRound(
  stage: Stage,
  schedule: Schedule,
  { disguise, firstId = 0 }: PlayOptions = {},
): Promise<Evidence> {
  const { scene, watch, clock } = stage;
  const strikes: Struck[] = [];
  const crew = crewFor(stage, strikes, firstId);
  stage.crew = crew;
  const ways = await Promise.all(scene.ways.map((way) => disguise?.(way) ?? Promise.resolve(way)));
  const over = new AbortController();
  const looking = crew.watch(over.signal);
  const pid = scene.supervisor;
  const [startMs, counted] = [clock.now(), await countsOf(scene, {})];
  for (let round = 0; round < 3; round += 1) await touch(crew, ways, clock);
  const before = await settled(pid, watch, clock, null);

  const random = createRandom(schedule.seed).fork('clients');
  const working = Promise.all(ways.map((way) => crew.work(way, workersPerWay, random)));
  await strikeAll(scene, schedule.strikes, clock, (struck) => strikes.push(struck));
  await clock.sleep(strikes.length === 0 ? schedule.seconds * 1000 : 0);
  crew.stop();
  const calmMs = clock.now();
  await Promise.all([working, clock.sleep(statusBoundMs)]); // the status may not know yet of the last fault
  await watch.until(
    ({ tunnels }) => tunnels.every(({ state }) => state === 'up'),
    Math.max(...Object.keys(pathOf).map(recoveryBoundMs)),
  );
  const unserved = await touchAtLast(crew, ways, clock);
  const isQuiet = await watch.until(({ tunnels }) => openIn(tunnels) === 0, statusBoundMs);
  const leftOpen = isQuiet ? 0 : openIn(watch.last().tunnels);
  const after = await settled(pid, watch, clock, before);
  over.abort();
  await looking;
  return {
    schedule,
    strikes,
    before,
    after,
    leftOpen,
    unserved,
    forwards: await countsOf(scene, counted),
    calmMs,
    endMs: clock.now(),
    connections: crew.connections,
    histories: Object.fromEntries(
      Object.keys(pathOf).map((tunnel) => [tunnel, saidBetween(watch.of(tunnel), startMs, Infinity)]),
    ),
    losses: Object.fromEntries(Object.keys(pathOf).map((tunnel) => [tunnel, watch.lossesOf(tunnel)])),
    sshdLogs: { near: scene.sshds.near.log(), inner: scene.sshds.inner.log() },
    supervisorLog: await logOf(scene),
  };
}

/** What the status counted since it had counted so much. Asked anew: the watcher may not have been told of the last ones yet. */
async function countsOf({ world }: Scene, since: Evidence['forwards']): Promise<Evidence['forwards']> {
  const { tunnels } = await world.status();
  const counts = tunnels.flatMap(({ name, forwards }) =>
    forwards.map(({ name: forward, total, failed }) => {
      const way = `${name}.${forward}`;
      const before = since[way] ?? { total: 0, failed: 0 };
      return [way, { total: total - before.total, failed: failed - before.failed }] as const;
    }),
  );
  return Object.fromEntries(counts);
}

/** A short connection by every way; the names of those that were not served. */
async function touch(crew: Crew, ways: readonly OpenWay[], clock: FairClock): Promise<string[]> {
  const unserved: string[] = [];
  await Promise.all(
    ways.map(async (way) => {
      const served = crew.connect(way).then(({ client }) => client.seen === 'end');
      const late = clock.sleep(touchBoundMs).then(() => false);
      if (!(await Promise.race([served, late]))) unserved.push(way.name);
    }),
  );
  return unserved;
}

/** Once more by those that served nobody: the port of a remote forward is gone while it moves to a fresh session (SPEC 2). */
async function touchAtLast(crew: Crew, ways: readonly OpenWay[], clock: FairClock): Promise<string[]> {
  const first = await touch(crew, ways, clock);
  const moving = ways.filter(({ name, type }) => first.includes(name) && type === 'remote');
  if (moving.length > 0) await clock.sleep(2 * statusBoundMs);
  const again = await touch(crew, moving, clock);
  return first.filter((name) => again.includes(name) || !moving.some((way) => way.name === name));
}

const openIn = (tunnels: ReturnType<Watch['last']>['tunnels']): number =>
  tunnels.flatMap(({ forwards }) => forwards).reduce((sum, { open, held }) => sum + open + held, 0);

/**
 * The least that the supervisor holds once nobody is connected, and, the second time, once it holds no more than the first time. The
 * least: a link that rotates has two sessions for most of the time, and two such links need never have one each at the same moment.
 */
async function settled(
  pid: number,
  watch: Watch,
  clock: FairClock,
  before: Resources | null,
): Promise<Resources> {
  await watch.until(({ tunnels }) => openIn(tunnels) === 0, settleBoundMs);
  const endMs = clock.now() + (before === null ? firstLookMs : settleBoundMs);
  let least = resourcesOf(pid);
  while (clock.now() < endMs && (before === null || least.descriptors > before.descriptors)) {
    await clock.sleep(50);
    const now = resourcesOf(pid);
    if (now.descriptors <= least.descriptors) least = now;
  }
  return least;
}

async function logOf({ world }: Scene): Promise<string> {
  return (await world.run(['logs', '-n', '100000'])).stdout;
}
