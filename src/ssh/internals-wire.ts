// The wire of one connection: channel messages and global requests, past ssh2's own channels.
// ssh2's Channel gives half the window a link could have and ends cleanly when the link dies (SSH2.md 1.1, 2.1).
import type { Client } from 'ssh2';
import { checkInternals, privateParts, type PrivateProtocol } from './internals.ts';
import { installCork, installPadding, type PacketSink } from './internals-speed.ts';

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
  /** False: not ours. */
  incoming(open: IncomingOpen): boolean;
  /** SSH_MSG_DEBUG: OpenSSH says here why it refused a listener (SSH2.md 2.6). */
  debug(words: string): void;
  /** SSH_MSG_DISCONNECT: the server's reason (RFC 4253 11.1) and words. */
  disconnect(reason: number, words: string): void;
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
  confirm(remoteId: number, id: number, window: number): void;
  refuse(remoteId: number, reason: number): void;
  data(remoteId: number, chunk: Buffer): void;
  adjust(remoteId: number, bytes: number): void;
  end(remoteId: number): void;
  close(remoteId: number): void;
  /** Global requests: replies come in the order of the requests. `reply` is called once, also when the link ends. */
  listenTcp(host: string, port: number, reply: (reply: Reply) => void): void;
  unlistenTcp(host: string, port: number, reply: (reply: Reply) => void): void;
  listenUnix(path: string, reply: (reply: Reply) => void): void;
  unlistenUnix(path: string, reply: (reply: Reply) => void): void;
  ping(reply: () => void): void;
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
  checkInternals(client);
  const parts = privateParts(client);
  const protocol = parts._protocol;
  const meter = createMeter(protocol);
  hookChannels(protocol, events, meter);
  installCork(protocol, stream);
  installPadding(protocol);
  const ask = (send: () => void, reply: (reply: Reply) => void): void => {
    parts._callbacks.push((failed, data) =>
      reply(failed === false ? { ok: true, data: data ?? null } : { ok: false }),
    );
    send();
  };
  return {
    ...channelNumbers(),
    openTcp: (id, window, to, from) =>
      protocol.directTcpip(id, window, maxPacket, {
        dstIP: to.host,
        dstPort: to.port,
        srcIP: from.host,
        srcPort: from.port,
      }),
    openUnix: (id, window, path) =>
      protocol.openssh_directStreamLocal(id, window, maxPacket, { socketPath: path }),
    openSession: (id, window) => protocol.session(id, window, maxPacket),
    subsystem: (remoteId, name) => protocol.subsystem(remoteId, name, true),
    confirm: (remoteId, id, window) => protocol.channelOpenConfirm(remoteId, id, window, maxPacket),
    refuse: (remoteId, reason) => protocol.channelOpenFail(remoteId, reason, ''),
    data: (remoteId, chunk) => {
      meter.count(chunk.length);
      protocol.channelData(remoteId, chunk);
    },
    adjust: (remoteId, bytes) => protocol.channelWindowAdjust(remoteId, bytes),
    end: (remoteId) => protocol.channelEOF(remoteId),
    close: (remoteId) => protocol.channelClose(remoteId),
    listenTcp: (host, port, reply) => ask(() => protocol.tcpipForward(host, port, true), reply),
    unlistenTcp: (host, port, reply) => ask(() => protocol.cancelTcpipForward(host, port, true), reply),
    listenUnix: (path, reply) => ask(() => protocol.openssh_streamLocalForward(path, true), reply),
    unlistenUnix: (path, reply) => ask(() => protocol.openssh_cancelStreamLocalForward(path, true), reply),
    ping: (reply) =>
      ask(
        () => protocol.ping(),
        () => reply(),
      ),
    get rekeying() {
      return protocol._kexinit !== undefined;
    },
    rekey: () => protocol.rekey(),
    freshKeys: (limits) => meter.reset(limits),
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
  hook(
    'CHANNEL_OPEN_CONFIRMATION',
    (info: { recipient: number; sender: number; window: number; packetSize: number }) =>
      events.opened(info.recipient, info.sender, info.window, info.packetSize),
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
  hook('CHANNEL_FAILURE', (id: number) => events.requestFailed(id));
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
