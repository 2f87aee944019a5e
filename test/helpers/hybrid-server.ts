// The other side of mlkem768x25519-sha256, written from RFC 4253, RFC 5647 and draft-ietf-sshm-mlkem-hybrid-kex alone:
// its own transport, none of ssh2 and none of src/. It lets everybody in, can ask for new keys, and says what it is told.
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  randomBytes,
  sign,
} from 'node:crypto';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js';

export interface HybridServer extends AsyncDisposable {
  readonly port: number;
  /** What the last client offered for key exchange, in its order. */
  readonly offered: () => readonly string[];
  /** Exchanges that were completed, over all connections. */
  readonly exchanges: () => number;
  /** Asks the connected client for new keys. */
  rekey(): void;
  /** Resolves when so many exchanges were completed. */
  reached(exchanges: number): Promise<void>;
  /** The last client's side of the wire. */
  peer(): RawPeer;
}

/** A connection as its server has it. */
export interface RawPeer {
  readonly socket: Socket;
  /** A packet, as it is: also where the RFC forbids it. */
  send(payload: Buffer): void;
  /** A packet by its insides: the length of the padding, the payload, the padding. Nothing of it needs to be right. */
  seal(body: Buffer): void;
}

export interface HybridServerOptions {
  readonly kex?: readonly string[];
  /** Spoils S_REPLY. */
  readonly spoil?: (reply: Buffer) => Buffer;
  /** Says the identification in its own way. */
  readonly greet?: (socket: Socket, ident: string) => void;
  /** Sees a message of the client first; true: it was answered. */
  readonly heard?: (payload: Buffer, peer: RawPeer) => boolean;
  /** Which of its two keys it shows in an exchange, and which signs; `done`: exchanges before it. The first one, else. */
  readonly keys?: (done: number) => { readonly shown: 0 | 1; readonly signs: 0 | 1 };
  /** Called in each exchange, after both KEXINITs and before the reply; `done`: exchanges before it. */
  readonly midway?: (peer: RawPeer, done: number) => void;
}

const hybrid = 'mlkem768x25519-sha256';
const message = {
  disconnect: 1,
  serviceRequest: 5,
  serviceAccept: 6,
  kexinit: 20,
  newkeys: 21,
  init: 30,
  reply: 31,
  userauth: 50,
  success: 52,
  global: 80,
  failure: 82,
  ignore: 2,
};

export const uint32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32BE(value);
  return buffer;
};
export const string = (value: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(value as Uint8Array);
  return Buffer.concat([uint32(bytes.length), bytes]);
};
const take = (buffer: Buffer, at: number): Buffer =>
  buffer.subarray(at + 4, at + 4 + buffer.readUInt32BE(at));

export async function startHybridServer(options: HybridServerOptions = {}): Promise<HybridServer> {
  const state = {
    offered: [] as readonly string[],
    exchanges: 0,
    waiting: [] as { at: number; go(): void }[],
  };
  const sockets = new Set<Socket>();
  let rekey = (): void => undefined;
  let peer: RawPeer | null = null;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    ({ rekey, peer } = serve(socket, options, state));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    offered: () => state.offered,
    exchanges: () => state.exchanges,
    rekey: () => rekey(),
    peer: () => {
      if (peer === null) throw new Error('no client yet');
      return peer;
    },
    reached: (at) =>
      new Promise((go) => {
        if (state.exchanges >= at) go();
        else state.waiting.push({ at, go });
      }),
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

interface Keys {
  readonly key: Buffer;
  readonly iv: Buffer;
}

function serve(
  socket: Socket,
  options: HybridServerOptions,
  state: { offered: readonly string[]; exchanges: number; waiting: { at: number; go(): void }[] },
): { rekey: () => void; peer: RawPeer } {
  const identS = 'SSH-2.0-HybridTest';
  const hosts = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')] as const;
  const blobs = hosts.map(({ publicKey }) =>
    Buffer.concat([
      string('ssh-ed25519'),
      string(publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)),
    ]),
  );
  let identC = '';
  let input = Buffer.alloc(0);
  let inKeys: Keys | null = null;
  let outKeys: Keys | null = null;
  let nextIn: Keys | null = null;
  let sessionId: Buffer | null = null;
  let ourInit: Buffer | null = null;
  let theirInit: Buffer | null = null;

  const bump = (iv: Buffer): void => void iv.writeBigUInt64BE(iv.readBigUInt64BE(4) + 1n, 4);
  const send = (payload: Buffer): void => {
    const block = outKeys === null ? 8 : 16;
    const covered = outKeys === null ? 4 : 0; // GCM: the length is not part of what is padded
    let padding = block - ((covered + 1 + payload.length) % block);
    if (padding < 4) padding += block;
    seal(Buffer.concat([Buffer.from([padding]), payload, randomBytes(padding)]));
  };
  const seal = (body: Buffer): void => {
    const length = uint32(body.length);
    if (outKeys === null) return void socket.write(Buffer.concat([length, body]));
    const cipher = createCipheriv('aes-128-gcm', outKeys.key, outKeys.iv).setAAD(length);
    const sealed = Buffer.concat([cipher.update(body), cipher.final()]);
    bump(outKeys.iv);
    socket.write(Buffer.concat([length, sealed, cipher.getAuthTag()]));
  };
  const sendKexinit = (): void => {
    const lists = [
      (options.kex ?? [hybrid]).join(','),
      'ssh-ed25519',
      'aes128-gcm@openssh.com',
      'aes128-gcm@openssh.com',
      'hmac-sha2-256',
      'hmac-sha2-256',
      'none',
      'none',
      '',
      '',
    ];
    ourInit = Buffer.concat([
      Buffer.from([message.kexinit]),
      randomBytes(16),
      ...lists.map((list) => string(list)),
      Buffer.alloc(5),
    ]);
    send(ourInit);
  };
  const exchange = (payload: Buffer): void => {
    const clientInit = take(payload, 1);
    const { shown, signs } = options.keys?.(state.exchanges) ?? { shown: 0, signs: 0 };
    const hostBlob = blobs[shown] ?? Buffer.alloc(0);
    options.midway?.(peer, state.exchanges);
    if (clientInit.length !== 1184 + 32) return void socket.destroy(new Error('C_INIT has a wrong length'));
    const { cipherText, sharedSecret } = ml_kem768.encapsulate(clientInit.subarray(0, 1184));
    const own = generateKeyPairSync('x25519');
    const theirs = createPublicKey({
      key: Buffer.concat([Buffer.from('302a300506032b656e032100', 'hex'), clientInit.subarray(1184)]),
      format: 'der',
      type: 'spki',
    });
    const classical = diffieHellman({ privateKey: own.privateKey, publicKey: theirs });
    const secret = string(createHash('sha256').update(sharedSecret).update(classical).digest());
    const honest = Buffer.concat([
      cipherText,
      own.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32),
    ]);
    const reply = options.spoil?.(honest) ?? honest;
    const hash = createHash('sha256');
    for (const part of [identC, identS, theirInit ?? '', ourInit ?? '', hostBlob, clientInit, honest])
      hash.update(string(part));
    const exchangeHash = hash.update(secret).digest();
    sessionId ??= exchangeHash;
    const id = sessionId;
    const derive = (letter: string, length: number): Buffer =>
      createHash('sha256')
        .update(secret)
        .update(exchangeHash)
        .update(letter)
        .update(id)
        .digest()
        .subarray(0, length);
    const signature = Buffer.concat([
      string('ssh-ed25519'),
      string(sign(null, exchangeHash, hosts[signs].privateKey)),
    ]);
    send(Buffer.concat([Buffer.from([message.reply]), string(hostBlob), string(reply), string(signature)]));
    send(Buffer.from([message.newkeys]));
    outKeys = { key: derive('D', 16), iv: Buffer.from(derive('B', 12)) };
    nextIn = { key: derive('C', 16), iv: Buffer.from(derive('A', 12)) };
    ourInit = null;
    for (const payload of queued.splice(0)) send(payload);
  };
  // between our KEXINIT and our NEWKEYS nothing else may be sent (RFC 4253 7.1)
  const queued: Buffer[] = [];
  const reply = (payload: Buffer): void => {
    if (ourInit === null) send(payload);
    else queued.push(payload);
  };
  const peer: RawPeer = { socket, send: (payload) => send(payload), seal: (body) => seal(body) };
  const handle = (payload: Buffer): void => {
    const type: number = payload[0] ?? 0;
    if (options.heard?.(payload, peer) === true) return;
    switch (type) {
      case message.kexinit:
        theirInit = payload;
        state.offered = take(payload, 17).toString().split(',');
        if (ourInit === null) sendKexinit();
        return;
      case message.init:
        return exchange(payload);
      case message.newkeys:
        inKeys = nextIn;
        state.exchanges += 1;
        for (const waiter of state.waiting) if (state.exchanges >= waiter.at) waiter.go();
        return;
      case message.serviceRequest:
        return send(Buffer.concat([Buffer.from([message.serviceAccept]), payload.subarray(1)]));
      case message.userauth:
        return send(Buffer.from([message.success]));
      case message.global:
        return reply(Buffer.from([message.failure]));
      default:
        return;
    }
  };
  const open = (): Buffer | null => {
    if (input.length < 4) return null;
    const length = input.readUInt32BE(0);
    const total = 4 + length + (inKeys === null ? 0 : 16);
    if (input.length < total) return null;
    const packet = input.subarray(0, total);
    input = input.subarray(total);
    let body = packet.subarray(4, 4 + length);
    if (inKeys !== null) {
      const decipher = createDecipheriv('aes-128-gcm', inKeys.key, inKeys.iv)
        .setAAD(packet.subarray(0, 4))
        .setAuthTag(packet.subarray(4 + length));
      body = Buffer.concat([decipher.update(body), decipher.final()]);
      bump(inKeys.iv);
    }
    return Buffer.from(body.subarray(1, body.length - (body[0] ?? 0)));
  };
  if (options.greet === undefined) socket.write(`${identS}\r\n`);
  else options.greet(socket, identS);
  sendKexinit();
  socket.on('data', (chunk) => {
    input = Buffer.concat([input, chunk]);
    if (identC === '') {
      const end = input.indexOf('\r\n');
      if (end === -1) return;
      identC = input.subarray(0, end).toString();
      input = input.subarray(end + 2);
    }
    try {
      for (let payload = open(); payload !== null; payload = open()) handle(payload);
    } catch {
      socket.destroy(); // sealed with other keys: the last words of a client that gives up in an exchange
    }
  });
  return { rekey: sendKexinit, peer };
}
