// Carriers: a forward at work. The contract between a tunnel (supervisor/) and what carries its bytes (forward/). Pure types.
import type { TunnelError } from '../errors.ts';
import type { Clock } from './clock.ts';
import type { Endpoint } from './endpoint.ts';
import type { FlowView } from './flow.ts';
import type { Forward } from './forward.ts';
import type { Secret, SecretRef } from './secret.ts';
import type { CallerEnvironment, Session } from './session.ts';
import type { ProbeStatus } from './status.ts';
import type { Hold } from './tunnel.ts';

/** The link of a carrier, as far as the carrier knows it. */
export type LinkView =
  /** New connections go over this session. Running ones stay on the one they began with. */
  | { readonly state: 'up'; readonly session: Session }
  /**
   * No session now, but one is being sought. `sinceMs`: when the outage began (monotonic). `failures` grows with each
   * failed attempt of this outage; `reached` is true while an attempt is past its TCP connect.
   */
  | { readonly state: 'away'; readonly sinceMs: number; readonly failures: number; readonly reached: boolean }
  /** A person must act. Connections are reset at once, unless a person is at the question. */
  | { readonly state: 'blocked'; readonly personPresent: boolean }
  /** Lazy and not dialled: a connection wakes the link. */
  | { readonly state: 'asleep' };

export interface CarrierCounts {
  readonly open: number;
  readonly held: number;
  readonly total: number;
  readonly failed: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface CarrierStatus extends CarrierCounts {
  /** Real address after `auto` or a server-chosen port. */
  readonly listen: string;
  readonly target: string;
  readonly bound: boolean;
  readonly exposed: boolean;
  /** Why it does not serve (LISTEN_FAILED, FORWARD_REFUSED), or why the last connection failed while it does. */
  readonly error: TunnelError | null;
  /** True when `error` is about the forward itself, not one connection: the tunnel is then not `up`. */
  readonly broken: boolean;
  readonly errorAtMs: number | null;
  /** When a forward that is `broken` tries again by itself (monotonic). */
  readonly retryAtMs?: number | null;
  readonly probe: ProbeStatus | null;
}

/** What listens here, as another process can go on with it. */
export interface Listening {
  /** The real address. */
  readonly at: Endpoint;
  /** One a server here: two for both loopbacks, none for a listener on the server. */
  readonly descriptors: readonly number[];
}

/** A listener that the supervisor before this one handed over. */
export interface AdoptedListener {
  /** Once; then it is the taker's. Null: it was taken, or dropped. */
  take(): Listening | null;
  /** Stops listening there, unless it was taken. */
  drop(): void;
}

/** News of a carrier for its tunnel. Called from I/O callbacks: must not throw. */
export interface CarrierEvents {
  /** Something in `status()` other than byte counts changed. */
  changed(): void;
  /** A client waits for the link: wake a lazy one, try now. Called when the first is held and on each late arrival. */
  knock(): void;
  log(
    level: 'debug' | 'info' | 'warn',
    event: string,
    message: string,
    facts?: Record<string, unknown>,
  ): void;
}

export interface CarrierParts {
  readonly clock: Clock;
  readonly events: CarrierEvents;
  /** Last real port of an `auto` listener, to ask for again; null for none. */
  readonly preferredPort: number | null;
  /** Milliseconds to wait before retry number `retry` (1 is the first after a failure), by the tunnel's `reconnect`. */
  readonly backoffMs: (retry: number) => number;
  /** Reads the secret of `socks_auth`. Throws SECRET_MISSING. Without it such a forward refuses every client. */
  readonly readSecret?: (ref: SecretRef) => Promise<Secret>;
  /** Of the commands that brought the tunnel up: for `env:` sources. Absent: empty. */
  readonly environment?: () => CallerEnvironment;
  /** What listens here already. */
  readonly adopted?: AdoptedListener | null;
  /** Ends the listener that the supervisor before this one has on the server; resolves when it is gone. Null: it has none. */
  readonly predecessorLeaves?: (() => Promise<void> | null) | null;
}

export interface Carrier {
  readonly forward: Forward;
  /**
   * Binds what listens here; for a remote forward it is a no-op (the server listens, see `link`).
   * Throws LISTEN_FAILED naming the holder; may be called again after that. Resolves when bound.
   */
  open(): Promise<void>;
  /** The link changed. A remote forward asks the server to listen here and reports through `changed` and `status`. */
  link(view: LinkView): void;
  /** True when the running carrier can take over this changed forward (same listen address) without rebinding. */
  accepts(forward: Forward, hold: Hold): boolean;
  /** Takes over a forward that it `accepts`: new connections go to the new target. */
  replace(forward: Forward, hold: Hold): void;
  /** Cuts short a wait for the next try. Absent in a carrier that never waits. */
  retry?(): void;
  /** Resets running and held connections, keeps the listener (`restart`). */
  resetConnections(): void;
  status(): CarrierStatus;
  /** What listens now; null for nothing that could be handed to another process. */
  listening(): Listening | null;
  /** Listens no more, here or on the server, since another process goes on with the address. What runs or is held goes on. */
  letGo(): Promise<void>;
  /** Its connections, at most `most` of them, in no order. Absent in a carrier that cannot tell. */
  connections?(most: number): readonly FlowView[];
  /** Probes the target now; null while the link is not up, or without a probe. Absent in a carrier that cannot. */
  probe?(): Promise<ProbeStatus | null>;
  /** Stops listening at once, lets running connections end for `drainMs`, then resets them. Resolves when all is closed. */
  close(drainMs: number): Promise<void>;
}

/** Makes the carrier of a forward: the one place that knows which file serves which type. */
export type CreateCarrier = (forward: Forward, hold: Hold, parts: CarrierParts) => Carrier;
