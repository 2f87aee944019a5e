// A later key exchange: what a server may send meanwhile, and what some send all the same.
// Strict key exchange forbids everything else in the first exchange only (OpenSSH PROTOCOL 1.10); ssh2 does in all.
import { ssh2Part } from './load.ts';
import type { PrivateProtocol } from './internals.ts';

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
 * When ssh2 has just begun a later exchange: its decipher reads on by our rules until the new keys. RFC 4253 7.1 lets
 * generic messages through; messages of the connection protocol behind a KEXINIT it forbids, but asyncssh sends them
 * and ssh takes them.
 */
export function readOnMeanwhile(protocol: PrivateProtocol): void {
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
