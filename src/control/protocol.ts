// The control protocol: newline-delimited JSON over the supervisor's socket. Types and limits; framing.ts moves the bytes.
import type { ErrorReport } from '../errors.ts';
import type { TunnelFlow } from '../model/flow.ts';
import type { PendingQuestion } from '../model/question.ts';
import type { CallerEnvironment, DialStep } from '../model/session.ts';
import type { StatusDocument, TunnelStatus } from '../model/status.ts';
import type { Finding } from '../model/why.ts';

/** Grows when a message changes its meaning. A supervisor answers every version from `oldest` to `current`. */
export const protocolVersion = { current: 1, oldest: 1 } as const;

/** A longer line ends the connection: nothing we send comes near. */
export const lineLimitBytes = 4 * 1024 * 1024;

/** Parameters and results of each method. A method with `progress` sends any number of those before its result. */
export interface Methods {
  /** First on every connection. */
  hello: {
    params: {
      protocol: number;
      version: string;
      /** From address.json; only where the socket cannot be kept to its owner (named pipes). */
      token?: string | undefined;
    };
    result: { protocol: number; version: string; pid: number; config: string };
  };
  /** Answered from memory, never waits for a dial. Empty selectors: all. */
  status: { params: { selectors: readonly string[] }; result: StatusDocument };
  /** Snapshots: one at once, then one after each change (joined for 50 ms), until the connection closes. */
  watch: { params: { selectors: readonly string[] }; progress: StatusDocument; result: null };
  /** Wants the tunnels; waits until each is up, asleep, failed for a person or a port, or the time is over. */
  up: { params: UpParams; progress: UpProgress; result: UpResult };
  /** Waits like `up`, but asks for nothing. */
  wait: {
    params: { selectors: readonly string[]; timeoutMs: number };
    progress: UpProgress;
    result: UpResult;
  };
  down: { params: { selectors: readonly string[]; drainMs: number }; result: DownResult };
  /** Answers when the lease of this connection is over because the tunnels were taken down, or the supervisor told to end. */
  leased: { params: Record<string, never>; result: null };
  /** Ends the lease of this connection; answers when what nobody needs any more is down. */
  release: { params: Record<string, never>; result: null };
  restart: { params: UpParams; progress: UpProgress; result: UpResult };
  reload: {
    params: { prune: boolean };
    result: {
      applied: boolean;
      changes: readonly string[];
      warnings: readonly string[];
      /** When what is in use was read, and what that changed; a supervisor of before it does not tell. */
      inUse?: { since: string; changes: readonly string[] };
      /** The URL of the page; null, or absent, where none is served. */
      page?: string | null;
    };
  };
  /** Answers a question seen in a progress. False: it was answered or withdrawn before. */
  answer: { params: { question: string; value: string | null }; result: { taken: boolean } };
  /** Something outside changed (`trust`, `secret set`): look at what waits for a person again. */
  recheck: { params: { hosts: readonly string[] }; result: null };
  /** The record of the live link's login. Null steps: there is no live link. */
  why: { params: { name: string }; result: WhyResult };
  /** Open connections of these tunnels, in no order; at most `most`, which are then not all. */
  flows: {
    params: { selectors: readonly string[]; most: number };
    result: { readonly flows: readonly TunnelFlow[] };
  };
  /** What the command of model/server-ports wrote on the server of that tunnel; null: there is no live link. */
  ports: { params: { name: string }; result: { readonly output: string } | null };
  /**
   * Starts another program in the supervisor's place, which goes on with all that this one has; answers when it serves.
   * The one request that needs no `hello`: it is the same in every protocol version.
   */
  'hand-over': { params: HandOverParams; result: { pid: number; version: string } };
  /** Ends the supervisor, wanted marks kept. */
  shutdown: { params: Record<string, never>; result: null };
}

export interface HandOverParams {
  /** Program and arguments that run the new version: [node, bin/tunnel.js]. */
  readonly program: readonly string[];
  /** Of the command that asks. */
  readonly protocol: number;
  /** A person asked for it, or is there to answer what the new one asks. Else a login that may need them refuses it. */
  readonly byPerson: boolean;
  /** As in `hello`. */
  readonly token?: string | undefined;
}

export type Method = keyof Methods;

export interface WhyResult {
  readonly tunnel: TunnelStatus;
  readonly steps: readonly DialStep[] | null;
  /** The record of the last attempt at a login; null or absent without a link. */
  readonly attempt?: readonly DialStep[] | null;
  /** The record of the last login that succeeded; null or absent when there was none. */
  readonly last?: readonly DialStep[] | null;
  /** Each target, tried anew over the live link. */
  readonly targets?: readonly Finding[];
}

export interface UpParams {
  /** Empty: all with autostart (`up`), all that are wanted (`restart`). */
  readonly selectors: readonly string[];
  readonly timeoutMs: number;
  /** A person is at a terminal: questions come as progress, answers by `answer` on the same connection. */
  readonly interactive: boolean;
  readonly acceptNew: boolean;
  readonly environment: CallerEnvironment;
  /** Use a free port for this run where the configured one is taken. */
  readonly remap: boolean;
  /** The tunnels are wanted as long as this connection lives; what is wanted anyway stays so. Absent: for good. */
  readonly lease?: Lease | undefined;
}

export interface Lease {
  /** The tunnels were made for this command alone. */
  readonly once: boolean;
  /** False: they are waited for without their probes. */
  readonly probes?: boolean | undefined;
}

export type UpProgress =
  /** This tunnel is decided: show its line. `error` null: it serves. */
  | { readonly kind: 'settled'; readonly tunnel: TunnelStatus; readonly error: ErrorReport | null }
  | { readonly kind: 'question'; readonly question: PendingQuestion }
  /** Answered elsewhere or no longer wanted: take the prompt away. */
  | { readonly kind: 'withdrawn'; readonly question: string }
  | { readonly kind: 'banner'; readonly host: string; readonly text: string }
  | { readonly kind: 'notice'; readonly text: string };

export interface UpResult {
  readonly document: StatusDocument;
  /** One entry for each selected tunnel that does not serve. */
  readonly failures: readonly { readonly tunnel: string; readonly error: ErrorReport }[];
}

export interface DownResult {
  readonly document: StatusDocument;
  /** Nothing is wanted any more: the supervisor ends after this answer. */
  readonly ending: boolean;
}

export type Request = {
  readonly [M in Method]: { readonly id: number; readonly method: M; readonly params: Methods[M]['params'] };
}[Method];

export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly progress: unknown }
  | { readonly id: number; readonly error: ErrorReport };
