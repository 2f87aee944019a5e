// Handlers: what each method of the control protocol does, in one call of the engine. Nothing here waits for a dial but
// the commands that are about waiting.
import { matchSelectors, selects, type Selectable } from '../config/selectors.ts';
import type { Call, Handlers } from '../control/connection.ts';
import type { DownResult, UpParams, UpProgress, UpResult, WhyResult } from '../control/protocol.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import { meantByDefault } from '../model/status.ts';
import { Secret } from '../model/secret.ts';
import { portsCommand, portsLimits } from '../model/server-ports.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { StatusDocument, SupervisorStatus, TunnelStatus } from '../model/status.ts';
import type { Engine, KnownTunnel, UpRequest } from '../supervisor/engine.ts';
import type { ConfigSource } from './config-source.ts';
import type { Leases } from './leases.ts';
import { withKnownAgents } from '../model/environment.ts';
import { waitFor, type WaitingCommand, type WaitingParts } from './waiting.ts';
import { checkTargets } from '../forward/try-ends.ts';

export interface HandlerParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly supervisor: () => SupervisorStatus;
  /** Reads the file and applies it. Throws CONFIG_…; what runs is then untouched. */
  readonly reload: ConfigSource['reload'];
  /**
   * Brings up what was wanted before this supervisor started, once, but for what the command at hand brings up itself;
   * the agents are those of that command.
   */
  readonly restore: (agents: readonly string[], except: readonly string[]) => void;
  /** Tunnels that were brought up again, at a command's call or by themselves, and that no command was told of yet. */
  readonly broughtBack: () => readonly string[];
  readonly leases: Leases;
  /** Ad-hoc tunnels among these are over: they are kept no longer. */
  readonly forget: (names: readonly string[]) => Promise<void>;
  /** Resolves when the wanted marks are on disk. */
  readonly remembered: () => Promise<void>;
  /** Ends the supervisor after the answer. `ifIdle`: only when nothing is wanted; answers whether it ends. */
  readonly end: (ifIdle: boolean) => boolean;
  readonly handOver: Handlers['hand-over'];
  /** Ends what a supervisor that this one has replaced still carries for tunnels. */
  readonly endEarlier: (names: readonly string[], drainMs: number) => Promise<void>;
}

/** Changes within this time are one snapshot for `watch`. */
const joinMs = 50;

export function createHandlers(parts: HandlerParts): Handlers {
  const { engine, clock } = parts;
  const document = (names: readonly string[]): StatusDocument => ({
    version: 1,
    supervisor: parts.supervisor(),
    tunnels: engine.status(names),
  });
  const answered = new Set<(question: string) => void>();
  const waiting: WaitingParts = {
    engine,
    clock,
    document,
    onAnswered(listener) {
      answered.add(listener);
      return () => answered.delete(listener);
    },
  };
  return {
    ...lookers(parts, document),
    ...bringers(parts, waiting),
    async reload({ prune }) {
      const { changes, warnings, inUse } = await parts.reload(prune);
      const since = new Date(inUse.sinceMs).toISOString();
      return {
        applied: changes.length > 0,
        changes,
        warnings,
        inUse: { since, changes: inUse.changes },
        page: parts.supervisor().page ?? null,
      };
    },
    answer({ question, value }) {
      const taken = engine.answer(question, value === null ? null : new Secret(value));
      if (taken) for (const listener of answered) listener(question);
      return Promise.resolve({ taken });
    },
    recheck({ hosts }) {
      engine.recheck(hosts);
      return Promise.resolve(null);
    },
    async leased(_, call) {
      await parts.leases.over(call.signal);
      return null;
    },
    async release(_, call) {
      await parts.leases.release(call.signal);
      return null;
    },
    'hand-over': (params, call) => parts.handOver(params, call),
    shutdown() {
      parts.end(false);
      return Promise.resolve(null);
    },
  };
}

/** Handlers that change nothing. */
function lookers(
  parts: HandlerParts,
  document: (names: readonly string[]) => StatusDocument,
): Pick<Handlers, 'status' | 'watch' | 'flows' | 'why' | 'ports'> {
  const chosen = (selectors: readonly string[]): StatusDocument =>
    document(select(selectors, parts.engine.known(), 'all'));
  return {
    status: ({ selectors }) => Promise.resolve(chosen(selectors)),
    watch: ({ selectors }, call) => watch(() => chosen(selectors), call, parts),
    flows({ selectors, most }) {
      const names = select(selectors, parts.engine.known(), 'all');
      return Promise.resolve({ flows: parts.engine.flows(names, most) });
    },
    why: ({ name }, call) => why(name, call, parts),
    async ports({ name }) {
      const [known] = select([name], parts.engine.known(), 'all');
      const session = known === undefined ? null : (parts.engine.examine(known)?.session ?? null);
      const output = await session?.runCommand?.(portsCommand, portsLimits);
      return output === undefined ? null : { output: output.toString('utf8') };
    },
  };
}

/** Handlers that bring tunnels up or down, or wait for them. */
function bringers(
  parts: HandlerParts,
  waiting: WaitingParts,
): Pick<Handlers, 'up' | 'restart' | 'wait' | 'down'> {
  const { engine } = parts;
  let agents: readonly string[] = [];
  const request = (params: UpParams): UpRequest => {
    const known = withKnownAgents(params.environment, agents);
    agents = known.agents;
    return requestOf(params, known.environment);
  };
  const bringing = { ...parts, waiting, request, agents: () => agents };
  return {
    up: (params, call) => broughtUp(params, call, false, bringing),
    restart: (params, call) => broughtUp(params, call, true, bringing),
    wait({ selectors, timeoutMs }, call) {
      const names = select(selectors, engine.known(), 'wanted');
      const start = (): void => undefined;
      return waitFor({ names, timeoutMs, interactive: false, waiting: 'wait', start }, call, waiting);
    },
    async down({ selectors, drainMs }): Promise<DownResult> {
      parts.restore([], []);
      const names = select(selectors, engine.known(), 'all');
      parts.leases.drop(names);
      await Promise.all([engine.down(names, drainMs), parts.endEarlier(names, drainMs)]);
      await parts.remembered();
      const document = waiting.document(names);
      await parts.forget(names);
      return { document, ending: parts.end(true) };
    },
  };
}

/** A live link's targets are tried anew; everything else is told as it was recorded. */
async function why(name: string, call: Call<never>, { engine, clock }: HandlerParts): Promise<WhyResult> {
  const [known] = select([name], engine.known(), 'all');
  const examined = known === undefined ? null : engine.examine(known);
  const status = (): TunnelStatus | undefined => engine.status(known === undefined ? [] : [known])[0];
  const before = status();
  if (known === undefined || examined === null || before === undefined)
    throw new RangeError(`the engine knows ${name} but has no status of it`);
  const { tunnel, session, attempt, last } = examined;
  const { signal } = call;
  const targets = session === null ? [] : await checkTargets(tunnel, session, { clock, signal });
  return { tunnel: status() ?? before, steps: engine.loginSteps(known), attempt, last, targets };
}

interface BringUpParts extends HandlerParts {
  readonly waiting: WaitingParts;
  readonly request: (params: UpParams) => UpRequest;
  readonly agents: () => readonly string[];
}

/** `up`, and with `fresh` a `restart`: the file first, then what was wanted before, then what is asked for. */
async function broughtUp(
  params: UpParams,
  call: Call<UpProgress>,
  fresh: boolean,
  parts: BringUpParts,
): Promise<UpResult> {
  const { engine } = parts;
  const { variables } = params.environment;
  const brings = selector(params.selectors, fresh ? 'wanted' : 'autostart');
  const { warnings } = await parts.reload(false, { variables, brings });
  for (const text of warnings) call.progress({ kind: 'notice', text: `warning: ${text}` });
  const asked = parts.request(params);
  // Without selectors a restart is of what is wanted, also of what was wanted before this supervisor started.
  const everything = fresh && params.selectors.length === 0;
  if (everything) parts.restore(parts.agents(), []);
  const names = select(params.selectors, engine.known(), fresh ? 'wanted' : 'autostart');
  const start = (): void | Promise<void> => {
    if (params.lease !== undefined) parts.leases.take(names, params.lease.once, call.signal);
    else if (!everything) parts.leases.keep(names);
    parts.restore(parts.agents(), names);
    const back = parts.broughtBack().filter((name) => !names.includes(name));
    if (back.length > 0) call.progress({ kind: 'notice', text: backAgain(back) });
    if (!fresh) return engine.up(names, asked);
    void parts.endEarlier(names, 0);
    return engine.restart(names, asked);
  };
  const { timeoutMs, interactive } = params;
  const waiting = (params.lease?.probes ?? params.lease !== undefined) ? 'exec' : 'up';
  const command: WaitingCommand = { names, timeoutMs, interactive, waiting, start };
  const result = await waitFor(command, call, parts.waiting);
  await parts.remembered();
  return result;
}

function backAgain(names: readonly string[]): string {
  const [are, they] = names.length === 1 ? ['is', 'it was'] : ['are', 'they were'];
  return `${names.join(', ')} ${are} brought back too: ${they} wanted when the last supervisor ended unexpectedly`;
}

function requestOf(params: UpParams, environment: CallerEnvironment): UpRequest {
  const { acceptNew, remap, interactive } = params;
  return { acceptNew, remap, environment, personPresent: interactive };
}

/** Snapshots until the client leaves: one at once, then at most one each 50 ms, none while the last is unread. */
function watch(
  snapshot: () => StatusDocument,
  call: Call<StatusDocument>,
  parts: Pick<HandlerParts, 'engine' | 'clock'>,
): Promise<null> {
  call.progress(snapshot()); // throws here, before anything is to be cancelled, when a selector matches nothing
  return new Promise((resolve, reject) => {
    let pending: Cancel | null = null;
    const show = async (): Promise<void> => {
      if (call.behind) await call.whenRead();
      pending = null;
      if (!call.signal.aborted) call.progress(snapshot());
    };
    const change = (): void => {
      pending ??= parts.clock.schedule(joinMs, () => void show().catch(reject));
    };
    const cancel = parts.engine.onChange(change);
    const leave = (): void => {
      cancel();
      pending?.();
      resolve(null);
    };
    if (call.signal.aborted) leave();
    else call.signal.addEventListener('abort', leave, { once: true });
  });
}

/**
 * `up` without selectors means what has autostart; `restart` and `wait` what is wanted, else what has autostart; every
 * other command all (SPEC 2).
 */
type Default = 'autostart' | 'wanted' | 'all';

/** Names in the order of `known`. Throws NO_SUCH_TUNNEL for a selector that matches nothing. */
export function select(
  selectors: readonly string[],
  known: readonly KnownTunnel[],
  otherwise: Default,
): readonly string[] {
  if (selectors.length > 0 || otherwise === 'all') return matchSelectors(selectors, known);
  const meant = otherwise === 'wanted' ? meantByDefault(known) : known.filter(({ autostart }) => autostart);
  return meant.map(({ name }) => name);
}

/** Whether a command means a tunnel that is not known yet, in a file that is about to be read. */
export function selector(
  selectors: readonly string[],
  otherwise: Default,
): (tunnel: Selectable & { readonly autostart: boolean }) => boolean {
  if (selectors.length > 0) return (tunnel) => selectors.some((each) => selects(each, tunnel));
  return ({ autostart }) => otherwise !== 'autostart' || autostart;
}
