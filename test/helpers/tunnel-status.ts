// A tunnel as `status --json` gives it: up, with two forwards that carry something. For tests of what is made of a status.
import { version } from '../../src/model/version.ts';
import type { StatusDocument, TunnelStatus } from '../../src/model/status.ts';

export function tunnelStatus(name: string, more: Partial<TunnelStatus> = {}): TunnelStatus {
  const forward = {
    name: null,
    type: 'local',
    listen: '127.0.0.1:1',
    target: 'db:1',
    bound: true,
    exposed: false,
    open: 2,
    held: 1,
    total: 7,
    failed: 3,
    bytesIn: 100,
    bytesOut: 50,
    error: null,
    probe: null,
  } as const;
  return {
    name,
    state: 'up',
    since: null,
    tags: [],
    autostart: true,
    wanted: true,
    host: 'katie',
    endpoint: 'me@katie:22',
    via: [],
    link: 'l1',
    orphan: false,
    reconnects: 4,
    attempt: 0,
    retryAt: null,
    latencyMs: 12.5,
    error: null,
    lastError: null,
    question: null,
    forwards: [forward, { ...forward, open: 1 }],
    algorithms: null,
    ...more,
  };
}

/** Of a supervisor that runs. */
export function statusDocument(tunnels: readonly TunnelStatus[]): StatusDocument {
  const since = '2026-11-22T08:00:00.000Z';
  const files = { config: '/t/tunnels.yaml', configError: null, nativeCrypto: true };
  return { version: 1, supervisor: { running: true, pid: 42, version, since, ...files }, tunnels };
}
