// The keychain of the desktop, asked through a child of our own program with a time limit; never in this process.
import { TunnelError } from '../errors.ts';
import { runProgram } from '../files/child.ts';
import { Secret } from '../model/secret.ts';
import { createTurns } from '../model/turns.ts';
import type { KeychainAnswer, KeychainRequest } from './keychain-child.ts';
import { keychainError, troubleOf, type KeychainTrouble } from './keychain-problem.ts';

/** Entries stand under this service, so that `secret-tool lookup service tunnel account NAME:KIND` finds them. */
const service = 'tunnel';

type Variables = Readonly<Record<string, string | undefined>>;

export interface KeychainOptions {
  /** Program and arguments of the child: [node, bin/tunnel.js, '__keychain']. */
  readonly spawnArgv: readonly [string, ...string[]];
  /** How long one answer may take; the keychain may be asking somebody to unlock it. */
  readonly timeoutMs: number;
  /** Our own environment; what a caller gives with a question goes before it. */
  readonly environment: Variables;
}

export interface KeychainCall {
  /** Environment of whoever asks: it knows the way to the desktop when we were started elsewhere. */
  readonly environment?: Variables;
  readonly signal?: AbortSignal;
}

/** Every method throws SECRET_MISSING when the keychain is out of reach, with `facts.keychain` telling why. */
export interface Keychain {
  /** Null when there is no such entry (and the keychain is unlocked). */
  get(account: string, call?: KeychainCall): Promise<Secret | null>;
  set(account: string, value: Secret, call?: KeychainCall): Promise<void>;
  /** False when there was no such entry. */
  delete(account: string, call?: KeychainCall): Promise<boolean>;
}

/** The variables that the child needs: the way to the desktop. Nothing that could hold a secret. */
const passedOn = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'TMPDIR',
  'DBUS_SESSION_BUS_ADDRESS',
  'XDG_RUNTIME_DIR',
  'XDG_DATA_HOME',
  'DISPLAY',
  'WAYLAND_DISPLAY',
  'XAUTHORITY',
  'SYSTEMROOT',
  'USERPROFILE',
  'APPDATA',
  'LOCALAPPDATA',
];

/** A hundred links that come up together must not start a hundred processes. */
const atOnce = 3;

export function createKeychain(options: KeychainOptions): Keychain {
  const turns = createTurns(atOnce);
  const ask = async (
    act: string,
    request: KeychainRequest,
    call: KeychainCall = {},
  ): Promise<string | boolean | null> => {
    const outcome = await turns(() => runChild(options, request, call));
    if (outcome.ok) return outcome.value;
    throw keychainError(act, request.account, outcome.trouble, outcome.message);
  };
  return {
    async get(account, call) {
      const value = await ask('lookup', { op: 'get', service, account }, call);
      return typeof value === 'string' ? new Secret(value) : null;
    },
    async set(account, value, call) {
      checkValue(account, value.reveal());
      await ask('change', { op: 'set', service, account, value: value.reveal() }, call);
    },
    async delete(account, call) {
      return (await ask('change', { op: 'delete', service, account }, call)) === true;
    },
  };
}

/** keytar takes no empty value, and cuts one at a NUL. */
function checkValue(account: string, value: string): void {
  const why = value === '' ? 'is empty' : value.includes('\0') ? 'holds a NUL character' : null;
  if (why !== null) throw new TunnelError('USAGE', `the value for ${account} ${why}`);
}

type Outcome =
  | { readonly ok: true; readonly value: string | boolean | null }
  | { readonly ok: false; readonly trouble: KeychainTrouble; readonly message: string | null };

/** An answer holds one secret; more is not ours. */
const answerLimitBytes = 1024 * 1024;

async function runChild(
  { spawnArgv, timeoutMs, environment }: KeychainOptions,
  request: KeychainRequest,
  call: KeychainCall,
): Promise<Outcome> {
  const { ending, output } = await runProgram(spawnArgv, {
    env: childEnvironment({ ...environment, ...defined(call.environment ?? {}) }),
    deadlineMs: timeoutMs,
    outputLimitBytes: answerLimitBytes,
    signal: call.signal,
    input: JSON.stringify(request),
  });
  if (ending.how === 'late' || ending.how === 'unwanted') return failed('timed-out');
  if (ending.how === 'not-started') return { ok: false, trouble: 'refused', message: ending.why.message };
  return readAnswer(output.toString('utf8'));
}

function readAnswer(text: string): Outcome {
  let answer: KeychainAnswer;
  try {
    answer = JSON.parse(text) as KeychainAnswer;
  } catch {
    return failed('crashed'); // it ended without a whole answer: the addon took it down
  }
  if (answer.ok) return answer;
  return { ok: false, trouble: troubleOf(answer.stage, answer.message), message: answer.message };
}

function failed(trouble: KeychainTrouble): Outcome {
  return { ok: false, trouble, message: null };
}

function childEnvironment(variables: Variables): Record<string, string> {
  const known = defined(variables);
  const chosen = passedOn.flatMap((name) => {
    const value = known[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  // keychain-problem.ts reads GLib's words, which are translated otherwise.
  return { ...Object.fromEntries(chosen), LC_ALL: 'C' };
}

function defined(variables: Variables): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
