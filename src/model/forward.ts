// Forwards: one -L, -R or -D, fully resolved.
import type { Endpoint } from './endpoint.ts';
import type { SecretRef } from './secret.ts';

/** A check made through the tunnel (SPEC `probe:`). */
export type Probe =
  | { readonly kind: 'tcp' }
  | { readonly kind: 'http'; readonly url: string }
  | { readonly kind: 'greeting'; readonly pattern: string }
  | { readonly kind: 'postgres' }
  | { readonly kind: 'redis' };

interface ForwardBase {
  /** Null when the tunnel's only forward was written without a name. */
  readonly name: string | null;
  readonly probe: Probe | null;
}

/** -L: listens here, dialled from the server. Port 0 in `listen`: `auto`. */
export interface LocalForward extends ForwardBase {
  readonly type: 'local';
  readonly listen: Endpoint;
  readonly target: Endpoint;
  readonly protocol: 'ftp' | null;
}

/** -R: listens on the server (port 0: the server picks), dialled here. `target` null: a SOCKS server with `allow`. */
export interface RemoteForward extends ForwardBase {
  readonly type: 'remote';
  readonly listen: Endpoint;
  readonly target: Endpoint | null;
  /** HOST:PORT globs the far side may reach when `target` is null. */
  readonly allow: readonly string[];
}

/** -D: SOCKS and HTTP CONNECT here, any target from the server. An empty `allow` allows all. */
export interface DynamicForward extends ForwardBase {
  readonly type: 'dynamic';
  readonly listen: Endpoint;
  readonly allow: readonly string[];
  readonly socksAuth: { readonly user: string; readonly password: SecretRef } | null;
}

export type Forward = LocalForward | RemoteForward | DynamicForward;
