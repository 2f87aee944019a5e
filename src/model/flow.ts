// A forwarded connection as others see it: the local program's end, its age, its bytes. Pure types.

/** One forwarded connection at this moment. */
export interface FlowView {
  /** The program's end of it on this machine; null on a unix socket, and before a target was dialled here. */
  readonly peer: { readonly host: string; readonly port: number } | null;
  /** Our port of the same connection; null where `peer` is. */
  readonly port: number | null;
  readonly ageMs: number;
  /** False while it waits: for the link, or for its target. */
  readonly running: boolean;
  /** Received from the SSH side, and sent to it, with what a proxy's greeting took. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** The same, and whose it is. */
export interface TunnelFlow extends FlowView {
  readonly tunnel: string;
  readonly forward: string | null;
  /** Where it was accepted. */
  readonly listen: string;
}
