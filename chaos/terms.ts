// What the tunnels and servers of a run are told besides their schedule. Pure.

/** What the tunnels of a run are told; the bounds of what is asked of them follow from it. */
export const terms = {
  keepaliveMs: 500,
  keepaliveCount: 3,
  reconnectInitialMs: 100,
  reconnectMaxMs: 1000,
  connectTimeoutMs: 2000,
  /** sshd's own: when it gives up a session whose line is dead, and with it the ports that the session listens on. */
  clientAliveSeconds: 1,
  clientAliveCount: 3,
} as const;
