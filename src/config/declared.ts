// The config as written: all files together, every value read, nothing resolved. What the rules, consent and resolve work on.
import type { Forward } from '../model/forward.ts';
import type { MetricsAddress } from '../model/tunnel.ts';
import type { FileSettings, HostSettings, TunnelSettings } from './schema.ts';

export interface DeclaredHost {
  readonly name: string;
  readonly settings: HostSettings;
  /** Folder of the file it stands in: relative paths begin there. */
  readonly folder: string;
}

export interface DeclaredTunnel {
  readonly name: string;
  /** The settings at the tunnel itself. */
  readonly own: TunnelSettings;
  /** The same over `defaults`. */
  readonly settings: TunnelSettings;
  /** In no file of the user's: consent is not about it. */
  readonly adhoc: boolean;
  /** Socket paths are still as written (~/ and ./). */
  readonly forwards: readonly Forward[];
  readonly folder: string;
}

export interface Declared {
  /** Absolute path of the main file. */
  readonly file: string;
  /** Every file it was read from, the main one first. */
  readonly files: readonly string[];
  readonly defaults: TunnelSettings;
  readonly hosts: ReadonlyMap<string, DeclaredHost>;
  readonly tunnels: ReadonlyMap<string, DeclaredTunnel>;
  readonly metrics: MetricsAddress | null;
  readonly notify: boolean;
  readonly hooks: NonNullable<FileSettings['hooks']>;
}

/** Keys of which one level may set one, and which replace each other between levels. */
export const wayKeys = ['jump', 'proxy_command', 'proxy', 'ways'] as const;
/** Keys that write a tunnel's only forward; `forwards` stands for several. */
export const forwardKeys = ['type', 'local', 'remote', 'probe', 'allow', 'protocol'] as const;

/** `own` over `below`: key by key, but a way replaces a way as a whole, and forwards replace a forward. */
export function overlay(own: TunnelSettings, below: TunnelSettings): TunnelSettings {
  const kept: Record<string, unknown> = { ...below };
  const drop = (keys: readonly string[]): void => {
    for (const key of keys) delete kept[key];
  };
  if (wayKeys.some((key) => own[key] !== undefined)) drop(wayKeys);
  if (own.forwards !== undefined) drop(forwardKeys);
  else if (own.local !== undefined || own.remote !== undefined) drop(['forwards']);
  return {
    ...kept,
    ...own,
    ...(own.keepalive && below.keepalive ? { keepalive: { ...below.keepalive, ...own.keepalive } } : {}),
    ...(own.hooks && below.hooks ? { hooks: { ...below.hooks, ...own.hooks } } : {}),
    ...(own.reconnect && below.reconnect ? { reconnect: { ...below.reconnect, ...own.reconnect } } : {}),
  };
}
