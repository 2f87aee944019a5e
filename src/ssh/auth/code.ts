// One-time codes from a totp: source: each is sent once, whichever link asks; the next one is waited for (RFC 6238 5.2).
import { asTunnelError, TunnelError } from '../../errors.ts';
import { formatHopLogin, formatLogin } from '../../model/host.ts';
import { Secret } from '../../model/secret.ts';
import { parseTotp, totpCode, type TotpParameters } from '../../secrets/totp.ts';
import { ConnectionGone } from '../ssh2/auth.ts';
import type { Login } from './login.ts';

/** The codes of one login: one code a login. */
export class Codes {
  readonly #login: Login;
  #asked = false;
  #sentAtMs: number | null = null;

  constructor(login: Login) {
    this.#login = login;
  }

  /** A source is named, and was not asked yet. */
  get ready(): boolean {
    return this.#login.host.totp !== null && !this.#asked;
  }

  /** The moment of the code that was sent in the conversation under way, milliseconds since 1970; null: none was. */
  get sentAtMs(): number | null {
    return this.#sentAtMs;
  }

  /** A new conversation begins. */
  begin(): void {
    this.#sentAtMs = null;
  }

  /**
   * A conversation in which a code may be asked for, after any other of ours with the same login: the server's module
   * reads its file of used codes when it asks, and refuses an answer when that has changed (pam_google_authenticator).
   */
  inTurn<T>(talk: () => Promise<T>): Promise<T> {
    const { host, context, remembered, wire } = this.#login;
    if (!this.ready || host.totp?.from === 'prompt') return talk();
    let behind = false;
    return remembered.inTurn(
      `codes ${formatLogin(host)}`,
      async () => {
        if (behind) context.waits?.(null);
        if (wire.gone || context.signal.aborted)
          throw new ConnectionGone('the connection ended before its turn');
        return talk();
      },
      () => {
        behind = true;
        this.#tellWait('another login there is at its one-time code');
      },
    );
  }

  /** Null when there is none to be had: the notes say why. Rejects with ConnectionGone when the link ends meanwhile. */
  async next(): Promise<Secret | null> {
    const { totp } = this.#login.host;
    if (totp === null) return null;
    this.#asked = true;
    const source = totp.from === 'prompt' ? null : await this.#login.readStored(totp, 'totp');
    if (source === null) return null;
    let parameters: TotpParameters;
    try {
      parameters = parseTotp(source);
    } catch (error) {
      const { message: why, hint } = asTunnelError(error);
      this.#login.block({ code: 'SECRET_MISSING', why, hint, question: null, decisive: true });
      return null;
    }
    return this.#fresh(parameters);
  }

  /** One that nobody has had. Links with one seed that wait take the steps to come as they wake, one each. */
  async #fresh(parameters: TotpParameters): Promise<Secret> {
    const { context, parts } = this.#login;
    const beganMs = parts.clock.monotonic();
    let toldOf: number | null = null;
    try {
      for (;;) {
        const now = parts.clock.now();
        const { code, step, expiresInMs } = totpCode(parameters, now);
        if (parts.spentCodes.take(parameters, step)) {
          if (toldOf !== null) this.#login.report(true, 'waited for the next one-time code', beganMs);
          this.#sentAtMs = now;
          return new Secret(code);
        }
        if (toldOf !== step) {
          const wait = `${Math.ceil(expiresInMs / 1000)}s`;
          this.#tellWait(`this one-time code was used, the next begins in ${wait}`);
        }
        toldOf = step;
        await this.#pause(expiresInMs);
      }
    } finally {
      if (toldOf !== null) context.waits?.(null);
    }
  }

  /** The reason that status shows meanwhile: like a login that takes long, not like one that failed. */
  #tellWait(words: string): void {
    const { host, context } = this.#login;
    const why = new TunnelError('TIMED_OUT', `login waits, on ${formatHopLogin(host)}: ${words}`, {
      facts: { layer: 'auth', waits: true },
    });
    this.#login.log('info', 'code-wait', why.message, { host: host.name });
    context.waits?.(why);
  }

  /** Rejects when the connection is gone: a code is not to be taken for nobody. */
  async #pause(delayMs: number): Promise<void> {
    const { context, parts, wire } = this.#login;
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
}
