// The private parts of ssh2 1.17.0 that this folder uses, by name, and the check that they are what we know.
// No other folder touches them; test/ssh/ssh2/parts.test.ts pins each one.
import type { Client } from 'ssh2';
import { TunnelError } from '../../errors.ts';
import { cryptoChanged, ssh2Part } from './load.ts';

/** `client._protocol`: the transport and connection layers (lib/protocol/Protocol.js). */
export interface PrivateProtocol {
  /** Message name -> handler; each is called as handler(protocol, …fields). */
  _handlers: Record<string, ((...fields: never[]) => void) | undefined>;
  /** Set from KEXINIT until NEWKEYS: what is sent meanwhile is queued in `_queue`. */
  _kexinit: Buffer | undefined;
  _queue: Buffer[] | undefined;
  _onWrite: (chunk: Buffer) => void;
  _cipher: PrivateCipher;
  /** `_packet`: what it has of a packet that is not complete yet; the numbers: how much, of AES-GCM. */
  _decipher:
    | {
        _packet?: Uint8Array | null;
        _len?: number;
        _lenBytes?: number;
        _pktLen?: number;
        _tagPos?: number;
        _onPayload: (payload: Buffer) => unknown;
      }
    | undefined;
  /** `read` unpacks. */
  _packetRW: {
    read: { read(packet: Buffer): Buffer };
    write: { allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer };
  };
  /** What each authentication reply of type 60 is read as. */
  _authsQueue: string[];
  _hostVerifier: ((key: Buffer, done: (permitted: boolean) => void) => boolean | undefined) | undefined;
  _skipNextInboundPacket: boolean;
  _onPayload: (payload: Buffer) => unknown;
  _kex: PrivateKex | undefined;
  _offer: { lists: { kex: { array: string[] } } };
  _destruct: unknown;
  parse(chunk: Buffer, from: number, length: number): void;
  ping(): void;
  requestFailure(): void;
  rekey(): void;
  directTcpip(id: number, window: number, packetSize: number, address: DirectAddress): void;
  openssh_directStreamLocal(id: number, window: number, packetSize: number, at: { socketPath: string }): void;
  session(id: number, window: number, packetSize: number): void;
  subsystem(remoteId: number, name: string, wantReply: boolean): void;
  exec(remoteId: number, command: string, wantReply: boolean): void;
  channelOpenConfirm(remoteId: number, id: number, window: number, packetSize: number): void;
  channelOpenFail(remoteId: number, reason: number, words: string): void;
  channelFailure(remoteId: number): void;
  channelData(remoteId: number, chunk: Buffer): void;
  channelWindowAdjust(remoteId: number, bytes: number): void;
  channelEOF(remoteId: number): void;
  channelClose(remoteId: number): void;
  tcpipForward(host: string, port: number, wantReply: boolean): void;
  cancelTcpipForward(host: string, port: number, wantReply: boolean): void;
  openssh_streamLocalForward(path: string, wantReply: boolean): void;
  openssh_cancelStreamLocalForward(path: string, wantReply: boolean): void;
}

interface DirectAddress {
  srcIP: string;
  srcPort: number;
  dstIP: string;
  dstPort: number;
}

/** The outbound cipher; made anew at each key exchange (lib/protocol/crypto.js). */
export interface PrivateCipher {
  allocPacket(payloadLength: number): Buffer;
  encrypt(packet: Buffer): void;
  outSeqno: number;
}

/** AES-GCM without native code: `AESGCMCipherNative` of lib/protocol/crypto.js. */
export interface PlainGcmCipher extends PrivateCipher {
  readonly _encSSLName: 'aes-128-gcm' | 'aes-256-gcm';
  readonly _encKey: Buffer;
  /** Twelve bytes; the last eight count packets (RFC 5647 7.1). */
  readonly _encIV: Buffer;
  readonly _dead: boolean;
  _onWrite(chunk: Buffer): void;
}

/** The key exchange under way or last done (lib/protocol/kex.js). */
export interface PrivateKex {
  sessionID: Buffer | undefined;
  negotiated: { serverHostKey: string };
  _hostKey: Buffer | undefined;
  _remoteKexinit: Buffer | undefined;
  parse(payload: Buffer): unknown;
}

export interface PrivateClient {
  _protocol: PrivateProtocol;
  /** Replies to global requests come in order: each is shifted off here. */
  _callbacks: ((failed: Error | boolean, data?: Buffer | null) => void)[];
}

/** The private side of a client. Its protocol exists once `connect` was called. */
export function privateParts(client: Client): PrivateClient {
  return client as unknown as PrivateClient;
}

const constants = ssh2Part('protocol/constants.js') as Record<string, readonly string[]>;
const { sendPacket } = ssh2Part('protocol/utils.js') as {
  sendPacket: (protocol: PrivateProtocol, packet: Buffer) => boolean;
};
const cryptoParts = ssh2Part('protocol/crypto.js') as { bindingAvailable: boolean };
const ownPackage = ssh2Part('../package.json') as { version: string };

/** Sends a message by its number (RFC 4250 4.1), as ssh2 sends its own: after a key exchange under way, compressed where that is on. */
export function sendMessage(protocol: PrivateProtocol, message: number, body: Buffer): void {
  const { write } = protocol._packetRW;
  const start = write.allocStart;
  const packet = write.alloc(1 + body.length);
  packet[start] = message;
  body.copy(packet, start + 1);
  sendPacket(protocol, write.finalize(packet));
}

/** The version of ssh2 that this folder was written against. */
export const knownVersion = '1.17.0';

/** True when ssh2's native crypto was built; without it everything works, slower. */
export function nativeCrypto(): boolean {
  return cryptoParts.bindingAvailable;
}

export interface AlgorithmNames {
  readonly kex: readonly string[];
  readonly hostKey: readonly string[];
  readonly cipher: readonly string[];
  readonly mac: readonly string[];
}

/** What this build of ssh2 (and OpenSSL below it) can do. */
export function supportedAlgorithms(): AlgorithmNames {
  return {
    kex: constants['SUPPORTED_KEX'] ?? [],
    hostKey: constants['SUPPORTED_SERVER_HOST_KEY'] ?? [],
    cipher: constants['SUPPORTED_CIPHER'] ?? [],
    mac: constants['SUPPORTED_MAC'] ?? [],
  };
}

const protocolMethods = [
  'parse',
  'ping',
  'requestFailure',
  'rekey',
  'directTcpip',
  'openssh_directStreamLocal',
  'session',
  'subsystem',
  'exec',
  'channelOpenConfirm',
  'channelOpenFail',
  'channelFailure',
  'channelData',
  'channelWindowAdjust',
  'channelEOF',
  'channelClose',
  'tcpipForward',
  'cancelTcpipForward',
  'openssh_streamLocalForward',
  'openssh_cancelStreamLocalForward',
  '_onWrite',
  '_onPayload',
] as const;

const handlerNames = [
  'GLOBAL_REQUEST',
  'CHANNEL_OPEN',
  'CHANNEL_OPEN_CONFIRMATION',
  'CHANNEL_OPEN_FAILURE',
  'CHANNEL_DATA',
  'CHANNEL_EXTENDED_DATA',
  'CHANNEL_WINDOW_ADJUST',
  'CHANNEL_EOF',
  'CHANNEL_CLOSE',
  'CHANNEL_REQUEST',
  'CHANNEL_SUCCESS',
  'CHANNEL_FAILURE',
  'EXT_INFO',
  'USERAUTH_FAILURE',
  'USERAUTH_SUCCESS',
  'USERAUTH_PK_OK',
  'USERAUTH_INFO_REQUEST',
  'USERAUTH_PASSWD_CHANGEREQ',
  'DISCONNECT',
] as const;

/** What is missing from a connected client, by name; empty when it is the ssh2 we know. */
export function missingParts(client: Client): string[] {
  const parts = privateParts(client);
  const missing = ownPackage.version === knownVersion ? [] : [`version ${knownVersion}`];
  if (!cryptoChanged) missing.push('MAX_PACKET_SIZE');
  if (!Array.isArray(parts._callbacks)) missing.push('_callbacks');
  const protocol: PrivateProtocol | undefined = parts._protocol;
  if (protocol === undefined) return [...missing, '_protocol'];
  missing.push(...protocolMethods.filter((name) => typeof protocol[name] !== 'function'));
  missing.push(...handlerNames.filter((name) => typeof protocol._handlers?.[name] !== 'function'));
  if (typeof protocol._packetRW?.read?.read !== 'function') missing.push('_packetRW.read');
  if (typeof protocol._packetRW?.write?.alloc !== 'function') missing.push('_packetRW.write.alloc');
  if (typeof protocol._packetRW?.write?.finalize !== 'function') missing.push('_packetRW.write.finalize');
  if (typeof protocol._packetRW?.write?.allocStart !== 'number') missing.push('_packetRW.write.allocStart');
  if (!Array.isArray(protocol._authsQueue)) missing.push('_authsQueue');
  if (typeof protocol._skipNextInboundPacket !== 'boolean') missing.push('_skipNextInboundPacket');
  if (typeof protocol._cipher?.allocPacket !== 'function') missing.push('_cipher.allocPacket');
  if (!Array.isArray(protocol._offer?.lists?.kex?.array)) missing.push('_offer');
  return missing;
}

/** Refuses to go on with an ssh2 that is not the one we know. */
export function checkParts(client: Client): void {
  const missing = missingParts(client);
  if (missing.length === 0) return;
  throw new TunnelError(
    'INTERNAL',
    `start failed, on ssh2 ${ownPackage.version}: it lacks ${missing.join(', ')}; this program was made for ssh2 ${knownVersion}`,
    { hint: 'reinstall it: npm install -g tunnelkeeper' },
  );
}
