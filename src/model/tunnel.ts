// A tunnel fully resolved: a named set of forwards over one link. What the config means after defaults and ssh_config.
import type { Forward } from './forward.ts';
import type { Way } from './host.ts';

/** The fate of a connection that arrives while the link is away: wait that long, or no listener at all. */
export type Hold = { readonly kind: 'wait'; readonly ms: number } | { readonly kind: 'refuse' };

/** The states at which a hook runs. */
export type HookState = 'up' | 'down' | 'needs-you';

/** Commands by the state that a tunnel comes to: a program and its arguments. */
export type Hooks = Readonly<Partial<Record<HookState, readonly string[]>>>;

export interface Tunnel {
  readonly name: string;
  /** The word after `host:`. */
  readonly host: string;
  /** One way, or the alternatives of `ways:` in order. */
  readonly ways: readonly [Way, ...Way[]];
  readonly forwards: readonly Forward[];
  readonly tags: readonly string[];
  readonly autostart: boolean;
  readonly lazy: boolean;
  /** Null: never. */
  readonly idleTimeoutMs: number | null;
  readonly hold: Hold;
  readonly reconnect: { readonly initialMs: number; readonly maxMs: number };
  /** The age at which a session is replaced by a fresh one; null: never. */
  readonly rotateMs: number | null;
  readonly share: boolean;
  /** Variables for `env` and `exec`, with {host} {port} {address} to fill in. */
  readonly env: Readonly<Record<string, string>>;
  readonly open: string | null;
  /** Names of tunnels that must be up before this one. */
  readonly after: readonly string[];
  readonly hooks: Hooks;
}

/** Where metrics are served; `page`: the page too. */
export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
  readonly page: boolean;
}

/** The meaning of one config file: everything the supervisor works from. */
export interface ResolvedConfig {
  /** Absolute path of the file. */
  readonly file: string;
  readonly tunnels: readonly Tunnel[];
  /** Sentences for the user, e.g. of ssh_config keys that are not used. */
  readonly warnings: readonly string[];
  readonly metrics: MetricsAddress | null;
  /** False switches desktop notifications off. */
  readonly notify: boolean;
  /** Variables that `env:` sources of hosts name where no tunnel goes (yet): no command gets them either. */
  readonly secretVariables?: readonly string[];
}
