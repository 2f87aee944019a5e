// A Session and Channels in memory that keep the contract of model/session.ts: windows, EOF, CLOSE and loss, no SSH.
import { TunnelError } from '../../src/errors.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { tcp } from '../../src/model/endpoint.ts';
import type { GiveUpSignal } from '../../src/model/give-up.ts';
import type { Host } from '../../src/model/host.ts';
import type { Channel, ChannelReader, Origin, RemoteListener, Session } from '../../src/model/session.ts';

type Delivery =
  { kind: 'data'; chunk: Buffer } | { kind: 'end' } | { kind: 'closed'; clean: boolean } | { kind: 'drain' };

/** One end of a channel in memory; both ends keep the same contract. Breaking it throws in the test. */
export interface MemoryChannel extends Channel {
  /** Bytes that the other end may still send before `consumed` is called here. */
  readonly unconsumed: () => number;
  readonly isClosed: () => boolean;
  readonly asked: { end: boolean; close: boolean };
}

interface End extends MemoryChannel {
  deliver(delivery: Delivery): void;
  grant(bytes: number): void;
  lose(): void;
}

export interface ChannelPair {
  readonly near: MemoryChannel;
  readonly far: MemoryChannel;
  /** The link is lost: both ends hear closed(false). */
  lose(): void;
}

const maxPacket = 32 * 1024;

/** Two ends of one channel, `window` bytes in each direction. */
export function channelPair(window = 2 * 1024 * 1024): ChannelPair {
  const near: End = makeEnd(window, () => far);
  const far: End = makeEnd(window, () => near);
  return {
    near,
    far,
    lose() {
      near.lose();
      far.lose();
    },
  };
}

function makeEnd(window: number, peer: () => End): End {
  let reader: ChannelReader | null = null;
  let sendWindow = window;
  let queue: Buffer[] = [];
  let askedToWait = false;
  let eofSent = false;
  let over = false;
  let lost = false;
  let delivered = 0;
  let consumed = 0;
  const inbox: Delivery[] = [];
  let flushing = false;
  const asked = { end: false, close: false };

  const flush = (): void => {
    if (flushing || reader === null) return;
    flushing = true;
    setImmediate(() => {
      flushing = false;
      const batch = inbox.splice(0);
      for (const delivery of batch) hand(delivery);
    });
  };
  const hand = (delivery: Delivery): void => {
    if (over || reader === null) return;
    switch (delivery.kind) {
      case 'data':
        if (asked.close) return;
        delivered += delivery.chunk.length;
        reader.data(delivery.chunk);
        return;
      case 'end':
        if (!asked.close) reader.end();
        return;
      case 'drain':
        reader.drain();
        return;
      case 'closed':
        over = true;
        if (delivery.clean && !asked.close) peer().deliver({ kind: 'closed', clean: true });
        reader.closed(delivery.clean);
        return;
    }
  };
  const pump = (): void => {
    while (queue.length > 0 && sendWindow > 0) {
      const head = queue[0];
      if (head === undefined) break;
      const size = Math.min(sendWindow, maxPacket, head.length);
      peer().deliver({ kind: 'data', chunk: head.subarray(0, size) });
      sendWindow -= size;
      if (size === head.length) queue.shift();
      else queue[0] = head.subarray(size);
    }
    if (queue.length > 0) return;
    if (asked.end && !eofSent) {
      eofSent = true;
      peer().deliver({ kind: 'end' });
    }
    if (askedToWait && !asked.end) {
      askedToWait = false;
      end.deliver({ kind: 'drain' });
    }
  };
  const end: End = {
    asked,
    unconsumed: () => delivered - consumed,
    isClosed: () => over,
    attach(given) {
      if (reader !== null) throw new Error('contract: attach is called exactly once');
      reader = given;
      flush();
    },
    consumed(bytes) {
      if (reader === null) throw new Error('contract: consumed before attach');
      consumed += bytes;
      if (bytes <= 0 || consumed > delivered)
        throw new Error(`contract: consumed ${consumed} of ${delivered}`);
      if (!over && !asked.close) peer().grant(bytes);
    },
    write(chunk) {
      if (asked.end) throw new Error('contract: write after end');
      if (over || asked.close || lost) return true;
      queue.push(Buffer.from(chunk)); // the memory is the writer's
      pump();
      if (queue.length > 0) askedToWait = true;
      return queue.length === 0;
    },
    end() {
      if (asked.end || asked.close || over || lost) return;
      asked.end = true;
      pump();
    },
    close() {
      if (asked.close || over || lost) return;
      asked.close = true;
      queue = [];
      peer().deliver({ kind: 'closed', clean: true });
    },
    deliver(delivery) {
      if (lost) return;
      inbox.push(delivery);
      flush();
    },
    grant(bytes) {
      setImmediate(() => {
        sendWindow += bytes;
        pump();
      });
    },
    lose() {
      if (over || lost) return;
      inbox.push({ kind: 'closed', clean: false });
      lost = true;
      queue = [];
      flush();
    },
  };
  return end;
}

export interface MemorySession extends Session {
  /** What happens to `openChannel`: answers the far end's program. Default: refused. */
  onOpen: (
    target: Endpoint,
    origin: Origin,
    far: MemoryChannel,
    signal?: GiveUpSignal,
  ) => void | Promise<void>;
  onListen: (at: Endpoint) => Endpoint | Promise<Endpoint>;
  /** A connection arrives at a listener on the server: its far end. Throws when nothing listens there. */
  connect(at: Endpoint, origin?: Origin): MemoryChannel;
  readonly listeners: () => readonly Endpoint[];
  readonly opened: () => readonly Endpoint[];
  /** Loses the link. */
  lose(reason?: TunnelError): void;
}

const lostError = (): TunnelError => new TunnelError('LINK_LOST', 'link lost, on memory: the test cut it');

/** A session whose far side is the test. */
export function memorySession(options: { window?: number } = {}): MemorySession {
  const pairs = new Set<ChannelPair>();
  const ends: ((reason: TunnelError | null) => void)[] = [];
  const listening = new Map<string, { at: Endpoint; accept: (channel: Channel, origin: Origin) => void }>();
  const opened: Endpoint[] = [];
  let ended: { reason: TunnelError | null } | null = null;
  const finish = (reason: TunnelError | null): void => {
    if (ended !== null) return;
    ended = { reason };
    for (const pair of pairs) pair.lose();
    listening.clear();
    for (const listener of ends) listener(reason);
  };
  const pair = (): ChannelPair => {
    const made = channelPair(options.window);
    pairs.add(made);
    return made;
  };
  const session: MemorySession = {
    host: {
      name: 'memory',
      hostname: '127.0.0.1',
      port: 22,
      keepalive: { intervalMs: 15_000, count: 3 },
    } as Host,
    algorithms: { kex: 'none', hostKey: 'none', cipher: 'none', mac: 'none' },
    login: { accepted: [], attended: false },
    latencyMs: null,
    onOpen() {
      throw new TunnelError('FORWARD_REFUSED', 'open failed, on memory: connection refused', {
        facts: { reason: 'connect-failed' },
      });
    },
    onListen: (at) => (at.kind === 'tcp' && at.port === 0 ? tcp(at.host, 40_000 + listening.size) : at),
    async openChannel(target, origin, limits) {
      if (ended !== null) throw lostError();
      opened.push(target);
      const { near, far } = pair();
      const lost = new Promise<never>((_, reject) => ends.push(() => reject(lostError())));
      lost.catch(() => undefined);
      await Promise.race([session.onOpen(target, origin, far, limits.signal), lost]);
      if (ended !== null) throw lostError();
      return near;
    },
    async listenRemote(at, accept) {
      if (ended !== null) throw lostError();
      const real = await session.onListen(at);
      if (ended !== null) throw lostError();
      const key = JSON.stringify(real);
      listening.set(key, { at: real, accept });
      const listener: RemoteListener = {
        at: real,
        overriddenBy: null,
        close: () => {
          listening.delete(key);
          return Promise.resolve(null);
        },
      };
      return listener;
    },
    connect(at, origin = { host: '127.0.0.1', port: 1234 }) {
      const found = listening.get(JSON.stringify(at));
      if (found === undefined) throw new Error('nothing listens there');
      const { near, far } = pair();
      found.accept(near, origin);
      return far;
    },
    listeners: () => [...listening.values()].map(({ at }) => at),
    opened: () => opened,
    ping: () => (ended === null ? Promise.resolve(1) : Promise.reject(lostError())),
    onIdle() {
      throw new Error('nobody asks a memory session whether it is idle');
    },
    onLate: () => undefined,
    onEnd(listener) {
      if (ended !== null) listener(ended.reason);
      else ends.push(listener);
    },
    close() {
      finish(null);
      return Promise.resolve();
    },
    lose: (reason = lostError()) => finish(reason),
  };
  return session;
}
