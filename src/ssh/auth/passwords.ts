// Passwords of one login: the remembered one, the source's, then a person, three times at most on one connection.
import { formatLogin } from '../../model/host.ts';
import { formatSecretRef, type Secret } from '../../model/secret.ts';
import { ask, readSource, remark, type Scene } from './login-scene.ts';

export interface Passwords {
  /** True while there is one to send, or somebody to ask. */
  available(): boolean;
  /** True while one is to be had without a person, as far as can be told. */
  stored(): boolean;
  /** True when a stored one has answered something on this connection: it answers nothing else but what asks for it by name. */
  readonly spent: boolean;
  /**
   * The next one; null when there is none (the notes say why, in the words `what`). `prompt`: the server's own
   * question, clean; null for the password method.
   */
  take(prompt: string | null, what?: string): Promise<Secret | null>;
  /** What was taken is on its way: it is not to be sent once more. */
  sent(): void;
  /**
   * What the server said of those taken since the last call. `shared`: a code went with it, and may be to blame. False:
   * none was taken.
   */
  judge(accepted: boolean, shared?: boolean): boolean;
  /** What was taken was not sent after all, if `sent` was not called since. */
  putBack(): void;
  /** Replaces what was taken last: the server had it changed. */
  changed(password: Secret): void;
  /** A person said no: nothing more is asked. */
  readonly declined: boolean;
}

const mostTyped = 3;

/** One a login. A stored password is sent once; when it is refused it is not sent again on this connection. */
export function createPasswords(scene: Scene): Passwords {
  const { host, context, remembered, notes } = scene;
  let memorySpent = false;
  let sourceSpent = false;
  let typed = 0;
  let refusals = 0;
  let declined = false;
  let taken: { secret: Secret; from: 'memory' | 'source' | 'person'; sent?: true } | null = null;
  let good: Secret | null = null;
  let spent = false;

  const hasSource = (): boolean => host.password !== null && host.password.from !== 'prompt';
  // of one conversation one question: the next hidden one wants something else, whatever it is called
  const stored = (): boolean => taken === null && hasStored();
  const hasStored = (): boolean =>
    good !== null || (!memorySpent && remembered.password(host) !== null) || (!sourceSpent && hasSource());
  const personLeft = (): boolean => !declined && typed < mostTyped && context.personPresent();

  const fromSource = async (): Promise<Secret | null> => {
    if (sourceSpent || host.password === null || host.password.from === 'prompt') return null;
    sourceSpent = true;
    const before = notes.obstacles.length;
    const secret = await readSource(scene, host.password, 'password');
    if (secret === null && personLeft()) notes.obstacles.length = before; // a person can still say it
    return secret;
  };
  const fromStore = async (): Promise<typeof taken> => {
    const ready = good ?? (memorySpent ? null : remembered.password(host));
    memorySpent = true;
    good = null;
    if (ready !== null) return { secret: ready, from: 'memory' };
    const source = await fromSource();
    return source === null ? null : { secret: source, from: 'source' };
  };
  const fromPerson = async (prompt: string | null, what?: string): Promise<Secret | null> => {
    const text = prompt ?? `Password for ${formatLogin(host)}`;
    const asked = await ask(scene, {
      kind: 'password',
      text,
      echo: false,
      fromServer: prompt !== null,
      tries: refusals,
    });
    if (asked.kind === 'answer') {
      typed += 1;
      return asked.secret;
    }
    if (asked.kind === 'declined') {
      declined = true;
      remark(scene, 'no password was given');
    } else noteMissingPassword(scene, text, what);
    return null;
  };

  return {
    available: () => stored() || personLeft(),
    stored,
    get spent() {
      return spent;
    },
    get declined() {
      return declined;
    },
    async take(prompt, what) {
      const kept = taken === null ? await fromStore() : null;
      if (kept !== null) {
        spent = true;
        taken = kept;
        return kept.secret;
      }
      if (declined || typed >= mostTyped) return null;
      const answer = await remembered.inTurn(`password ${formatLogin(host)}`, () => fromPerson(prompt, what));
      if (answer === null) return null;
      // kept at once: should the link end before the server's word, it was not typed in vain
      remembered.keepPassword(host, answer);
      taken = { secret: answer, from: 'person' };
      return answer;
    },
    sent() {
      if (taken !== null) taken.sent = true;
    },
    judge(accepted, shared = false) {
      const last = taken;
      taken = null;
      if (last === null) return false;
      if (accepted) {
        good = last.secret; // a second method may ask for the same one
        return true;
      }
      notes.secretRefused = true;
      if (last.from === 'person') refusals += 1;
      if (last.from !== 'source') remembered.dropPassword(host);
      if (last.from === 'source' && !shared) remark(scene, 'the stored password was refused');
      return true;
    },
    putBack() {
      if (taken !== null && taken.sent !== true) {
        good = taken.secret;
        spent = false;
      }
      taken = null;
    },
    changed(password) {
      remembered.keepPassword(host, password);
      taken = { secret: password, from: 'person' };
    },
  };
}

/** A source that cannot be written to holds the old one from now on: that is said. */
export function tellPasswordChanged(scene: Scene): void {
  const { host, context, parts } = scene;
  const stale = host.password !== null && host.password.from !== 'prompt';
  (context.log ?? parts.log)(
    stale ? 'warn' : 'info',
    'password-changed',
    `the password of ${formatLogin(host)} was changed at the server's demand${stale ? `, and ${formatSecretRef(host.password)} has the old one` : ''}`,
  );
}

/** What stands in the way when a server asks for the old password and a new one. */
export const mustChange = 'the server wants the password changed';

/** Nobody is there to type it: what status then shows. */
export function noteMissingPassword(scene: Scene, text: string, what = 'it takes a password'): void {
  const { host, notes } = scene;
  const stored = [
    '; or ',
    { command: 'secret set', on: { host: host.name }, flags: 'password' },
    ', and password: keychain under the host',
  ];
  if (notes.obstacles.some(({ question }) => question?.kind === 'password')) return;
  notes.obstacles.push({
    code: 'SECRET_MISSING',
    why: `${what}, and nobody is here to type it`,
    hint: [
      { command: 'up', on: { host: host.name } },
      ' on a terminal',
      ...(what === mustChange ? [] : stored),
    ],
    question: { kind: 'password', text },
    decisive: true,
  });
}
