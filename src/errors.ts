// The one error scheme: every failure a user can see is a TunnelError whose code decides the exit code and who must act.

/** What went wrong, by name. Stable: scripts match on these. */
export type ErrorCode = keyof typeof errorTable;

/** Who can end the trouble: trying again later, a person, or the caller who asked for the wrong thing. */
export type Remedy = 'retry' | 'person' | 'caller';

const exit = (code: number, remedy: Remedy): { readonly exit: number; readonly remedy: Remedy } => ({
  exit: code,
  remedy,
});

/** The one table: code -> exit code (SPEC "Exit codes") and remedy. */
export const errorTable = {
  CONFIG_MISSING: exit(3, 'caller'),
  CONFIG_INVALID: exit(3, 'caller'),
  CONFIG_NOT_ALLOWED: exit(3, 'caller'),
  USAGE: exit(2, 'caller'),
  NO_SUCH_TUNNEL: exit(2, 'caller'),
  DAEMON_DOWN: exit(4, 'caller'),
  DAEMON_MISMATCH: exit(4, 'caller'),
  UNREACHABLE: exit(5, 'retry'),
  TIMED_OUT: exit(5, 'retry'),
  KEX_FAILED: exit(5, 'retry'),
  LINK_LOST: exit(5, 'retry'),
  AUTH_REFUSED: exit(6, 'person'),
  KEY_UNREADABLE: exit(6, 'person'),
  SECRET_MISSING: exit(6, 'person'),
  AGENT_DOWN: exit(6, 'person'),
  HOST_KEY_UNKNOWN: exit(7, 'person'),
  HOST_KEY_CHANGED: exit(7, 'person'),
  HOST_KEY_REVOKED: exit(7, 'person'),
  LISTEN_FAILED: exit(8, 'retry'),
  FORWARD_REFUSED: exit(8, 'retry'),
  NOT_UP: exit(9, 'caller'),
  INTERNAL: exit(1, 'caller'),
} as const;

/** Where the way to a server or a target ended. */
interface WayFacts {
  readonly layer?: 'dns' | 'tcp' | 'kex' | 'auth' | 'link' | 'channel' | 'listen';
  /** The server's port itself did not answer: a look at it is enough to see whether that has changed. */
  readonly tcpLevel?: boolean;
}

/** What connect(2) said of a target. */
interface DialFacts extends WayFacts {
  readonly dial?: 'refused' | 'unreachable' | 'unresolved' | 'timeout' | 'absent' | 'denied' | 'other';
}

interface LoginFacts extends WayFacts {
  /** A key that has logged in there before was refused: it may be accepted again. */
  readonly proven?: boolean;
}

/** The question that nobody was there to answer. */
interface QuestionFacts extends LoginFacts {
  readonly question?: 'host-key' | 'passphrase' | 'password' | 'prompt';
  readonly text?: string;
  readonly host?: string;
  readonly endpoint?: string;
  readonly echo?: boolean;
  readonly fingerprint?: string | null;
}

interface SecretFacts extends QuestionFacts {
  readonly source?: 'command' | 'env' | 'file' | 'keychain' | 'totp';
  readonly program?: string;
  readonly path?: string;
  readonly variable?: string;
  readonly name?: string;
  readonly kind?: 'password' | 'passphrase' | 'totp';
  readonly keychain?: string;
  readonly account?: string;
  /** The login needs a person from its first step to its last. */
  readonly attended?: boolean;
}

interface HostKeyFacts extends WayFacts {
  readonly kind?: 'host-key';
  readonly host?: string;
  readonly endpoint?: string;
  readonly fingerprint?: string;
  readonly keyType?: string;
  /** Base64. */
  readonly key?: string;
  readonly randomart?: readonly string[];
  /** Fingerprints. */
  readonly known?: readonly string[];
  readonly places?: readonly string[];
  /** The known_hosts file that could not be used. */
  readonly file?: string;
}

interface FactsByCode {
  CONFIG_INVALID: { readonly issues?: readonly string[] };
  NO_SUCH_TUNNEL: { readonly selectors?: readonly string[] };
  UNREACHABLE: DialFacts;
  /** `waits`: a login that waits for its next code has not failed. */
  TIMED_OUT: DialFacts & { readonly waits?: boolean };
  /** `person`: trying again leads to the same. */
  KEX_FAILED: WayFacts & { readonly person?: boolean };
  /** `aborted`: whoever wanted it has left. */
  LINK_LOST: DialFacts & { readonly person?: boolean; readonly aborted?: boolean };
  AUTH_REFUSED: LoginFacts & {
    readonly offered?: readonly string[];
    readonly takes?: readonly string[];
    /** It was the proxy that refused. */
    readonly proxy?: boolean;
  };
  KEY_UNREADABLE: QuestionFacts;
  SECRET_MISSING: SecretFacts;
  AGENT_DOWN: QuestionFacts;
  HOST_KEY_UNKNOWN: HostKeyFacts;
  HOST_KEY_CHANGED: HostKeyFacts;
  HOST_KEY_REVOKED: HostKeyFacts;
  LISTEN_FAILED: {
    readonly path?: string;
    readonly port?: number;
    readonly freePort?: number | null;
    readonly holderPid?: number | null;
    readonly holderCommand?: string | null;
    /** The tunnel of ours that has the address. */
    readonly holder?: string;
  };
  FORWARD_REFUSED: {
    readonly layer?: 'channel' | 'listen';
    /** RFC 4254 5.1, by name. */
    readonly reason?: string;
    /** The server's own. */
    readonly words?: string | null;
    /** The server said so in words: trying again is of no use. */
    readonly forbidden?: boolean;
    /** It would not end the listener that was taken down here. */
    readonly stillListens?: boolean;
  };
  INTERNAL: WayFacts;
}

type FactsOf<Code extends ErrorCode> = Code extends keyof FactsByCode ? FactsByCode[Code] : object;
type FactName = { [Code in keyof FactsByCode]: keyof FactsByCode[Code] }[keyof FactsByCode];

/** What travels with an error for programs, by its code: never a secret. A fact of another code is undefined. */
export type ErrorFacts<Code extends ErrorCode = ErrorCode> = {
  [Each in Code]: FactsOf<Each> & { readonly [Name in Exclude<FactName, keyof FactsOf<Each>>]?: undefined };
}[Code];

/** Whose tunnel or host a command is about. */
export type Subject =
  /** A host by its name in the config: `up` and `why` take it, but say it of a tunnel where one is known (model/hint). */
  | { readonly host: string }
  /** Null: the tunnel that the error is of, which is not known where the fault is. */
  | { readonly tunnel: string | null }
  /** Words as they were typed, or paths. */
  | { readonly words: readonly string[] };

/** A command of ours that goes by a config: `tunnel COMMAND ON FLAGS    # NOTE`. */
export interface HintCommand {
  /** With the options that stand before its subject: 'why', 'secret set', 'up --remap'. Plain words, not to be quoted. */
  readonly command: string;
  readonly on?: Subject;
  /** Behind the subject. */
  readonly flags?: string;
  readonly note?: string;
}

/** "did you mean NAME?", of a word that was given; whoever knows the command line says it in that. */
export interface HintMeant {
  readonly meant: string;
  readonly insteadOf: string;
}

/**
 * What helps: advice in words, commands of the system among them, and our own commands as data. The parts stand one behind
 * the other, a line end within words begins another hint. Only render/error makes a text of it.
 */
export type Hint = string | HintCommand | HintMeant | readonly (string | HintCommand)[];

export interface ErrorOptions<Code extends ErrorCode = ErrorCode> {
  /** A command or an act that helps, fit to paste; null when there is none. */
  readonly hint?: Hint | null;
  readonly facts?: ErrorFacts<Code>;
  readonly cause?: unknown;
}

/** A failure a user can see. `message` reads "WHAT failed, on WHAT: WHY" without the leading "tunnel: ". */
export interface TunnelError extends Error {
  readonly name: 'TunnelError';
  readonly code: ErrorCode;
  readonly hint: Hint | null;
  readonly facts: ErrorFacts;
}

/** Made with the facts of its code and no others. */
interface TunnelErrorClass {
  new <Code extends ErrorCode = ErrorCode>(
    code: Code,
    message: string,
    options?: ErrorOptions<Code>,
  ): TunnelError;
  readonly prototype: TunnelError;
}

export const TunnelError: TunnelErrorClass = class extends Error {
  override readonly name = 'TunnelError';
  readonly code: ErrorCode;
  readonly hint: Hint | null;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
    this.facts = options.facts ?? {};
  }
};

/** What crosses the wire of an error, and what status keeps of it. */
export interface ErrorReport {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: Hint | null;
}

/** Any thrown value as a TunnelError; what is not one of ours is a bug of ours (INTERNAL). */
export function asTunnelError(thrown: unknown): TunnelError {
  if (thrown instanceof TunnelError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new TunnelError('INTERNAL', message, { cause: thrown });
}

export function reportError(error: TunnelError): ErrorReport {
  return { code: error.code, message: error.message, hint: error.hint };
}

export function exitCodeOf(code: ErrorCode): number {
  return errorTable[code].exit;
}

/** Its code tells, but where the failure knows better: `person` among its facts says that only one can mend it. */
function remedyOf({ code, facts }: Pick<TunnelError, 'code' | 'facts'>): Remedy {
  return facts.person === true ? 'person' : errorTable[code].remedy;
}

export function needsPerson(error: Pick<TunnelError, 'code' | 'facts'>): boolean {
  return remedyOf(error) === 'person';
}

/** False: trying the same again leads to the same. */
export function retryHelps(error: Pick<TunnelError, 'code' | 'facts'>): boolean {
  return remedyOf(error) === 'retry';
}

const precedence = [3, 7, 6, 8, 5, 9];

/** The exit code of several failures: the first of 3 7 6 8 5 9 that occurs, else the largest; 0 for none. */
export function worstExitCode(codes: readonly ErrorCode[]): number {
  const exits = codes.map(exitCodeOf);
  return precedence.find((code) => exits.includes(code)) ?? Math.max(0, ...exits);
}
