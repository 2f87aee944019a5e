// Key exchanges on a client's connection, and the post-quantum one: ssh2 has none and no place to add one (SSH2.md 5).
// ssh2 negotiates and runs what it takes for curve25519-sha256; the exchange is re-skinned before its first message.
import type { Client } from 'ssh2';
import { hybridKex, startHybridExchange, type HybridExchange } from './hybrid-secret.ts';
import { ssh2Part } from './load.ts';
import { readOnMeanwhile } from './rekey.ts';
import { privateParts, type PrivateKex, type PrivateProtocol } from './internals.ts';
import { wireReader } from '../../keys/wire.ts';

/** What an exchange computes; the same hash and messages as curve25519-sha256 (RFC 8731). */
interface CurveExchange extends PrivateKex {
  negotiated: PrivateKex['negotiated'] & { kex: string };
  getPublicKey(): Buffer;
  convertPublicKey(key: Buffer): Buffer;
  computeSecret(reply: Buffer): Buffer | Error;
}

const constants = ssh2Part('protocol/constants.js') as { SUPPORTED_KEX: string[] };

/** What ssh2 runs in its place. */
const standIn = 'curve25519-sha256';

/** Lets `client.connect({ algorithms: { kex } })` take the name. Once a process, before the first connect. */
export function allowHybridKex(): void {
  if (!constants.SUPPORTED_KEX.includes(hybridKex)) constants.SUPPORTED_KEX.push(hybridKex);
}

allowHybridKex();

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
