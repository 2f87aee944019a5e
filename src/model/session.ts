// Sessions and channels as the rest of the house sees them: pure types, so that forward/ and supervisor/ never meet ssh2.
import type { GiveUpSignal } from './give-up.ts';
import type { ErrorCode, TunnelError } from '../errors.ts';
import type { Endpoint } from './endpoint.ts';
import type { Host } from './host.ts';
import type { Answer, PendingQuestion } from './question.ts';
import type { TypedSecrets } from './handover.ts';
import type { NegotiatedAlgorithms } from './status.ts';

/** Callbacks of one channel, called from the packet parser: they must not throw and must not block. */
export interface ChannelReader {
  /**
   * A promise: nobody looks at a chunk any more once it was `consumed`, not even a write that is under way. Its memory
   * is used for what comes next. Without it a chunk is the reader's for good.
   */
  readonly letsGo?: boolean;
  /** Bytes from the far side. The buffer is yours; call `consumed` once they have left for good. */
  data(chunk: Buffer): void;
  /** The far side sent SSH_MSG_CHANNEL_EOF: nothing more will come. */
  end(): void;
  /** The channel is over. `clean`: the far side closed it (or both did) while the link lived. Called exactly once. */
  closed(clean: boolean): void;
  /** `write` answered false before and may be called again. */
  drain(): void;
}

/** One SSH channel, direct-tcpip or forwarded. Not a Node stream: flow control is explicit in both directions. */
export interface Channel {
  /** Starts delivery. Exactly once; nothing is delivered before. */
  attach(reader: ChannelReader): void;
  /** Gives window back to the far side: `bytes` of what `data` delivered are no longer buffered here. */
  consumed(bytes: number): void;
  /**
   * Takes the chunk in any case, and copies what it keeps of it: its memory is the writer's again. False asks the writer to
   * wait for `drain` (window or transport full).
   */
  write(chunk: Buffer): boolean;
  /** Sends SSH_MSG_CHANNEL_EOF after everything written. */
  end(): void;
  /** Sends SSH_MSG_CHANNEL_CLOSE: no more is wanted in either direction. Idempotent. */
  close(): void;
}

/** Where a forwarded connection came from, for the server's log. */
export interface Origin {
  readonly host: string;
  readonly port: number;
}

/** A listener on the server (-R). */
export interface RemoteListener {
  /** The address asked for, with the port the server chose. */
  readonly at: Endpoint;
  /** What the server's debug message says it bound instead, null when it said nothing. */
  readonly overriddenBy: string | null;
  /**
   * Cancels the listener; resolves when the server answered, the session ended, or `timeoutMs` passed. Null: it is gone.
   * Else why it may still be there, and is until the session ends: its connections are refused meanwhile, and who asks
   * this session for the same address takes it over.
   */
  close(timeoutMs: number): Promise<TunnelError | null>;
}

/** One live authenticated SSH connection. */
export interface Session {
  readonly host: Host;
  readonly algorithms: NegotiatedAlgorithms;
  /** Which credential the server accepted, in words ("agent key ED25519 SHA256:…"). No secret. */
  readonly login: LoginRecord;
  /** Round trip of the last ping in milliseconds, null before the first. */
  readonly latencyMs: number | null;
  /**
   * Opens a direct-tcpip or direct-streamlocal channel.
   * Throws TunnelError FORWARD_REFUSED (the server's reason and words), TIMED_OUT or LINK_LOST.
   */
  openChannel(
    target: Endpoint,
    origin: Origin,
    limits: { timeoutMs: number; signal?: GiveUpSignal },
  ): Promise<Channel>;
  /** Asks the server to listen. Throws FORWARD_REFUSED, TIMED_OUT or LINK_LOST. */
  listenRemote(
    at: Endpoint,
    accept: (channel: Channel, origin: Origin) => void,
    limits: { timeoutMs: number },
  ): Promise<RemoteListener>;
  /**
   * Removes a unix socket on the server (nothing but a socket), over SFTP. False where the server does not allow it
   * or there is none. Absent where a session cannot.
   */
  removeSocket?(path: string, timeoutMs: number): Promise<boolean>;
  /**
   * What a command writes on the server, at most so many bytes of it and as long as it may take; empty where the server runs
   * none. Throws FORWARD_REFUSED where the server opens no session channel, TIMED_OUT or LINK_LOST. Absent where a session cannot.
   */
  runCommand?(
    command: string,
    limits: { readonly timeoutMs: number; readonly mostBytes: number },
  ): Promise<Buffer>;
  /** Round trip in milliseconds. Throws LINK_LOST when nothing answers within the limit (and ends the session). */
  ping(timeoutMs: number): Promise<number>;
  /**
   * Calls with true when a ping is late: its answer is not there, nothing else came, and the session still waits for it;
   * and with false when life is seen after that. Never after the end.
   */
  onLate(listener: (late: boolean) => void): void;
  /** Called once when the session ends: with the reason, or null after `close`. Called at once if it has ended. */
  onEnd(listener: (reason: TunnelError | null) => void): void;
  /** Calls once, when no channel is open or being opened, in either direction: at once if there is none. */
  onIdle(listener: () => void): void;
  /** Ends the session, at most 1 s after it was asked. Idempotent. */
  close(): Promise<void>;
}

export interface LoginRecord {
  /** "agent key ED25519 SHA256:… (user@laptop)", "password", … in the order the server took them. */
  readonly accepted: readonly string[];
  /** A person typed something that is not kept (a code, a push): SPEC 3 "attended". */
  readonly attended: boolean;
  /** The user certificate that let us in, of several the one that ends first. Absent: none was used, or none has an end. */
  readonly certificate?: UserCertificate;
}

export interface UserCertificate {
  /** The digest of the whole certificate: a renewed one has another. */
  readonly id: string;
  /** The wall clock's time at which it is no longer valid, milliseconds since 1970. */
  readonly endsAtMs: number;
}

/** A step of a dial, as `why` reports it and the log keeps it. */
export interface DialStep {
  readonly hop: string;
  /** The hop's place in the way, 0 the nearest: two hops may have one name. Absent where a dial knows of no way. */
  readonly place?: number;
  readonly layer: 'dns' | 'tcp' | 'kex' | 'host-key' | 'auth';
  readonly status: 'ok' | 'failed';
  readonly ms: number;
  readonly detail: string;
}

/** What a dial needs from the world around it. */
export interface DialContext {
  readonly signal: AbortSignal;
  /**
   * Puts a question to a person. Resolves with the answer, null when they decline.
   * Rejects at once when nobody is there: the dial then fails with the code of the cause
   * (HOST_KEY_UNKNOWN, SECRET_MISSING, KEY_UNREADABLE …) and its error's facts describe the question.
   */
  readonly ask: (question: Omit<PendingQuestion, 'id' | 'link'>) => Promise<Answer>;
  /** True while somebody is there who could answer. */
  readonly personPresent: () => boolean;
  /** Accept an unknown key for this attempt (`up --accept-new`), unless the host's policy is strict. */
  readonly acceptNew: boolean;
  /** Offer only keys and certificates that logged in here before (SPEC 3, the slow retry after AUTH_REFUSED). */
  readonly onlyProven: boolean;
  /**
   * What was refused on this link since a person was there: names that hold no secret. A login adds to it, and with
   * `onlyNew` offers nothing that is in it: something changed, but not what was refused (SPEC 3).
   */
  readonly refused?: Set<string>;
  readonly onlyNew?: boolean;
  /** Environment of the command that wanted the tunnel: env: sources, SSH_AUTH_SOCK, ProxyCommand. */
  readonly environment: CallerEnvironment;
  readonly step: (step: DialStep) => void;
  /** A banner of the server, clean of control characters, at most 40 lines. */
  readonly banner: (text: string) => void;
  /** A line that the proxy command of a hop says, clean of control characters: it may be asking a person for something. */
  readonly talk?: (hop: string, line: string) => void;
  /** The login waits for what comes by itself (the next one-time code): why, and null once it is over. */
  readonly waits?: (why: TunnelError | null) => void;
  /** What whoever waits should know: a host key that was trusted without a question. */
  readonly notice?: (text: string) => void;
  /** For the log, told whose dial it is. Absent: the dialer's own log. */
  readonly log?: (
    level: 'debug' | 'info' | 'warn',
    event: string,
    message: string,
    facts?: Readonly<Record<string, unknown>>,
  ) => void;
}

export interface CallerEnvironment {
  readonly variables: Readonly<Record<string, string>>;
  /** Agent sockets, newest first. */
  readonly agentSockets: readonly string[];
}

/** Connected bytes to a server before any SSH: made by a knock, used by a dial, or destroyed. */
export interface OpenTransport {
  destroy(): void;
}

/** The door to SSH: handed to the supervisor by the daemon, made in ssh/. */
export interface Dialer {
  /**
   * Connects to the first thing on the way to a host (its proxy or itself) and goes no further. Nothing is sent.
   * Null where that cannot be told from the whole connection (ProxyCommand).
   * Throws UNREACHABLE or TIMED_OUT.
   */
  reach(host: Host, signal: AbortSignal): Promise<OpenTransport | null>;
  /** One login: over `transport` when a knock left one, else over a channel of `via`, else anew. Takes over `transport`. */
  dial(
    host: Host,
    from: { via: Session | null; transport: OpenTransport | null },
    context: DialContext,
  ): Promise<Session>;
  /** Forgets typed passwords and passphrases of all hosts but these, which are in use. */
  forgetAllBut(hosts: readonly Host[]): void;
  /** What was typed and is remembered. */
  typed(): TypedSecrets;
  /** Remembers what was typed for another process. */
  inherit(typed: TypedSecrets): void;
  /**
   * A digest of everything that could change the outcome of an error that needs a person: key files, the agent's
   * key list, secret files, known_hosts. Equal digests: nothing changed, do not try. Never contains a secret.
   */
  circumstances(host: Host, code: ErrorCode, environment: CallerEnvironment): Promise<string>;
}
