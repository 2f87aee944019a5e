// TCP to a name: every address of it, raced (RFC 8305), resolved afresh each time, within one deadline.
import { lookup, type LookupAddress } from 'node:dns';
import { connect, isIP, type OnReadOpts, type Socket } from 'node:net';
import { abortable } from '../../model/give-up.ts';
import type { Cancel, Clock } from '../../model/clock.ts';
import { formatHostPort } from '../../model/endpoint.ts';
import { codeOf, wordsOf } from '../failure.ts';
import { ReadSlabs } from '../channels/buffers.ts';
import { Gathering } from './gathering.ts';

export interface TcpTarget {
  readonly hostname: string;
  readonly port: number;
  readonly family: 'any' | 'inet' | 'inet6';
  readonly bindAddress: string | null;
  /** The socket emits 'data' from buffers that are used again, and is paused until its user resumes it. */
  readonly reusesReads: boolean;
}

export interface TcpConnection {
  readonly socket: Socket;
  readonly slabs: ReadSlabs | null;
  /** What answered: "203.0.113.10:22". */
  readonly address: string;
  readonly addresses: readonly string[];
  readonly dnsMs: number;
  readonly tcpMs: number;
}

/** Why there is no connection. `addresses` is empty when the name was not resolved. */
export class TcpFailure extends Error {
  readonly layer: 'dns' | 'tcp';
  readonly timedOut: boolean;
  /** Something took the connection and reset it at once: the host is there. */
  readonly reset: boolean;
  readonly addresses: readonly string[];
  readonly ms: number;

  constructor(
    layer: 'dns' | 'tcp',
    why: string,
    more: { timedOut: boolean; reset?: boolean; addresses: readonly string[]; ms: number },
  ) {
    super(why);
    this.layer = layer;
    this.timedOut = more.timedOut;
    this.reset = more.reset === true;
    this.addresses = more.addresses;
    this.ms = more.ms;
  }
}

/** RFC 8305 5: the next address is tried when the last has not answered for that long. */
const attemptDelayMs = 250;

/** Connects. Rejects with TcpFailure, or with the signal's reason when it is aborted. */
export async function connectTcp(
  to: TcpTarget,
  limits: { readonly timeoutMs: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<TcpConnection> {
  limits.signal.throwIfAborted();
  const started = performance.now();
  const elapsed = (): number => performance.now() - started;
  const deadline = createDeadline(limits);
  try {
    const found = await deadline.race(
      resolveName(to),
      () =>
        new TcpFailure('dns', `looking up the name took longer than ${seconds(limits.timeoutMs)}`, {
          timedOut: true,
          addresses: [],
          ms: elapsed(),
        }),
    );
    const dnsMs = elapsed();
    const addresses = found.map(({ address }) => address);
    const race = new Race(to, found, limits.clock);
    try {
      const winner = await deadline.race(
        race.winner,
        () =>
          new TcpFailure('tcp', `no answer in ${seconds(limits.timeoutMs)}${from(to, addresses)}`, {
            timedOut: true,
            addresses,
            ms: elapsed() - dnsMs,
          }),
      );
      return { ...winner, addresses, dnsMs, tcpMs: elapsed() - dnsMs };
    } catch (thrown) {
      race.abandon();
      throw thrown;
    }
  } finally {
    deadline.end();
  }
}

/** An address that was written as such is named by whoever tells of the failure. */
function from({ hostname }: TcpTarget, addresses: readonly string[]): string {
  return addresses.length === 1 && addresses[0] === hostname ? '' : ` from ${listed(addresses)}`;
}

/** At most four addresses in a message. */
function listed(addresses: readonly string[]): string {
  const shown = addresses.slice(0, 4).join(', ');
  return addresses.length > 4 ? `${shown} and ${addresses.length - 4} more` : shown;
}

function seconds(ms: number): string {
  return `${ms / 1000}s`;
}

function createDeadline(limits: { timeoutMs: number; clock: Clock; signal: AbortSignal }): {
  race<T>(work: Promise<T>, late: () => Error): Promise<T>;
  end(): void;
} {
  let expire: () => void = () => undefined;
  const cancel = limits.clock.schedule(limits.timeoutMs, () => expire());
  return {
    race<T>(work: Promise<T>, late: () => Error): Promise<T> {
      const timely = new Promise<T>((resolve, fail) => {
        expire = () => fail(late());
        work.then(resolve, fail);
      });
      return abortable(timely, limits.signal);
    },
    end: cancel,
  };
}

/** getaddrinfo, so that /etc/hosts, mDNS and nsswitch count; families alternate (RFC 8305 4). */
async function resolveName(to: TcpTarget): Promise<LookupAddress[]> {
  const kind = isIP(to.hostname);
  if (kind !== 0) return [{ address: to.hostname, family: kind }];
  const started = performance.now();
  const family = to.family === 'any' ? 0 : to.family === 'inet' ? 4 : 6;
  const found = await new Promise<LookupAddress[]>((resolve, reject) => {
    lookup(to.hostname, { all: true, family, order: 'verbatim' }, (error, addresses) => {
      if (error === null) resolve(addresses);
      else reject(dnsFailure(to, error, performance.now() - started));
    });
  });
  const first = found[0]?.family;
  const preferred = found.filter((entry) => entry.family === first);
  const others = found.filter((entry) => entry.family !== first);
  return preferred
    .flatMap((entry, index) => [entry, ...others.slice(index, index + 1)])
    .concat(others.slice(preferred.length));
}

function dnsFailure(to: TcpTarget, error: Error, ms: number): TcpFailure {
  const only = to.family === 'any' ? '' : ` (${to.family === 'inet' ? 'IPv4' : 'IPv6'} only)`;
  return new TcpFailure('dns', `${wordsOf(error)}${only}`, {
    timedOut: false,
    addresses: [],
    ms,
  });
}

interface Winner {
  readonly socket: Socket;
  readonly slabs: ReadSlabs | null;
  readonly address: string;
}

/** The first address that answers wins; the others are closed. Fails when all have failed. */
class Race {
  readonly winner: Promise<Winner>;
  readonly #to: TcpTarget;
  readonly #found: readonly LookupAddress[];
  readonly #clock: Clock;
  readonly #waiting: LookupAddress[];
  readonly #trying = new Set<Socket>();
  readonly #failures: string[] = [];
  readonly #started = performance.now();
  #reset = false;
  #over = false;
  #won: Socket | null = null;
  #cancel: Cancel = () => undefined;
  #resolve: (winner: Winner) => void = () => undefined;
  #reject: (failure: TcpFailure) => void = () => undefined;

  constructor(to: TcpTarget, found: readonly LookupAddress[], clock: Clock) {
    this.#to = to;
    this.#found = found;
    this.#clock = clock;
    this.#waiting = [...found];
    this.winner = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#next();
    if (found.length === 0)
      this.#reject(
        new TcpFailure('dns', 'the name has no address', { timedOut: false, addresses: [], ms: 0 }),
      );
  }

  /** Closes what is tried, and what has won in the very turn in which the race is given up. */
  abandon(): void {
    this.#end();
    this.#won?.destroy();
  }

  #end(): void {
    this.#over = true;
    this.#cancel();
    for (const socket of this.#trying) socket.destroy();
  }

  #next(): void {
    this.#cancel();
    const entry = this.#waiting.shift();
    if (this.#over || entry === undefined) return;
    const { socket, slabs } = attempt(this.#to, entry);
    this.#trying.add(socket);
    if (this.#waiting.length > 0) this.#cancel = this.#clock.schedule(attemptDelayMs, () => this.#next());
    socket.once('connect', () => {
      this.#trying.delete(socket);
      if (this.#over) return void socket.destroy();
      this.#end();
      this.#won = socket;
      socket.removeAllListeners('error').on('error', () => undefined); // its user adds its own
      this.#resolve({ socket, slabs, address: formatHostPort(entry.address, this.#to.port) });
    });
    socket.on('error', (error) => {
      this.#trying.delete(socket);
      this.#failed(entry, error);
    });
  }

  #failed(entry: LookupAddress, error: Error): void {
    // a refusal is ECONNREFUSED: a reset comes only after the connection was made
    this.#reset ||= codeOf(error) === 'ECONNRESET';
    this.#failures.push(failureWords(this.#to, entry, error));
    if (this.#over) return;
    if (this.#waiting.length > 0) this.#next();
    else if (this.#trying.size === 0) this.#reject(this.#allFailed());
  }

  #allFailed(): TcpFailure {
    return new TcpFailure('tcp', this.#failures.slice(0, 4).join('; '), {
      timedOut: false,
      reset: this.#reset,
      addresses: this.#found.map(({ address }) => address),
      ms: performance.now() - this.#started,
    });
  }
}

function attempt(to: TcpTarget, entry: LookupAddress): { socket: Socket; slabs: ReadSlabs | null } {
  const slabs = to.reusesReads ? new ReadSlabs() : null;
  const socket: Socket = connect({
    host: entry.address,
    port: to.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    ...(to.bindAddress === null ? {} : { localAddress: to.bindAddress }),
    ...(slabs === null ? {} : { onread: readInto(slabs, () => socket) }),
  });
  // nothing is read before somebody listens: with `onread` it would be lost
  if (slabs !== null) socket.pause();
  return { socket, slabs };
}

function readInto(slabs: ReadSlabs, socketOf: () => Socket): OnReadOpts {
  const emit = (chunk: Buffer): void => void socketOf().emit('data', chunk);
  const gathering = new Gathering();
  const goOn = (): void => {
    const socket = socketOf();
    if (socket.destroyed || socket.isPaused()) return;
    gathering.rest();
    socket.resume();
  };
  return {
    buffer: slabs.next,
    callback: (length, buffer) => {
      slabs.arrived(length, emit);
      if (!gathering.pausesAfter(length, buffer.length)) return true;
      setImmediate(goOn);
      return false;
    },
  };
}

function failureWords(to: TcpTarget, { address }: LookupAddress, error: Error): string {
  if (address === to.hostname) return wordsOf(error);
  const at = formatHostPort(address, to.port);
  return codeOf(error) === 'ECONNREFUSED' ? `${at} refused the connection` : `${at}: ${wordsOf(error)}`;
}
