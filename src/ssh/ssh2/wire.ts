// The wire of one connection: channel messages and global requests, past ssh2's own channels.
// ssh2's Channel gives half the window a link could have and ends cleanly when the link dies (SSH2.md 1.1, 2.1).
import type { Client } from 'ssh2';
import type { PacketFrames, ReadSlabs } from '../channels/buffers.ts';
import { wireString } from '../../keys/wire.ts';
import { IdentReader } from './hello.ts';
import { ssh2Part } from './load.ts';
import { checkParts, privateParts, sendMessage, type PrivateClient, type PrivateProtocol } from './parts.ts';
import { leaveBehind } from './garbage.ts';
import { installCork, installPadding, mostQueued, type PacketSink } from './speed.ts';

/** A channel the server wants to open: RFC 4254 7.2, or its unix socket sister. */
export interface IncomingOpen {
  readonly type: string;
  /** The server's number of the channel. */
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
  readonly data: {
    readonly destIP?: string;
    readonly destPort?: number;
    readonly srcIP?: string;
    readonly srcPort?: number;
    readonly socketPath?: string;
  };
}

/** What comes in, by our channel number. Called from the packet parser. */
export interface WireEvents {
  opened(id: number, remoteId: number, window: number, packetSize: number): void;
  refused(id: number, reason: number, words: string): void;
  data(id: number, chunk: Buffer): void;
  /** Data of another stream than the main one: it uses window all the same. */
  extendedData(id: number, bytes: number): void;
  adjusted(id: number, bytes: number): void;
  end(id: number): void;
  closed(id: number): void;
  /** A request on a channel was refused. */
  requestFailed(id: number): void;
  /** A request of the server's on a channel that wants an answer: sshd asks so whether we live. */
  asked(id: number): void;
  /** False: not ours. */
  incoming(open: IncomingOpen): boolean;
  /** SSH_MSG_DEBUG: OpenSSH says here why it refused a listener (SSH2.md 2.6). */
  debug(words: string): void;
  /** SSH_MSG_DISCONNECT: the server's reason (RFC 4253 11.1) and words. */
  disconnect(reason: number, words: string): void;
  /** ssh2 threw at something that was sent: the link is lost, and nothing is sent any more. Told once, in any turn. */
  broken(thrown: unknown): void;
}

/** How much one set of keys may carry, both directions together. */
export interface KeyLimits {
  readonly bytes: number;
  readonly packets: number;
}

export type Reply = { readonly ok: true; readonly data: Buffer | null } | { readonly ok: false };

export interface Wire {
  reserve(): number;
  release(id: number): void;
  openTcp(
    id: number,
    window: number,
    to: { host: string; port: number },
    from: { host: string; port: number },
  ): void;
  openUnix(id: number, window: number, path: string): void;
  openSession(id: number, window: number): void;
  /** The server answers with `requestFailed` or with the subsystem's own words. */
  subsystem(remoteId: number, name: string): void;
  /** The server answers with `requestFailed` or with what the command writes (RFC 4254 6.5). */
  exec(remoteId: number, command: string): void;
  confirm(remoteId: number, id: number, window: number): void;
  refuse(remoteId: number, reason: number): void;
  /** The answer to `asked`. */
  deny(remoteId: number): void;
  data(remoteId: number, chunk: Buffer): void;
  adjust(remoteId: number, bytes: number): void;
  end(remoteId: number): void;
  close(remoteId: number): void;
  /** Global requests: replies come in the order of the requests. `reply` is called once, also when the link ends. */
  listenTcp(host: string, port: number, reply: (reply: Reply) => void): void;
  unlistenTcp(host: string, port: number, reply: (reply: Reply) => void): void;
  listenUnix(path: string, reply: (reply: Reply) => void): void;
  unlistenUnix(path: string, reply: (reply: Reply) => void): void;
  /** `reply` is called when the server answers. */
  ping(reply: () => void): void;
  /** SSH_MSG_IGNORE without a byte (RFC 4253 11.2); nothing while keys are made. */
  ignore(): void;
  /** Packets written so far. */
  sent(): number;
  /** True while a key exchange holds back what is sent. */
  readonly rekeying: boolean;
  rekey(): void;
  /** Fresh keys are in use: counts anew, and asks for the next ones when the limits are reached. */
  freshKeys(limits: KeyLimits): void;
}

/** Largest packet we take: every decipher of ssh2 stops at 35,000 bytes (crypto.js). */
export const maxPacket = 32 * 1024;

/** Hooks a connected client. Once, right after `client.connect()`; the events come when the server talks. */
export function takeWire(client: Client, stream: PacketSink, events: WireEvents): Wire {
  checkParts(client);
  const parts = privateParts(client);
  const protocol = parts._protocol;
  const meter = createMeter(protocol);
  hookChannels(protocol, events, meter);
  hostKeysTold.set(protocol, false);
  const guard = createGuard(events);
  const tooMany = (): void => guard.fail(new Error('the server does not read what it is sent'));
  watchArrivals(client, tooMany);
  const sent = installCork(protocol, stream, tooMany);
  installPadding(protocol);
  return {
    ...channelNumbers(),
    ...channelOpens(protocol, guard),
    data: guard.call((remoteId, chunk) => {
      meter.count(chunk.length);
      protocol.channelData(remoteId, chunk);
    }),
    adjust: guard.call((remoteId, bytes) => protocol.channelWindowAdjust(remoteId, bytes)),
    end: guard.call((remoteId) => protocol.channelEOF(remoteId)),
    close: guard.call((remoteId) => protocol.channelClose(remoteId)),
    ...globalRequests(parts, guard),
    ignore: guard.call(() => {
      if (protocol._kexinit === undefined) sendMessage(protocol, messageIgnore, emptyString);
    }),
    sent,
    get rekeying() {
      return protocol._kexinit !== undefined;
    },
    rekey: guard.call(() => protocol.rekey()),
    freshKeys: (limits) => meter.reset(limits),
  };
}

type ChannelOpens = Pick<
  Wire,
  'openTcp' | 'openUnix' | 'openSession' | 'subsystem' | 'exec' | 'confirm' | 'refuse' | 'deny'
>;

function channelOpens(protocol: PrivateProtocol, guard: Guard): ChannelOpens {
  return {
    openTcp: guard.call((id, window, to, from) =>
      protocol.directTcpip(id, window, maxPacket, {
        dstIP: to.host,
        dstPort: to.port,
        srcIP: from.host,
        srcPort: from.port,
      }),
    ),
    openUnix: guard.call((id, window, path) =>
      protocol.openssh_directStreamLocal(id, window, maxPacket, { socketPath: path }),
    ),
    openSession: guard.call((id, window) => protocol.session(id, window, maxPacket)),
    subsystem: guard.call((remoteId, name) => protocol.subsystem(remoteId, name, true)),
    exec: guard.call((remoteId, command) => protocol.exec(remoteId, command, true)),
    confirm: guard.call((remoteId, id, window) =>
      protocol.channelOpenConfirm(remoteId, id, window, maxPacket),
    ),
    refuse: guard.call((remoteId, reason) => protocol.channelOpenFail(remoteId, reason, '')),
    deny: guard.call((remoteId) => protocol.channelFailure(remoteId)),
  };
}

type GlobalRequests = Pick<Wire, 'listenTcp' | 'unlistenTcp' | 'listenUnix' | 'unlistenUnix' | 'ping'>;

function globalRequests(parts: PrivateClient, guard: Guard): GlobalRequests {
  const protocol = parts._protocol;
  const ask = (send: () => void, reply: (failed: Error | boolean, data: Buffer | null) => void): void => {
    const answered = (failed: Error | boolean, data?: Buffer | null): void => reply(failed, data ?? null);
    parts._callbacks.push(answered);
    if (guard.attempt(send)) return;
    const at = parts._callbacks.indexOf(answered);
    if (at >= 0) parts._callbacks.splice(at, 1); // in place: ssh2 has the array too
    setImmediate(() => reply(new Error('the link is lost'), null)); // by then everybody knows that
  };
  const request = (send: () => void, reply: (reply: Reply) => void): void =>
    ask(send, (failed, data) => reply(failed === false ? { ok: true, data } : { ok: false }));
  return {
    listenTcp: (host, port, reply) => request(() => protocol.tcpipForward(host, port, true), reply),
    unlistenTcp: (host, port, reply) => request(() => protocol.cancelTcpipForward(host, port, true), reply),
    listenUnix: (path, reply) => request(() => protocol.openssh_streamLocalForward(path, true), reply),
    unlistenUnix: (path, reply) =>
      request(() => protocol.openssh_cancelStreamLocalForward(path, true), reply),
    ping: (reply) =>
      ask(
        () => protocol.ping(),
        (failed) => {
          if (!(failed instanceof Error)) reply(); // an error is what ssh2 says when the link ends
        },
      ),
  };
}

interface Guard {
  call<Args extends unknown[]>(send: (...args: Args) => void): (...args: Args) => void;
  /** False: it threw, or something before it did. */
  attempt(send: () => void): boolean;
  fail(thrown: unknown): void;
}

/**
 * Every call into ssh2 can throw: after a loss its zlib is freed, a bug of it is as good. Channels and forwards call
 * from the turns of their own sockets and timers, where nobody catches: so it is caught here, for all of them.
 */
function createGuard(events: Pick<WireEvents, 'broken'>): Guard {
  let broken = false;
  const fail = (thrown: unknown): void => {
    if (broken) return;
    broken = true;
    events.broken(thrown);
  };
  return {
    call:
      (send) =>
      (...args) => {
        if (broken) return;
        try {
          send(...args);
        } catch (thrown) {
          fail(thrown);
        }
      },
    attempt(send) {
      if (broken) return false;
      try {
        send();
        return true;
      } catch (thrown) {
        fail(thrown);
        return false;
      }
    },
    fail,
  };
}

/** Our numbers of channels, the last freed one first: they stay small, and index arrays. ssh2 counts up for ever. */
function channelNumbers(): Pick<Wire, 'reserve' | 'release'> {
  const free: number[] = [];
  let next = 0;
  return { reserve: () => free.pop() ?? next++, release: (id) => void free.push(id) };
}

interface Meter {
  count(bytes: number): void;
  reset(limits: KeyLimits): void;
}

/** ssh2 never asks for new keys itself, and not every server does (SSH2.md 2.5). */
function createMeter(protocol: PrivateProtocol): Meter {
  let limits: KeyLimits = { bytes: Infinity, packets: Infinity };
  let bytes = 0;
  let packets = 0;
  return {
    count(length) {
      bytes += length;
      packets += 1;
      if (bytes < limits.bytes && packets < limits.packets) return;
      limits = { bytes: Infinity, packets: Infinity };
      protocol.rekey();
    },
    reset(fresh) {
      limits = fresh;
      bytes = 0;
      packets = 0;
    },
  };
}

const messageIgnore = 2;
const emptyString = Buffer.alloc(4);

interface Confirmation {
  readonly recipient: number;
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
}

/** No channel but ours is ever opened, so ssh2's own handlers of them are replaced, not wrapped. */
function hookChannels(protocol: PrivateProtocol, events: WireEvents, meter: Meter): void {
  const handlers = protocol._handlers;
  const incoming = handlers['CHANNEL_OPEN'] as (protocol: PrivateProtocol, open: IncomingOpen) => void;
  const hook = <Fields extends unknown[]>(name: string, run: (...fields: Fields) => void): void => {
    handlers[name] = ((_protocol: PrivateProtocol, ...fields: Fields) => run(...fields)) as never;
  };
  hook('CHANNEL_OPEN', (open: IncomingOpen) => {
    if (!events.incoming(open)) incoming(protocol, open);
  });
  hook('CHANNEL_OPEN_CONFIRMATION', ({ recipient, sender, window, packetSize }: Confirmation) =>
    events.opened(recipient, sender, window, packetSize),
  );
  hook('CHANNEL_OPEN_FAILURE', (id: number, reason: number, words: string) =>
    events.refused(id, reason, words),
  );
  hook('CHANNEL_DATA', (id: number, chunk: Buffer) => {
    meter.count(chunk.length);
    events.data(id, chunk);
  });
  hook('CHANNEL_EXTENDED_DATA', (id: number, chunk: Buffer) => events.extendedData(id, chunk.length));
  hook('CHANNEL_WINDOW_ADJUST', (id: number, bytes: number) => events.adjusted(id, bytes));
  hook('CHANNEL_EOF', (id: number) => events.end(id));
  hook('CHANNEL_CLOSE', (id: number) => events.closed(id));
  hook('CHANNEL_SUCCESS', () => undefined); // ssh2 looks for a channel of its own, and throws at numbers beyond its range
  hook('CHANNEL_FAILURE', (id: number) => events.requestFailed(id));
  hook('CHANNEL_REQUEST', (id: number, _type: string, wantsReply: boolean) => {
    if (wantsReply) events.asked(id);
  });
  hook('DEBUG', (_display: boolean, words: string) => events.debug(words));
  const disconnect = handlers['DISCONNECT'] as (
    protocol: PrivateProtocol,
    reason: number,
    words: string,
  ) => void;
  hook('DISCONNECT', (reason: number, words: string) => {
    events.disconnect(reason, words);
    disconnect(protocol, reason, words);
  });
}

/** Thirty of the longest that servers have: ssh2 reads and checks each of them in the same turn, thousands take it seconds. */
const mostHostKeyBytes = 16 * 1024;
const globalRequest = 80;
const hostKeysName = wireString('hostkeys-00@openssh.com');
/** Connections of ours: has the server told its host keys? */
const hostKeysTold = new WeakMap<PrivateProtocol, boolean>();

type MessageHandler = (protocol: PrivateProtocol, payload: Buffer) => unknown;
/** By message number: before and while keys are made, too (kex.js). */
const messageHandlers = ssh2Part('protocol/handlers.js') as MessageHandler[];
messageHandlers[globalRequest] = hostKeysOnce(messageHandlers[globalRequest]);

/**
 * A server tells its host keys once (ssh takes it for an attack when it does so again), and not by the thousand: each
 * time costs a proof.
 */
function hostKeysOnce(known: MessageHandler | undefined): MessageHandler {
  return (protocol, payload) => {
    const told = hostKeysTold.get(protocol);
    const end = 1 + hostKeysName.length;
    if (told === undefined || !payload.subarray(1, end).equals(hostKeysName))
      return known?.(protocol, payload);
    hostKeysTold.set(protocol, true);
    if (!told && payload.length <= mostHostKeyBytes) return known?.(protocol, payload);
    if (payload[end] !== 0) protocol.requestFailure();
    return undefined;
  };
}

// What comes in, before ssh2 sees it.

/**
 * Right after `client.connect()`. ssh2 keeps only the first piece of an identification that comes in several
 * (Protocol.js parseHeader): it gets the line whole, without those before it, of which the reader of hello.ts keeps the first.
 * While new keys are made ssh2 queues what it sends, its answers too: `tooMany` is told of a server that asks and asks
 * and never finishes them.
 */
export function watchArrivals(client: Client, tooMany: () => void): void {
  const protocol = privateParts(client)._protocol;
  const parse = protocol.parse.bind(protocol);
  const reader = new IdentReader();
  protocol.parse = (chunk, from, length) => {
    let start = from;
    if (reader.ident === null) {
      const used = reader.feed(chunk.subarray(from, length)); // throws to ssh2, which ends the connection
      if (used === null) return;
      start += used;
      const line = Buffer.concat([reader.ident ?? Buffer.alloc(0), lineEnd]);
      parse(line, 0, line.length);
      if (protocol._destruct === undefined) return; // not a version we speak
    }
    parse(chunk, start, length);
    if (protocol._queue !== undefined && protocol._queue.length > mostQueued) tooMany();
  };
}

const lineEnd = Buffer.from('\r\n');

// Which read buffers ssh2 still looks at: the condition for using one again (channels/buffers.ts).

/** OPEN_CONFIRMATION to CLOSE of a channel (RFC 4254 9): ssh2 keeps nothing of them, and the data is counted by us. */
const firstCounted = 91;
const lastCounted = 97;

/**
 * Right after `client.connect()`: of every other message ssh2 gets a copy, since it keeps views of some.
 * Deciphers take `_onPayload` when they are made, so this is in force from the first key exchange on.
 */
export function copyPayloads(client: Client): void {
  const protocol = privateParts(client)._protocol;
  const onPayload = protocol._onPayload;
  protocol._onPayload = (payload) => {
    const type = payload[0] ?? 0;
    return onPayload(type < firstCounted || type > lastCounted ? Buffer.from(payload) : payload);
  };
}

/** After the login: from now on buffers are used again, and ssh2 is given whole packets where they can be told. */
export function recycleReads(client: Client, slabs: ReadSlabs): void {
  const protocol = privateParts(client)._protocol;
  slabs.recycle(packetFrames(protocol));
  const parse = protocol.parse.bind(protocol);
  const parseAll = (bytes: Buffer): void => parse(bytes, 0, bytes.length);
  protocol.parse = (chunk, from, length) => {
    if (protocol._decipher?.constructor.name === plainDecipher) leaveBehind(length);
    if (from === 0 && length === chunk.length) slabs.parse(chunk, parseAll);
    else parse(chunk, from, length);
  };
}

/** AES-GCM without native code. */
const plainDecipher = 'AESGCMDecipherNative';
/**
 * Deciphers that keep, between reads, nothing of what was read but the packet they wait for (crypto.js): two that decrypt in place,
 * and AES-GCM without native code, which makes new memory.
 */
const knownDeciphers = ['AESGCMDecipherBinding', 'ChaChaPolyDecipherBinding', plainDecipher];
/** Of those, the ones that have the length of a packet in clear in front of it (RFC 5647 7.3). */
const framesInClear = ['AESGCMDecipherBinding', plainDecipher];
const lengthBytes = 4;
const tagBytes = 16;
/** A packet of a channel with its frame is shorter; ssh2 completes a longer one itself, as it comes. */
const longestAwaited = 48 * 1024;

function packetFrames(protocol: PrivateProtocol): PacketFrames {
  let decipher: PrivateProtocol['_decipher'];
  let isKnown = false;
  let isFramed = false;
  const look = (): void => {
    if (protocol._decipher === decipher) return;
    decipher = protocol._decipher;
    const name = decipher?.constructor.name ?? '';
    isKnown = knownDeciphers.includes(name);
    isFramed = framesInClear.includes(name);
  };
  return {
    pending() {
      // the messages of a key exchange pass `_onPayload` by, and views of them are kept until the host key is verified
      if (protocol._kexinit !== undefined) return undefined;
      look();
      return isKnown ? (decipher?._packet?.buffer ?? null) : undefined;
    },
    whole(bytes) {
      look();
      if (!isFramed || decipher === undefined || protocol._kexinit !== undefined) return bytes.length;
      const begun = restOfBegun(decipher, bytes);
      return begun > bytes.length ? bytes.length : wholePackets(bytes, begun);
    },
  };
}

/** How much of `bytes` belongs to a packet that ssh2 has begun. More than there is where that cannot be told yet. */
function restOfBegun(decipher: NonNullable<PrivateProtocol['_decipher']>, bytes: Buffer): number {
  let { _len: length = 0, _lenBytes: known = 0 } = decipher;
  if (known === 0) return 0;
  let at = 0;
  for (; known < lengthBytes; known += 1, at += 1) {
    if (at >= bytes.length) return bytes.length + 1;
    length = length * 256 + (bytes[at] ?? 0);
  }
  return at + length - (decipher._pktLen ?? 0) + tagBytes - (decipher._tagPos ?? 0);
}

/** The end of the last whole packet; the end of all where a packet is longer than one is waited for. */
function wholePackets(bytes: Buffer, from: number): number {
  let end = from;
  while (bytes.length - end >= lengthBytes) {
    const length = lengthBytes + bytes.readUInt32BE(end) + tagBytes;
    if (length > longestAwaited) return bytes.length;
    if (length > bytes.length - end) break;
    end += length;
  }
  return end;
}
