// Credentials: makes the login of each connection, and keeps what logins share: typed secrets and opened keys.
import type { Client } from 'ssh2';
import { asTunnelError, type TunnelError } from '../errors.ts';
import { formatLogin, type Host } from '../model/host.ts';
import type { CallerEnvironment, DialContext } from '../model/session.ts';
import { describeCircumstances } from './circumstances.ts';
import { ConnectionGone, hookAuth, type AuthWire } from './internals-auth.ts';
import { gatherKeys, type KeyRing } from './key-ring.ts';
import { loginFailure, recordOf, startNotes } from './login-notes.ts';
import { notePerson, runLogin } from './login-run.ts';
import { settle, type CredentialParts, type Scene } from './login-scene.ts';
import type { CreateLogin, Login, NextMethod } from './login.ts';
import type { Offers } from './offers.ts';
import { createRemembered, type Remembered } from './remembered.ts';

export interface Credentials {
  readonly createLogin: CreateLogin;
  /** Forgets typed passwords and passphrases of a host, and the keys they opened (`down`). */
  forget(host: Host): void;
  /**
   * A digest of everything that could change the outcome of a login: key and certificate files, the agent's keys,
   * secret sources. Equal digests: nothing changed. Never contains a secret.
   */
  circumstances(host: Host, environment: CallerEnvironment): Promise<string>;
}

/** What the logins of one process have in common. */
interface Shared {
  readonly remembered: Remembered;
  /** Why the last login failed, by user@hostname:port. */
  readonly failures: Map<string, TunnelError>;
}

/** Once a process. See CredentialParts for what is needed from outside. */
export function createCredentials(parts: CredentialParts): Credentials {
  const shared = { remembered: createRemembered(), failures: new Map<string, TunnelError>() };
  return {
    createLogin: (host, context) => createLogin(host, context, parts, shared),
    forget: (host) => shared.remembered.forget(host),
    circumstances: (host, environment) => describeCircumstances(host, environment, parts),
  };
}

function createLogin(
  host: Host,
  context: DialContext,
  parts: CredentialParts,
  { remembered, failures }: Shared,
): Login {
  const notes = startNotes();
  let ring: KeyRing | null = null;
  let scene: Scene | null = null;
  let wire: AuthWire | null = null;
  let bug: TunnelError | null = null;
  let finished = false;
  const log = context.log ?? parts.log;

  const kept = (): TunnelError | undefined => failures.get(formatLogin(host));
  const gather = async (): Promise<KeyRing> => {
    ring ??= await gatherKeys(host, context.environment, parts);
    if (finished) ring.agent?.close(); // the dial was given up meanwhile
    return ring;
  };
  const run = async (next: NextMethod): Promise<void> => {
    if (scene === null) return next(false);
    try {
      const { offers, agent } = await gather();
      if (await runLogin(scene, offers, agent)) return;
      notePerson(scene);
    } catch (error) {
      if (error instanceof ConnectionGone) return; // the session hears of it by itself
      bug = asTunnelError(error);
      log('warn', 'login-broke', bug.message, { host: host.name });
    }
    next(false);
  };

  return {
    async prepare() {
      const { obstacles, offers } = await gather();
      notes.obstacles.push(...obstacles);
      if (context.onlyProven && !anyProven(offers, host, parts)) throw kept() ?? loginFailure(notes, host);
      const keys = offers.agent.length + offers.files.length;
      if (keys > 0 || obstacles.length === 0 || hasOther(host, context)) return;
      throw loginFailure(notes, host);
    },
    install(client: Client) {
      wire = hookAuth(client, () => {
        if (scene !== null) settle(scene, { kind: 'success' });
      });
      scene = { host, context, wire, parts, remembered, notes, current: null };
    },
    // ssh2 asks once; from then on the conversation is ours, and it hears only of its end
    handler: (_methods, _partial, next) => void run(next),
    record: () => recordOf(notes, host),
    failure() {
      notes.hungUp = wire?.farewell === true;
      if (scene !== null) hungUpOn(scene);
      const failure = bug ?? loginFailure(notes, host);
      failures.set(formatLogin(host), failure);
      return failure;
    },
    finish(succeeded) {
      finished = true;
      ring?.agent?.close();
      if (!succeeded) return;
      failures.delete(formatLogin(host));
      log('info', 'login', `logged in to ${formatLogin(host)} with ${notes.accepted.join(', ')}`);
    },
  };
}

/** Nothing that has logged in there is left: then no connection is made just to say nothing (SPEC 3, the slow retry). */
function anyProven(offers: Offers, host: Host, { proven }: CredentialParts): boolean {
  return [...offers.agent, ...offers.files].some(
    ({ credential }) => credential !== null && proven.has(formatLogin(host), credential),
  );
}

/** True when something else than a key may do: a password, a person, this machine's own key. */
function hasOther(host: Host, context: DialContext): boolean {
  const secret = (host.password !== null && host.password.from !== 'prompt') || host.totp !== null;
  return host.auth.some((method) => {
    if (method === 'password' || method === 'keyboard-interactive') return secret || context.personPresent();
    return method === 'none' || method === 'hostbased';
  });
}

/** The credential under way when the server hung up counts as refused: OpenSSH ends a login that way (MaxAuthTries). */
function hungUpOn(scene: Scene): void {
  if (scene.current !== null && scene.notes.hungUp) scene.notes.refused.push(scene.current.words);
  scene.current = null;
}
