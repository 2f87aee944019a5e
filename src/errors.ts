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

/** Facts that travel with an error, for programs: never a secret. Values must survive JSON. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

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

export interface ErrorOptions {
  /** A command or an act that helps, fit to paste; null when there is none. */
  readonly hint?: Hint | null;
  readonly facts?: ErrorFacts;
  readonly cause?: unknown;
}

/** A failure a user can see. `message` reads "WHAT failed, on WHAT: WHY" without the leading "tunnel: ". */
export class TunnelError extends Error {
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
}

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
  return facts['person'] === true ? 'person' : errorTable[code].remedy;
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
