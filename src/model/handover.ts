// What a running supervisor has in hand, for the one that replaces it: listeners, what commands brought along, what people typed.
// Pure types.
import type { AdoptedListener, Listening } from './carrier.ts';
import type { Endpoint } from './endpoint.ts';
import type { Secret } from './secret.ts';
import type { CallerEnvironment } from './session.ts';
import type { Tunnel } from './tunnel.ts';

/** A listener of a forward: by its tunnel, its name there or its place, and its address in the config. */
export interface HandedListener extends Listening {
  readonly tunnel: string;
  readonly forward: string;
  readonly listen: Endpoint;
}

/** A tunnel that is wanted. */
export interface HandedTunnel {
  readonly name: string;
  /** As it runs, where the file has it no more; null where the file has it. */
  readonly orphan: Tunnel | null;
  /** Of the commands that brought it up. */
  readonly environment: CallerEnvironment;
  readonly remap: boolean;
  /** The server listens for it. */
  readonly remote: boolean;
}

/** Passwords and passphrases that a person typed, by what they belong to. Only memory and a pipe to a child ever hold them. */
export interface TypedSecrets {
  readonly passwords: readonly { readonly name: string; readonly secret: Secret }[];
  readonly passphrases: readonly {
    readonly path: string;
    readonly logins: readonly string[];
    readonly secret: Secret;
  }[];
}

export interface Handing {
  /** In the order in which commands brought them up. */
  readonly tunnels: readonly HandedTunnel[];
  readonly listeners: readonly HandedListener[];
  /** Links whose next login needs a person, by key. */
  readonly attended: readonly string[];
  readonly typed: TypedSecrets;
}

/** What the supervisor before this one had, as the engine asks for it. */
export interface Inheritance {
  /** Null: there was none, or it was asked for before. */
  listener(tunnel: string, forward: string, listen: Endpoint): AdoptedListener | null;
  /** Ends what the supervisor before this one has on the servers for a tunnel; resolves when it is gone. Null: nothing. */
  leaveServer(tunnel: string): Promise<void> | null;
}
