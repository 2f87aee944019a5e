// The authentication conversation (RFC 4252, 4256) on a client's connection: one request, one reply, past ssh2's own.
// ssh2 signs certificates wrongly, falls back to SHA-1, and runs through every agent key after a partial success (SSH2.md 3).
import type { Client } from 'ssh2';
import { privateParts, type PrivateProtocol } from './internals.ts';
import { ssh2Part } from './load.ts';
import { wireString, wireUint32 } from '../../keys/wire.ts';

export interface Prompt {
  readonly prompt: string;
  readonly echo: boolean;
}

/** What the server says to a request. Texts are as sent: clean them before showing. */
export type AuthReply =
  | { readonly kind: 'success' }
  | { readonly kind: 'failure'; readonly methods: readonly string[]; readonly partial: boolean }
  | { readonly kind: 'key-accepted' }
  | {
      readonly kind: 'questions';
      readonly name: string;
      readonly instruction: string;
      readonly prompts: readonly Prompt[];
    }
  | { readonly kind: 'change-password'; readonly prompt: string };

/** The host key that opened this connection and its signature, as an agent wants them (session-bind@openssh.com). */
export interface HostKeyProof {
  readonly hostKey: Buffer;
  readonly signature: Buffer;
}

export interface AuthWire {
  /** Sends SSH_MSG_USERAUTH_REQUEST (`body` after the message number). Rejects with ConnectionGone when the link ends. */
  request(method: string, body: Buffer): Promise<AuthReply>;
  /** Sends SSH_MSG_USERAUTH_INFO_RESPONSE. */
  respond(answers: readonly string[]): Promise<AuthReply>;
  readonly sessionId: Buffer;
  /** server-sig-algs of EXT_INFO (RFC 8308); null when the server sent none. */
  readonly signatureAlgorithms: readonly string[] | null;
  readonly proof: HostKeyProof | null;
  /** The server sent SSH_MSG_DISCONNECT. */
  readonly farewell: boolean;
  readonly gone: boolean;
  /** Resolves when the connection has ended. */
  readonly ended: Promise<void>;
}

/** The connection ended before the server answered. */
export class ConnectionGone extends Error {
  override readonly name = 'ConnectionGone';
}

interface AuthProtocol extends PrivateProtocol {
  /** What each reply of type 60 is read as. */
  _authsQueue: string[];
  _packetRW: PrivateProtocol['_packetRW'] & {
    write: { allocStart: number; alloc(length: number): Buffer; finalize(packet: Buffer): Buffer };
  };
  _hostVerifier: ((key: Buffer, done: (permitted: boolean) => void) => boolean | undefined) | undefined;
}

const { sendPacket } = ssh2Part('protocol/utils.js') as {
  sendPacket: (protocol: AuthProtocol, packet: Buffer) => boolean;
};

const messageRequest = 50;
const messageInfoResponse = 61;

/** Private parts that must be there; `missingAuthParts` is checked by a test against the pinned ssh2. */
const handlerNames = [
  'EXT_INFO',
  'USERAUTH_FAILURE',
  'USERAUTH_SUCCESS',
  'USERAUTH_PK_OK',
  'USERAUTH_INFO_REQUEST',
  'USERAUTH_PASSWD_CHANGEREQ',
  'DISCONNECT',
] as const;

/** What is missing from a connected client, by name; empty when it is the ssh2 we know. */
export function missingAuthParts(client: Client): string[] {
  const protocol: AuthProtocol | undefined = privateParts(client)._protocol as AuthProtocol | undefined;
  if (protocol === undefined) return ['_protocol'];
  const missing: string[] = handlerNames.filter((name) => typeof protocol._handlers?.[name] !== 'function');
  if (!Array.isArray(protocol._authsQueue)) missing.push('_authsQueue');
  if (typeof protocol._packetRW?.write?.alloc !== 'function') missing.push('_packetRW.write.alloc');
  if (typeof protocol._packetRW?.write?.finalize !== 'function') missing.push('_packetRW.write.finalize');
  if (typeof protocol._packetRW?.write?.allocStart !== 'number') missing.push('_packetRW.write.allocStart');
  if (typeof sendPacket !== 'function') missing.push('sendPacket');
  return missing;
}

interface Conversation {
  waiting: { resolve(reply: AuthReply): void; reject(error: Error): void } | null;
  algorithms: readonly string[] | null;
  proof: HostKeyProof | null;
  farewell: boolean;
  gone: boolean;
}

/**
 * Hooks a connected client, right after `client.connect()`. `succeeded` is called just before ssh2 hears of the
 * success and emits 'ready'.
 */
export function hookAuth(client: Client, succeeded: () => void): AuthWire {
  const protocol = privateParts(client)._protocol as AuthProtocol;
  const talk: Conversation = { waiting: null, algorithms: null, proof: null, farewell: false, gone: false };
  const settle = (reply: AuthReply): void => {
    const { waiting } = talk;
    talk.waiting = null;
    waiting?.resolve(reply);
  };
  hookReplies(protocol, settle, succeeded);
  hookFacts(protocol, talk);
  const ended = new Promise<void>((resolve) => {
    client.once('close', () => {
      talk.gone = true;
      talk.waiting?.reject(new ConnectionGone('the connection ended'));
      talk.waiting = null;
      resolve();
    });
  });
  const send = (message: number, body: Buffer): Promise<AuthReply> => {
    if (talk.gone) return Promise.reject(new ConnectionGone('the connection ended'));
    return new Promise((resolve, reject) => {
      talk.waiting = { resolve, reject };
      try {
        sendMessage(protocol, message, body);
      } catch (cause) {
        talk.waiting = null;
        reject(new ConnectionGone('the connection ended', { cause })); // ssh2 throws once it has let go of its parts
      }
    });
  };
  return {
    request(method, body) {
      protocol._authsQueue.splice(0, Infinity, method);
      return send(messageRequest, body);
    },
    respond: (answers) =>
      send(
        messageInfoResponse,
        Buffer.concat([wireUint32(answers.length), ...answers.map((answer) => wireString(answer))]),
      ),
    get sessionId() {
      return protocol._kex?.sessionID ?? Buffer.alloc(0);
    },
    get signatureAlgorithms() {
      return talk.algorithms;
    },
    get proof() {
      return talk.proof;
    },
    get farewell() {
      return talk.farewell;
    },
    get gone() {
      return talk.gone;
    },
    ended,
  };
}

function sendMessage(protocol: AuthProtocol, message: number, body: Buffer): void {
  const { write } = protocol._packetRW;
  const start = write.allocStart;
  const packet = write.alloc(1 + body.length);
  packet[start] = message;
  body.copy(packet, start + 1);
  sendPacket(protocol, write.finalize(packet));
}

/** Replaces ssh2's handlers of replies; its own method in progress is never set, so nothing of it may run. */
function hookReplies(
  protocol: AuthProtocol,
  settle: (reply: AuthReply) => void,
  succeeded: () => void,
): void {
  const handlers = protocol._handlers;
  const hook = <Fields extends unknown[]>(name: string, read: (...fields: Fields) => AuthReply): void => {
    handlers[name] = ((_protocol: PrivateProtocol, ...fields: Fields) => settle(read(...fields))) as never;
  };
  hook('USERAUTH_FAILURE', (methods: string[] | undefined, partial: boolean) => ({
    kind: 'failure',
    methods: methods ?? [],
    partial,
  }));
  hook('USERAUTH_PK_OK', () => ({ kind: 'key-accepted' }));
  hook('USERAUTH_INFO_REQUEST', (name: string, instruction: string, prompts: Prompt[]) => ({
    kind: 'questions',
    name: name ?? '',
    instruction: instruction ?? '',
    prompts: prompts ?? [],
  }));
  hook('USERAUTH_PASSWD_CHANGEREQ', (prompt: string) => ({ kind: 'change-password', prompt: prompt ?? '' }));
  const ready = handlers['USERAUTH_SUCCESS'] as (protocol: PrivateProtocol) => void;
  handlers['USERAUTH_SUCCESS'] = (() => {
    succeeded();
    settle({ kind: 'success' });
    ready(protocol);
  }) as never;
}

function hookFacts(protocol: AuthProtocol, talk: Conversation): void {
  const handlers = protocol._handlers;
  const extensions = handlers['EXT_INFO'] as (protocol: PrivateProtocol, list: readonly object[]) => void;
  handlers['EXT_INFO'] = ((
    _protocol: PrivateProtocol,
    list: readonly { name: string; algs?: string[] }[],
  ) => {
    const found = list.find(({ name }) => name === 'server-sig-algs')?.algs;
    if (found !== undefined) talk.algorithms ??= found;
    extensions(protocol, list);
  }) as never;
  const farewell = handlers['DISCONNECT'] as (
    protocol: PrivateProtocol,
    reason: number,
    words: string,
  ) => void;
  handlers['DISCONNECT'] = ((_protocol: PrivateProtocol, reason: number, words: string) => {
    talk.farewell = true;
    farewell(protocol, reason, words);
  }) as never;
  const verify = protocol._hostVerifier;
  if (verify === undefined) return;
  protocol._hostVerifier = (key, done) => {
    const kex = protocol._kex as { _sig?: Buffer } | undefined;
    if (talk.proof === null && kex?._sig !== undefined)
      talk.proof = { hostKey: Buffer.from(key), signature: Buffer.from(kex._sig) };
    return verify(key, done);
  };
}
