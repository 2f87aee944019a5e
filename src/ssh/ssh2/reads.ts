// Which read buffers ssh2 still looks at: the condition for using one again (slabs.ts).
import type { Client } from 'ssh2';
import { privateParts, type PrivateProtocol } from './internals.ts';
import type { PendingMemory, ReadSlabs } from '../channels/buffers.ts';

/**
 * OPEN_CONFIRMATION to CLOSE of a channel (RFC 4254 9): nothing is kept of them, and the data is counted by us. An
 * answer to an open that spoilt its buffer made 132 KiB of garbage for each new connection.
 */
const firstCounted = 91;
const lastCounted = 97;

/**
 * Right after `client.connect()`: every other message spoils the buffer it lies in, since ssh2 keeps views of some.
 * Deciphers take `_onPayload` when they are made, so this is in force from the first key exchange on.
 */
export function watchPayloads(client: Client, slabs: ReadSlabs): void {
  const protocol = privateParts(client)._protocol;
  const onPayload = protocol._onPayload;
  protocol._onPayload = (payload) => {
    const type = payload[0] ?? 0;
    if (type < firstCounted || type > lastCounted) slabs.spoil(payload);
    return onPayload(payload);
  };
}

/** Deciphers that decrypt in place and keep, between reads, nothing but the packet they wait for (crypto.js). */
const knownDeciphers = ['AESGCMDecipherBinding', 'ChaChaPolyDecipherBinding'];

/** After the login: from now on buffers are used again. */
export function recycleReads(client: Client, slabs: ReadSlabs): void {
  slabs.recycle(pendingMemory(privateParts(client)._protocol));
}

function pendingMemory(protocol: PrivateProtocol): PendingMemory {
  let decipher: unknown;
  let known = false;
  return () => {
    // the messages of a key exchange pass `_onPayload` by, and views of them are kept until the host key is verified
    if (protocol._kexinit !== undefined) return undefined;
    const current = protocol._decipher;
    if (current !== decipher) {
      decipher = current;
      known = current !== undefined && knownDeciphers.includes(current.constructor.name);
    }
    return known ? (current?._packet?.buffer ?? null) : undefined;
  };
}
