// The password step (RFC 4252 8): sends one password, and changes it when the server asks for that. Below: the passwords of
// one login, which keyboard-interactive answers with as well: the remembered one, the source's, then a person.
import { wireBoolean, wireString } from '../../keys/wire.ts';
import { cleanBanner } from '../../model/clean.ts';
import { formatLogin } from '../../model/host.ts';
import { formatSecretRef, Secret } from '../../model/secret.ts';
import type { AuthReply } from '../ssh2/auth.ts';
import type { Login } from './login.ts';
import type { Step, StepEnd, Steps } from './methods.ts';

/** New passwords that are offered to a server that wants the old one changed. */
const mostChanges = 3;

export class PasswordSteps implements Steps {
  readonly #login: Login;

  constructor(login: Login) {
    this.#login = login;
  }

  next(): Step | null {
    const { passwords } = this.#login;
    return passwords.declined || !passwords.available ? null : () => this.#offer();
  }

  noteMissing(): void {
    noteMissingPassword(this.#login, `Password for ${formatLogin(this.#login.host)}`);
  }

  async #offer(): Promise<StepEnd> {
    const login = this.#login;
    const password = await login.passwords.take(null);
    if (password === null) return { kind: login.passwords.declined ? 'stop' : 'skipped' };
    login.begin('password');
    const reply = await login.request('password', [wireBoolean(false), wireString(password.reveal())]);
    if (reply.kind === 'change-password') return this.#change(password, reply.prompt);
    return this.#conclude(reply);
  }

  #conclude(reply: AuthReply): StepEnd {
    if (reply.kind === 'success' || reply.kind === 'failure')
      this.#login.passwords.judge(reply.kind === 'success' || reply.partial);
    return this.#login.conclude(reply);
  }

  /** The password is right but must be renewed now. The server says why, again when the new one does not please it. */
  async #change(old: Secret, first: string): Promise<StepEnd> {
    const login = this.#login;
    let words = first;
    login.drop(); // the old one was right, and is neither accepted nor refused
    for (let round = 0; round < mostChanges; round += 1) {
      if (words !== '') login.context.banner(cleanBanner(words));
      const fresh = await this.#askNew(round);
      if (fresh === 'stop') return { kind: 'stop' };
      if (fresh === null) return { kind: 'skipped' };
      login.passwords.changed(fresh);
      login.begin('changed password');
      const secrets = [old, fresh].map((secret) => wireString(secret.reveal()));
      const reply = await login.request('password', [wireBoolean(true), ...secrets]);
      if (reply.kind !== 'change-password') {
        const end = this.#conclude(reply);
        if (end.kind === 'success' || (end.kind === 'failure' && end.partial)) tellPasswordChanged(login);
        return end;
      }
      words = reply.prompt;
    }
    login.remark(`the server did not take the new password ${mostChanges} times`);
    return { kind: 'stop' };
  }

  /** A new password, typed twice the same; null when nobody is there, 'stop' when the person declined. */
  async #askNew(round: number): Promise<Secret | 'stop' | null> {
    const login = formatLogin(this.#login.host);
    for (let tries = round; ; tries += 1) {
      const typed: Secret[] = [];
      for (const text of [`New password for ${login}`, `New password for ${login}, once more`]) {
        const question = { kind: 'password', text, echo: false, fromServer: false, tries } as const;
        const asked = await this.#login.ask(question);
        if (asked.kind === 'nobody') {
          noteMissingPassword(this.#login, text, mustChange);
          return null;
        }
        if (asked.kind === 'declined') return 'stop';
        typed.push(asked.secret);
      }
      const [one, other] = typed;
      if (one !== undefined && other !== undefined && one.equals(other)) return one;
    }
  }
}

/** Passwords that a person types on one connection. */
const mostTyped = 3;

interface Taken {
  readonly secret: Secret;
  readonly from: 'memory' | 'source' | 'person';
}

/** One a login. A stored password is sent once; when it is refused it is not sent again on this connection. */
export class Passwords {
  readonly #login: Login;
  #memorySpent = false;
  #sourceSpent = false;
  #typed = 0;
  #refusals = 0;
  #declined = false;
  #taken: Taken | null = null;
  /** The password that was taken is on its way. */
  #sent = false;
  #good: Secret | null = null;
  #spent = false;

  constructor(login: Login) {
    this.#login = login;
  }

  /** True while there is one to send, or somebody to ask. */
  get available(): boolean {
    return this.stored || this.#personLeft;
  }

  /**
   * True while one is to be had without a person, as far as can be told. Of one conversation one question: the next
   * hidden one wants something else, whatever it is called.
   */
  get stored(): boolean {
    if (this.#taken !== null) return false;
    const { host, remembered } = this.#login;
    const source = host.password !== null && host.password.from !== 'prompt';
    return (
      this.#good !== null ||
      (!this.#memorySpent && remembered.password(host) !== null) ||
      (!this.#sourceSpent && source)
    );
  }

  /** True when a stored one has answered something on this connection: it answers nothing else but what asks for it by name. */
  get spent(): boolean {
    return this.#spent;
  }

  /** A person said no: nothing more is asked. */
  get declined(): boolean {
    return this.#declined;
  }

  get #personLeft(): boolean {
    return !this.#declined && this.#typed < mostTyped && this.#login.context.personPresent();
  }

  /**
   * The next one; null when there is none (the notes say why, in the words `what`). `prompt`: the server's own
   * question, clean; null for the password method.
   */
  async take(prompt: string | null, what?: string): Promise<Secret | null> {
    const kept = this.#taken === null ? await this.#fromStore() : null;
    if (kept !== null) {
      this.#spent = true;
      return this.#hand(kept);
    }
    if (this.#declined || this.#typed >= mostTyped) return null;
    const { host, remembered } = this.#login;
    const answer = await remembered.inTurn(`password ${formatLogin(host)}`, () =>
      this.#fromPerson(prompt, what),
    );
    if (answer === null) return null;
    // kept at once: should the link end before the server's word, it was not typed in vain
    remembered.keepPassword(host, answer);
    return this.#hand({ secret: answer, from: 'person' });
  }

  /** The password that was taken is on its way, and not to be sent once more. */
  sent(): void {
    this.#sent = true;
  }

  /**
   * What the server said of those taken since the last call. `shared`: a code went with it, and may be to blame. False:
   * none was taken.
   */
  judge(accepted: boolean, shared = false): boolean {
    const last = this.#taken;
    this.#taken = null;
    if (last === null) return false;
    if (accepted) {
      this.#good = last.secret; // a second method may ask for the same one
      return true;
    }
    this.#login.mark('secret-refused');
    if (last.from === 'person') this.#refusals += 1;
    if (last.from !== 'source') this.#login.remembered.dropPassword(this.#login.host);
    if (last.from === 'source' && !shared) this.#login.remark('the stored password was refused');
    return true;
  }

  /** The password that was taken was not sent after all, if `sent` was not called since. */
  putBack(): void {
    if (this.#taken !== null && !this.#sent) {
      this.#good = this.#taken.secret;
      this.#spent = false;
    }
    this.#taken = null;
  }

  /** Replaces what was taken last: the server had it changed. */
  changed(password: Secret): void {
    this.#login.remembered.keepPassword(this.#login.host, password);
    this.#hand({ secret: password, from: 'person' });
  }

  #hand(taken: Taken): Secret {
    this.#taken = taken;
    this.#sent = false;
    return taken.secret;
  }

  async #fromStore(): Promise<Taken | null> {
    const { host, remembered } = this.#login;
    const ready = this.#good ?? (this.#memorySpent ? null : remembered.password(host));
    this.#memorySpent = true;
    this.#good = null;
    if (ready !== null) return { secret: ready, from: 'memory' };
    const source = await this.#fromSource();
    return source === null ? null : { secret: source, from: 'source' };
  }

  async #fromSource(): Promise<Secret | null> {
    const { password } = this.#login.host;
    if (this.#sourceSpent || password === null || password.from === 'prompt') return null;
    this.#sourceSpent = true;
    const read = await this.#login.stored.read(password, 'password');
    if (read instanceof Secret) return read;
    if (!this.#personLeft) this.#login.block(read); // a person can still say it
    return null;
  }

  async #fromPerson(prompt: string | null, what?: string): Promise<Secret | null> {
    const text = prompt ?? `Password for ${formatLogin(this.#login.host)}`;
    const asked = await this.#login.ask({
      kind: 'password',
      text,
      echo: false,
      fromServer: prompt !== null,
      tries: this.#refusals,
    });
    if (asked.kind === 'answer') {
      this.#typed += 1;
      return asked.secret;
    }
    if (asked.kind === 'declined') {
      this.#declined = true;
      this.#login.remark('no password was given');
    } else noteMissingPassword(this.#login, text, what);
    return null;
  }
}

/** A source that cannot be written to holds the old one from now on: that is said. */
export function tellPasswordChanged(login: Login): void {
  const { host } = login;
  const stale = host.password !== null && host.password.from !== 'prompt';
  login.log(
    stale ? 'warn' : 'info',
    'password-changed',
    `the password of ${formatLogin(host)} was changed at the server's demand${stale ? `, and ${formatSecretRef(host.password)} has the old one` : ''}`,
  );
}

/** What stands in the way when a server asks for the old password and a new one. */
export const mustChange = 'the server wants the password changed';

/** Nobody is there to type it: what status then shows. */
export function noteMissingPassword(login: Login, text: string, what = 'it takes a password'): void {
  const { name } = login.host;
  const stored = [
    '; or ',
    { command: 'secret set', on: { host: name }, flags: 'password' },
    ', and password: keychain under the host',
  ];
  login.missing({
    code: 'SECRET_MISSING',
    why: `${what}, and nobody is here to type it`,
    hint: [{ command: 'up', on: { host: name } }, ' on a terminal', ...(what === mustChange ? [] : stored)],
    question: { kind: 'password', text },
    decisive: true,
  });
}
