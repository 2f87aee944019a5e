// Key exchanges on a client's connection: the post-quantum one, of which ssh2 has none and no place to add one (SSH2.md 5);
// later ones, in which servers send more than ssh2 takes; and the host certificates that an exchange is signed with.
// ssh2 negotiates and runs what it takes for curve25519-sha256; the exchange is re-skinned before its first message.
import { createHash, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import type { Client } from 'ssh2';
import { isCertificateType } from '../../keys/algorithms.ts';
import { wireReader } from '../../keys/wire.ts';
import { hybridKex, ssh2Part } from './load.ts';
import { privateParts, type PrivateKex, type PrivateProtocol } from './parts.ts';

/** What an exchange computes; the same hash and messages as curve25519-sha256 (RFC 8731). */
interface CurveExchange extends PrivateKex {
  negotiated: PrivateKex['negotiated'] & { kex: string };
  getPublicKey(): Buffer;
  convertPublicKey(key: Buffer): Buffer;
  computeSecret(reply: Buffer): Buffer | Error;
}

/** What ssh2 runs in its place. */
const standIn = 'curve25519-sha256';

/**
 * Right after `client.connect()`, before the server's KEXINIT is in: takes hold of each exchange as ssh2 begins it.
 * When the hybrid method is among those offered and is chosen (RFC 4253 7.1), the exchange is that one, at every rekey
 * too; every later exchange reads on meanwhile.
 */
export function installKex(client: Client): void {
  const protocol = privateParts(client)._protocol;
  const offered = protocol._offer.lists.kex.array;
  const index = offered.indexOf(hybridKex);
  const negotiation = index === -1 ? null : watchNegotiation(offered, index);
  if (negotiation !== null) protocol._offer.lists.kex.array = negotiation.list;
  let current = protocol._kex as CurveExchange | undefined;
  Object.defineProperty(protocol, '_kex', {
    configurable: true,
    enumerable: true,
    get: () => current,
    set(next: CurveExchange | undefined) {
      const isLater = current !== undefined; // the last one stays where it is when it is done
      current = next;
      const chosen = negotiation?.chosen() ?? false;
      if (next === undefined) return;
      if (chosen && serverOffers(next)) reskin(next);
      if (isLater) readOnMeanwhile(protocol);
    },
  } satisfies PropertyDescriptor & ThisType<PrivateProtocol>);
}

/**
 * ssh2 asks the server's list for our name first, and takes the name a second time only when it was found: that time
 * it gets the name of what it can run.
 */
function watchNegotiation(offered: readonly string[], index: number): { list: string[]; chosen(): boolean } {
  const list = [...offered];
  let reads = 0;
  Object.defineProperty(list, index, {
    configurable: true,
    enumerable: true,
    get() {
      reads += 1;
      return reads === 1 ? hybridKex : standIn;
    },
  });
  return {
    list,
    chosen() {
      const chosen = reads > 1;
      reads = 0;
      return chosen;
    },
  };
}

/** The name-list of key exchange methods in the server's KEXINIT: after the message number and the cookie. */
function serverOffers(exchange: CurveExchange): boolean {
  const kexinit = exchange._remoteKexinit;
  if (kexinit === undefined) return false;
  return wireReader(kexinit.subarray(17)).text().split(',').includes(hybridKex);
}

function reskin(exchange: CurveExchange): void {
  let hybrid: HybridExchange | null = null;
  const start = (): HybridExchange => (hybrid ??= startHybridExchange());
  exchange.negotiated.kex = hybridKex;
  exchange.getPublicKey = () => start().init;
  exchange.convertPublicKey = (reply) => reply;
  exchange.computeSecret = (reply) => {
    try {
      return start().secret(reply);
    } catch (error) {
      return error instanceof Error ? error : new Error('the key exchange failed'); // how ssh2 takes a failure
    }
  };
}

/** FIPS 203, table 3: bytes of a key and of a ciphertext of ML-KEM-768; X25519 keys have 32. */
const kemCiphertext = 1088;
const curveKey = 32;

/** The hybrid secret (draft-ietf-sshm-mlkem-hybrid-kex 2.1 to 2.4), the client's side: fresh keys, used once. */
export interface HybridExchange {
  /** C_INIT: the ML-KEM key (1184 bytes), then the X25519 key. */
  readonly init: Buffer;
  /**
   * K from S_REPLY (the ML-KEM ciphertext, then the server's X25519 key): SHA-256 over both secrets, to be hashed as a
   * string. Throws RangeError for a reply of another length, and as node:crypto does for an X25519 key of low order.
   */
  secret(reply: Buffer): Buffer;
}

/** SubjectPublicKeyInfo of an X25519 key (RFC 8410 4) up to the key itself. */
const spkiHead = Buffer.from('302a300506032b656e032100', 'hex');

export function startHybridExchange(): HybridExchange {
  const kem = ml_kem768.keygen();
  const curve = generateKeyPairSync('x25519');
  const ownPoint = curve.publicKey.export({ type: 'spki', format: 'der' }).subarray(spkiHead.length);
  return {
    init: Buffer.concat([kem.publicKey, ownPoint]),
    secret(reply) {
      if (reply.length !== kemCiphertext + curveKey)
        throw new RangeError(`the server's key exchange reply has ${reply.length} bytes, not 1120`);
      const quantum = ml_kem768.decapsulate(reply.subarray(0, kemCiphertext), kem.secretKey);
      const point = Buffer.concat([spkiHead, reply.subarray(kemCiphertext)]);
      const theirs = createPublicKey({ key: point, format: 'der', type: 'spki' });
      const classical = diffieHellman({ privateKey: curve.privateKey, publicKey: theirs });
      const secret = createHash('sha256').update(quantum).update(classical).digest();
      for (const spent of [kem.secretKey, quantum, classical]) spent.fill(0);
      return secret;
    },
  };
}

// A later key exchange: what a server may send meanwhile, and what some send all the same.

type Handler = (protocol: PrivateProtocol, payload: Buffer) => unknown;

const handlers = ssh2Part('protocol/handlers.js') as Readonly<Record<number, Handler | undefined>>;

const kexinit = 20;
const newkeys = 21;
/** RFC 4250 4.1.2: what belongs to the method of key exchange. */
const method = { first: 30, last: 49 };
/** SSH_MSG_GLOBAL_REQUEST: here the connection protocol begins. */
const firstOfConnection = 80;
/** DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG; EXT_INFO. */
const generic = [1, 2, 3, 4, 7];

/**
 * Strict key exchange forbids other messages in the first exchange only (OpenSSH PROTOCOL 1.10); ssh2 does in all.
 * When ssh2 has just begun a later exchange: its decipher reads on by our rules until the new keys. RFC 4253 7.1 lets
 * generic messages through; messages of the connection protocol behind a KEXINIT it forbids, but asyncssh sends them
 * and ssh takes them.
 */
function readOnMeanwhile(protocol: PrivateProtocol): void {
  const decipher = protocol._decipher;
  if (decipher === undefined) return;
  decipher._onPayload = (packed) => {
    if (packed.length === 0) return undefined;
    const payload = protocol._packetRW.read.read(packed);
    const type = payload[0] ?? 0;
    if (type === newkeys || (type >= method.first && type <= method.last)) {
      if (!protocol._skipNextInboundPacket) return protocol._kex?.parse(payload);
      protocol._skipNextInboundPacket = false; // a guess that was wrong (RFC 4253 7.1)
      return undefined;
    }
    if (type >= firstOfConnection || generic.includes(type)) return handlers[type]?.(protocol, payload);
    throw new Error(
      type === kexinit
        ? 'the server began a key exchange within another'
        : `the server sent message ${type} during a key exchange`,
    );
  };
}

/** What an RSA certificate calls itself, whatever it is negotiated and signed as (PROTOCOL.certkeys). */
const rsaCertificate = 'ssh-rsa-cert-v01@openssh.com';

/**
 * Host certificates: ssh2 knows none, but hashes and checks what it is shown (SSH2.md 4). load.ts lets their types through
 * its lists, we judge the certificate, and its plain key is what ssh2 then checks the signature with.
 */
export interface HostCertificates {
  /** Before ssh2 sees a chunk: an RSA certificate has another name than its algorithm, which ssh2 compares. */
  expect(): void;
  /** In the verifier: from here on ssh2 checks the signature with `plainKey`. On every key exchange. */
  unwrap(plainKey: Buffer): void;
}

export function hostCertificates(client: Client): HostCertificates {
  const protocol = privateParts(client)._protocol;
  /** The signature algorithm that the negotiated certificate type stands for. */
  let signedAs = '';
  return {
    expect() {
      const negotiated = protocol._kex?.negotiated;
      if (negotiated === undefined || !isCertificateType(negotiated.serverHostKey)) return;
      if (negotiated.serverHostKey === rsaCertificate) return;
      signedAs = negotiated.serverHostKey.replace('-cert-v01@openssh.com', '');
      if (signedAs.startsWith('rsa-')) negotiated.serverHostKey = rsaCertificate;
    },
    unwrap(plainKey) {
      const kex = protocol._kex;
      const presented = kex?._hostKey;
      if (kex === undefined || presented === undefined) return;
      const typeLength = plainKey.readUInt32BE(0);
      const type = plainKey.toString('latin1', 4, 4 + typeLength);
      const fields = plainKey.subarray(4 + typeLength);
      kex.negotiated.serverHostKey = signedAs;
      // kex.js reads the type with utf8Slice and the rest with slice; the exchange hash takes the bytes themselves
      Object.assign(presented, { utf8Slice: () => type, slice: () => fields });
    },
  };
}
