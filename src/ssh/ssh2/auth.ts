// The authentication conversation (RFC 4252, 4256) on a client's connection: one request, one reply, past ssh2's own.
// ssh2 signs certificates wrongly, falls back to SHA-1, and runs through every agent key after a partial success (SSH2.md 3).
import type { Client } from 'ssh2';
import { privateParts, sendMessage, type PrivateProtocol } from './parts.ts';
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

const messageRequest = 50;
const messageInfoResponse = 61;

/**
 * Hooks a connected client, right after `client.connect()`. `succeeded` is called just before ssh2 hears of the
 * success and emits 'ready'.
 */
export function hookAuth(client: Client, succeeded: () => void): AuthWire {
  return new Conversation(client, succeeded);
}

class Conversation implements AuthWire {
  readonly ended: Promise<void>;
  readonly #protocol: PrivateProtocol;
  #waiting: { resolve(reply: AuthReply): void; reject(error: Error): void } | null = null;
  #algorithms: readonly string[] | null = null;
  #proof: HostKeyProof | null = null;
  #farewell = false;
  #gone = false;

  constructor(client: Client, succeeded: () => void) {
    this.#protocol = privateParts(client)._protocol;
    hookReplies(this.#protocol, (reply) => this.#settle(reply), succeeded);
    this.#hookExtensions();
    this.#hookDisconnect();
    this.#hookVerifier();
    this.ended = new Promise((resolve) => {
      client.once('close', () => {
        this.#gone = true;
        this.#waiting?.reject(new ConnectionGone('the connection ended'));
        this.#waiting = null;
        resolve();
      });
    });
  }

  get sessionId(): Buffer {
    return this.#protocol._kex?.sessionID ?? Buffer.alloc(0);
  }

  get signatureAlgorithms(): readonly string[] | null {
    return this.#algorithms;
  }

  get proof(): HostKeyProof | null {
    return this.#proof;
  }

  get farewell(): boolean {
    return this.#farewell;
  }

  get gone(): boolean {
    return this.#gone;
  }

  request(method: string, body: Buffer): Promise<AuthReply> {
    this.#protocol._authsQueue.splice(0, Infinity, method);
    return this.#send(messageRequest, body);
  }

  respond(answers: readonly string[]): Promise<AuthReply> {
    const body = Buffer.concat([wireUint32(answers.length), ...answers.map((answer) => wireString(answer))]);
    return this.#send(messageInfoResponse, body);
  }

  #send(message: number, body: Buffer): Promise<AuthReply> {
    if (this.#gone) return Promise.reject(new ConnectionGone('the connection ended'));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      try {
        sendMessage(this.#protocol, message, body);
      } catch (cause) {
        this.#waiting = null;
        reject(new ConnectionGone('the connection ended', { cause })); // ssh2 throws once it has let go of its parts
      }
    });
  }

  #settle(reply: AuthReply): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(reply);
  }

  #hookExtensions(): void {
    const handlers = this.#protocol._handlers;
    type Extensions = readonly { name: string; algs?: string[] }[];
    const known = handlers['EXT_INFO'] as (protocol: PrivateProtocol, list: Extensions) => void;
    handlers['EXT_INFO'] = ((protocol: PrivateProtocol, list: Extensions) => {
      this.#algorithms ??= list.find(({ name }) => name === 'server-sig-algs')?.algs ?? null;
      known(protocol, list);
    }) as never;
  }

  #hookDisconnect(): void {
    const handlers = this.#protocol._handlers;
    type Disconnect = (protocol: PrivateProtocol, reason: number, words: string) => void;
    const known = handlers['DISCONNECT'] as Disconnect;
    handlers['DISCONNECT'] = ((protocol, reason, words) => {
      this.#farewell = true;
      known(protocol, reason, words);
    }) satisfies Disconnect as never;
  }

  /** The signature of the host key is with ssh2 when it asks about the key. */
  #hookVerifier(): void {
    const verify = this.#protocol._hostVerifier;
    if (verify === undefined) return;
    this.#protocol._hostVerifier = (key, done) => {
      const kex = this.#protocol._kex as { _sig?: Buffer } | undefined;
      if (this.#proof === null && kex?._sig !== undefined)
        this.#proof = { hostKey: Buffer.from(key), signature: Buffer.from(kex._sig) };
      return verify(key, done);
    };
  }
}

/** Replaces ssh2's handlers of replies; its own method in progress is never set, so nothing of it may run. */
function hookReplies(
  protocol: PrivateProtocol,
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
