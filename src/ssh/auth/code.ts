// One-time codes from a totp: source: each is sent once, whichever link asks; the next one is waited for (RFC 6238 5.2).
import { asTunnelError, TunnelError } from '../../errors.ts';
import { formatHopLogin, formatLogin } from '../../model/host.ts';
import { Secret } from '../../model/secret.ts';
import { parseTotp, totpCode, type TotpParameters } from '../../secrets/totp.ts';
import { ConnectionGone } from '../ssh2/auth.ts';
import { readSource, report, type Scene } from './login-scene.ts';

/** What one login knows of the codes it sent. */
export interface CodeMemory {
  totpSpent: boolean;
  /** The moment of the code that was sent in the conversation under way, milliseconds since 1970; null: none was. */
  codeAtMs: number | null;
}

/**
 * A conversation in which a code may be asked for, after any other of ours with the same login: the server's module
 * reads its file of used codes when it asks, and refuses an answer when that has changed (pam_google_authenticator).
 */
export function inCodeTurn<T>(scene: Scene, memory: CodeMemory, talk: () => Promise<T>): Promise<T> {
  const { host, context, remembered, wire } = scene;
  if (host.totp === null || host.totp.from === 'prompt' || memory.totpSpent) return talk();
  let behind = false;
  const mine = (): Promise<T> => {
    if (behind) context.waits?.(null);
    if (wire.gone || context.signal.aborted) throw new ConnectionGone('the connection ended before its turn');
    return talk();
  };
  return remembered.inTurn(
    `codes ${formatLogin(host)}`,
    async () => mine(),
    () => {
      behind = true;
      tellWait(scene, 'another login there is at its one-time code');
    },
  );
}

/** Null when there is none to be had: the notes say why. Rejects with ConnectionGone when the link ends meanwhile. */
export async function nextCode(scene: Scene, memory: CodeMemory): Promise<Secret | null> {
  const { host, notes } = scene;
  if (host.totp === null) return null;
  memory.totpSpent = true;
  const source = host.totp.from === 'prompt' ? null : await readSource(scene, host.totp, 'totp');
  if (source === null) return null;
  let parameters: TotpParameters;
  try {
    parameters = parseTotp(source);
  } catch (error) {
    const { message, hint } = asTunnelError(error);
    notes.obstacles.push({ code: 'SECRET_MISSING', why: message, hint, question: null, decisive: true });
    return null;
  }
  return freshCode(scene, parameters, memory);
}

/** One that nobody has had. Links with one seed that wait take the steps to come as they wake, one each. */
async function freshCode(scene: Scene, parameters: TotpParameters, memory: CodeMemory): Promise<Secret> {
  const { context, parts } = scene;
  const beganMs = parts.clock.monotonic();
  let toldOf: number | null = null;
  try {
    for (;;) {
      const now = parts.clock.now();
      const { code, step, expiresInMs } = totpCode(parameters, now);
      if (parts.spentCodes.take(parameters, step)) {
        if (toldOf !== null) report(scene, true, 'waited for the next one-time code', beganMs);
        memory.codeAtMs = now;
        return new Secret(code);
      }
      if (toldOf !== step) {
        const wait = `${Math.ceil(expiresInMs / 1000)}s`;
        tellWait(scene, `this one-time code was used, the next begins in ${wait}`);
      }
      toldOf = step;
      await pause(scene, expiresInMs);
    }
  } finally {
    if (toldOf !== null) context.waits?.(null);
  }
}

/** The reason that status shows meanwhile: like a login that takes long, not like one that failed. */
function tellWait(scene: Scene, words: string): void {
  const { host, context, parts } = scene;
  const why = new TunnelError('TIMED_OUT', `login waits, on ${formatHopLogin(host)}: ${words}`, {
    facts: { layer: 'auth', waits: true },
  });
  (context.log ?? parts.log)('info', 'code-wait', why.message, { host: host.name });
  context.waits?.(why);
}

/** Rejects when the connection is gone: a code is not to be taken for nobody. */
async function pause(scene: Scene, delayMs: number): Promise<void> {
  const { context, parts, wire } = scene;
  let over = (): void => undefined;
  const waited = new Promise<void>((resolve) => {
    over = resolve;
  });
  const cancel = parts.clock.schedule(delayMs, over);
  context.signal.addEventListener('abort', over);
  await Promise.race([waited, wire.ended]);
  cancel();
  context.signal.removeEventListener('abort', over);
  if (wire.gone || context.signal.aborted)
    throw new ConnectionGone('the connection ended before the next code');
}
