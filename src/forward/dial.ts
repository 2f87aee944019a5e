// Dialling from here: a target of a remote forward, TCP or unix, within a deadline.
import { connect, type Socket } from 'node:net';
import { TunnelError, type ErrorCode } from '../errors.ts';
import type { Clock } from '../model/clock.ts';
import type { GiveUpSignal } from '../model/give-up.ts';
import { formatEndpoint, type Endpoint } from '../model/endpoint.ts';
import { noRoomFor } from './descriptors.ts';

export interface DialLimits {
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Ends the attempt: rejects with LINK_LOST, since only a channel that is gone ends it. */
  readonly signal?: GiveUpSignal;
}

/** Why a dial failed, for those who must tell it on: facts.dial of its error. */
export type DialFault = 'refused' | 'unreachable' | 'unresolved' | 'timeout' | 'absent' | 'denied' | 'other';

/** Connects, half-open allowed, Nagle off. Throws UNREACHABLE or TIMED_OUT with facts.dial. */
export function dial(target: Endpoint, limits: DialLimits): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket =
      target.kind === 'unix'
        ? connect({ path: target.path, allowHalfOpen: true })
        : connect({
            host: target.host,
            port: target.port,
            allowHalfOpen: true,
            noDelay: true,
            autoSelectFamilyAttemptTimeout: 2000, // Node's 250 ms would give up on slow targets
          });
    // For good: what fails between here and the next listener shows as its 'close'.
    socket.on('error', () => undefined);
    const settle = (): void => {
      cancel();
      limits.signal?.removeEventListener('abort', abort);
      socket.off('connect', connected);
      socket.off('error', failed);
    };
    const giveUp = (error: TunnelError): void => {
      settle();
      socket.destroy();
      reject(error);
    };
    const connected = (): void => {
      const full = noRoomFor(socket);
      if (full !== null)
        return giveUp(fault(target, 'UNREACHABLE', 'too many descriptors are in use here', 'other'));
      settle();
      resolve(socket);
    };
    const failed = (error: NodeJS.ErrnoException): void => giveUp(dialError(target, error));
    const abort = (): void => giveUp(fault(target, 'LINK_LOST', 'nobody waits for it any more', 'other'));
    const cancel = limits.clock.schedule(limits.timeoutMs, () =>
      giveUp(fault(target, 'TIMED_OUT', `no answer in ${limits.timeoutMs / 1000}s`, 'timeout')),
    );
    socket.on('error', failed);
    socket.on('connect', connected);
    limits.signal?.addEventListener('abort', abort);
    if (limits.signal?.aborted === true) abort();
  });
}

const faults: Readonly<Record<string, readonly [DialFault, string]>> = {
  ECONNREFUSED: ['refused', 'connection refused'],
  EHOSTUNREACH: ['unreachable', 'no route to the host'],
  ENETUNREACH: ['unreachable', 'no route to the network'],
  EADDRNOTAVAIL: ['unreachable', 'no route to the host'],
  ENOTFOUND: ['unresolved', 'no such host name'],
  EAI_AGAIN: ['unresolved', 'the name server does not answer'],
  ETIMEDOUT: ['timeout', 'no answer'],
  ENOENT: ['absent', 'there is no such socket'],
  EACCES: ['denied', 'permission denied'],
  EPERM: ['denied', 'permission denied'],
};

function dialError(target: Endpoint, error: NodeJS.ErrnoException): TunnelError {
  // Several addresses of a name failed: what the last one said is as good as any.
  const last = error instanceof AggregateError ? (error.errors.at(-1) as NodeJS.ErrnoException) : error;
  const [kind, why] = faults[last.code ?? ''] ?? (['other', last.message] as const);
  return fault(target, kind === 'timeout' ? 'TIMED_OUT' : 'UNREACHABLE', why, kind);
}

function fault(target: Endpoint, code: ErrorCode, why: string, dial: DialFault): TunnelError {
  return new TunnelError(code, `connect failed, on ${formatEndpoint(target)}: ${why}`, { facts: { dial } });
}
