// The engine's door: what the daemon may ask of the supervisor, and what the supervisor needs from outside. Pure types.
import type { TunnelError } from '../errors.ts';
import type { CreateCarrier } from '../model/carrier.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { TunnelFlow } from '../model/flow.ts';
import type { Answer, PendingQuestion } from '../model/question.ts';
import type { CallerEnvironment, Dialer, DialStep, Session } from '../model/session.ts';
import type { Handing, Inheritance } from '../model/handover.ts';
import type { StateChange } from '../model/history.ts';
import type { TunnelStatus } from '../model/status.ts';
import type { ResolvedConfig, Tunnel } from '../model/tunnel.ts';

export interface EngineParts {
  readonly dialer: Dialer;
  readonly createCarrier: CreateCarrier;
  readonly clock: Clock;
  /** Uniform in [0, 1): jitter. */
  readonly random: () => number;
  readonly log: EngineLog;
  /** Ports that `auto` listeners had before, by "tunnel/forward"; the engine reports new ones through `onPorts`. */
  readonly ports: Readonly<Record<string, number>>;
  /** Of the supervisor that this one replaces. */
  readonly inheritance?: Inheritance | null;
}

export interface EngineLog {
  (
    level: 'debug' | 'info' | 'warn' | 'error',
    event: string,
    message: string,
    facts?: { tunnel?: string; link?: string; [key: string]: unknown },
  ): void;
}

/** Who asked, and on what terms. */
export interface UpRequest {
  readonly acceptNew: boolean;
  readonly environment: CallerEnvironment;
  readonly remap: boolean;
  /** A person sits at the terminal that asks: what needs a person is tried again. */
  readonly personPresent: boolean;
}

/**
 * How long a command waits for a tunnel. `up`: until the tunnel serves and its probes have answered, or a person or the owner
 * of a port must see to it, or somebody took it down. `exec`: the same, but until its probes are content. `wait`: until the tunnel
 * is ready, whatever is tried again meanwhile.
 */
export type Waiting = 'up' | 'exec' | 'wait';

/** Somebody who waits for tunnels, at a terminal or not, and hears words on the way. */
export interface Hearer {
  /** Words of somebody else: `who` is a host, or its proxy command. */
  banner(who: string, text: string): void;
  /** Words of our own: why it takes a while. */
  notice?(text: string): void;
}

/** Somebody at a terminal. Sees the questions of the links under the tunnels it attends. */
export interface Person extends Hearer {
  question(question: PendingQuestion): void;
  withdrawn(questionId: string): void;
}

/** The names, tags and marks that selectors are matched against. */
export interface KnownTunnel {
  readonly name: string;
  readonly tags: readonly string[];
  readonly autostart: boolean;
  readonly wanted: boolean;
  readonly orphan: boolean;
}

/** A tunnel at this moment, with what its link has seen of logins. */
export interface Examined {
  readonly tunnel: Tunnel;
  /** Null unless the link is up. */
  readonly session: Session | null;
  /** What the last attempt recorded, jump hosts first; null without a link. */
  readonly attempt: readonly DialStep[] | null;
  /** What the last login that succeeded recorded; null when there was none. */
  readonly last: readonly DialStep[] | null;
  /** Of the commands that brought it up; empty once it is down. */
  readonly environment: CallerEnvironment;
}

export interface ApplyOptions {
  readonly prune: boolean;
  /** True for a new tunnel that is brought up right after: nobody needs to be told how. Absent: none is. */
  readonly starts?: (tunnel: Tunnel) => boolean;
}

export interface Engine {
  /** Makes the config true without touching what did not change. Answers one sentence a change. */
  apply(config: ResolvedConfig, options: ApplyOptions): Promise<readonly string[]>;
  known(): readonly KnownTunnel[];
  /** Wants the tunnels: binds their ports and dials. Idempotent; cuts short a wait. Returns at once. */
  up(names: readonly string[], request: UpRequest): void;
  /** Like `up`, over a fresh link; ports stay bound; only these tunnels' connections are reset. */
  restart(names: readonly string[], request: UpRequest): Promise<void>;
  /** Resolves when local ports are closed and remote ones confirmed or 2 s have passed. */
  down(names: readonly string[], drainMs: number): Promise<void>;
  /**
   * Resolves when the tunnel is decided: null when it serves (or sleeps), its error when a person or a port must be
   * seen to, the last error (or TIMED_OUT) when the signal ends the waiting. For `wait` it must be ready, and what is
   * tried again by itself decides nothing. Counts as somebody waiting (TcpWatch).
   */
  settled(name: string, signal: AbortSignal, waiting?: Waiting): Promise<TunnelError | null>;
  /** They are in the config no longer: forgotten where they are down. */
  forget(names: readonly string[]): void;
  /** From memory, at once; what is not up comes first is the renderer's business. */
  status(names: readonly string[]): readonly TunnelStatus[];
  /** The connections of these tunnels, at most `most`, in no order. */
  flows(names: readonly string[], most: number): readonly TunnelFlow[];
  /** Steps that the live link's login recorded; null without a live link. */
  loginSteps(name: string): readonly DialStep[] | null;
  /** The facts that `why` looks into; null for a tunnel that does not exist. */
  examine(name: string): Examined | null;
  attend(names: readonly string[], person: Person): Cancel;
  /** Hears the words about these tunnels, as a person does; first the lines of a proxy command that still waits. */
  hear(names: readonly string[], hearer: Hearer): Cancel;
  /** False: answered or withdrawn before. Everybody who saw the question but `from` is told that it is withdrawn. */
  answer(questionId: string, answer: Answer, from?: Person): boolean;
  onChange(listener: () => void): Cancel;
  /** Called at each change of a tunnel's state, once. */
  onState(listener: (change: StateChange) => void): Cancel;
  /** Called with the wanted names whenever they change. */
  onWanted(listener: (names: readonly string[]) => void): Cancel;
  onPorts(listener: (ports: Readonly<Record<string, number>>) => void): Cancel;
  /** After a wake from sleep or a change of network interfaces: ends waits, probes live links, looks again at host keys. */
  lookAround(reason: string): void;
  /** Looks again at links that wait for a person on these hosts (all, when empty). */
  recheck(hosts: readonly string[]): void;
  /** What another process needs to go on with what is wanted. */
  handing(): Handing;
  /** Takes what people typed for another process, and which links need them. After `apply`, before `up`. */
  inherit(handing: Pick<Handing, 'attended' | 'typed'>): void;
  /** True while a link is attended or holds what a person typed: a fresh login may need them. */
  readonly needsPerson: boolean;
  /** Listens no more (`server`: for these tunnels on theirs): another process does. What runs or is held goes on. */
  letGo(where: 'here' | 'server', names: readonly string[]): Promise<void>;
  /** Connections that run or wait. */
  readonly connections: number;
  /** Ends everything; wanted marks are not changed. */
  close(drainMs: number): Promise<void>;
}
