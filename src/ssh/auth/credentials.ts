// Credentials: makes the login of each connection, and keeps what logins share: typed secrets and opened keys.
import type { Client } from 'ssh2';
import { asTunnelError, type TunnelError } from '../../errors.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import type { CallerEnvironment, DialContext } from '../../model/session.ts';
import { describeCircumstances } from './circumstances.ts';
import { ConnectionGone, hookAuth, type AuthWire } from '../ssh2/auth.ts';
import { gatherKeys, type KeyRing } from './key-ring.ts';
import { loginFailure, recordOf, startNotes, type Notes } from './login-notes.ts';
import { notePerson, runLogin } from './login-run.ts';
import {
  settle,
  withoutCredential,
  type CredentialParts,
  type LastLogin,
  type Reading,
  type Scene,
} from './login-scene.ts';
import type { CreateLogin, Login, NextMethod } from './login.ts';
import type { Offer } from './offers.ts';
import { mayBeAcceptedAgain, refusalOfHost, refusalOfKey, spurnedBy } from './refusals.ts';
import { createRemembered, type Remembered } from './remembered.ts';
import { hasFresh, hasStored, keepStored, withoutStored } from './stored-answers.ts';

export interface Credentials {
  readonly createLogin: CreateLogin;
  /** Forgets typed passwords and passphrases, the keys they opened and what was refused, for all but these hosts. */
  forgetAllBut(hosts: readonly Host[]): void;
  /**
   * A digest of everything that could change the outcome of a login: key and certificate files, the agent's keys,
   * secret sources. Equal digests: nothing changed. Never contains a secret.
   */
  circumstances(host: Host, environment: CallerEnvironment): Promise<string>;
}

/** What the logins of one process have in common. */
interface Shared {
  readonly remembered: Remembered;
  /** How the last login failed, by host. */
  readonly failures: Map<string, Failure>;
  /** The last login that needed a credential, by host, until a login fails there. */
  readonly lasts: Map<string, LastLogin>;
}

interface Failure {
  readonly error: TunnelError;
  readonly notes: Notes;
}

/** Once a process. See CredentialParts for what is needed from outside. */
export function createCredentials(parts: CredentialParts): Credentials {
  const shared: Shared = { remembered: createRemembered(), failures: new Map(), lasts: new Map() };
  return {
    createLogin: (host, context) => createLogin(host, context, parts, shared),
    forgetAllBut(hosts) {
      const { remembered, failures, lasts } = shared;
      remembered.forgetAllBut(hosts);
      if (failures.size + lasts.size === 0) return;
      const names = new Set(hosts.map(nameOf));
      for (const known of [failures, lasts])
        for (const name of known.keys()) if (!names.has(name)) known.delete(name);
    },
    circumstances: (host, environment) => describeCircumstances(host, environment, parts),
  };
}

const nameOf = (host: Host): string => JSON.stringify(host);

function createLogin(
  host: Host,
  context: DialContext,
  parts: CredentialParts,
  { remembered, failures, lasts }: Shared,
): Login {
  const name = nameOf(host);
  const before = failures.get(name);
  const notes = startNotes();
  const recalled = context.onlyNew === true && before !== undefined ? recall(notes, before.notes) : 0;
  const spurned = spurnedBy(context);
  const answers = keepStored(parts.secrets);
  const reading: Reading = { host, context, notes, parts: { ...parts, secrets: answers.reader } };
  let spurnsStored = false;
  let gathering: Promise<KeyRing> | null = null;
  let ring: KeyRing | null = null;
  let scene: Scene | null = null;
  let wire: AuthWire | null = null;
  let bug: TunnelError | null = null;
  let finished = false;
  const log = context.log ?? parts.log;

  const isProven = ({ credential }: Offer): boolean =>
    credential !== null && parts.proven.has(formatLogin(host), credential);
  const isNew = ({ wire: named }: Offer): boolean => named === null || !spurned.has(refusalOfKey(named.blob));
  const all = (): readonly Offer[] => (ring === null ? [] : [...ring.offers.agent, ...ring.offers.files]);
  /** A keyboard-interactive login to which nothing was said that is kept: somebody pushed a button (SPEC 3). */
  const byPerson = (): boolean =>
    notes.accepted.includes('keyboard-interactive') &&
    answers.refusals().length === 0 &&
    remembered.password(host) === null;
  const failureNow = (): TunnelError =>
    loginFailure(notes, host, mayBeAcceptedAgain(all(), notes, isProven, context.refused));
  const gather = (): Promise<KeyRing> => (gathering ??= gatherOnce());
  const gatherOnce = async (): Promise<KeyRing> => {
    ring = await gatherKeys(host, context.environment, parts);
    notes.obstacles.push(...ring.obstacles);
    if (finished) ring.agent?.close(); // the dial was given up meanwhile
    return ring;
  };
  const run = async (next: NextMethod): Promise<void> => {
    if (scene === null) return next(false);
    try {
      if (await runLogin(scene, gather)) return;
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
      const gathered = gather();
      // A first look at the server needs no credential: its host key is settled before one is missed (SPEC 2).
      if (!context.onlyProven && context.onlyNew !== true) return void gathered.catch(() => undefined);
      await gathered;
      // No connection is made just to say nothing: what would be said is known (SPEC 3).
      if (context.onlyProven && !all().some(isProven)) throw before?.error ?? failureNow();
      if (context.onlyNew !== true) return;
      spurnsStored = !context.personPresent() && !(await hasFresh(reading, spurned));
      const fresh = all().some(isNew) || (hasStored(host) && !spurnsStored);
      if (fresh || hasOther(host, context, spurned)) return;
      notes.methods = before?.notes.methods ?? null;
      throw failureNow();
    },
    install(client: Client) {
      wire = hookAuth(client, () => {
        if (scene !== null) settle(scene, { kind: 'success' });
      });
      const told = spurnsStored ? { host: withoutStored(host) } : {};
      const last = lasts.get(name) ?? null;
      notes.methods = last?.methods ?? null;
      scene = { ...reading, ...told, wire, remembered, spurned, last, begun: false, current: null };
    },
    // ssh2 asks once; from then on the conversation is ours, and it hears only of its end
    handler: (_methods, _partial, next) => void run(next),
    record() {
      const record = recordOf(notes, host);
      return { ...record, attended: record.attended || (host.attended === null && byPerson()) };
    },
    failure() {
      notes.hungUp = wire?.farewell === true;
      if (scene !== null) hungUpOn(scene);
      const said = notes.refused.slice(recalled);
      if (said.includes('password') || said.includes('keyboard-interactive'))
        for (const refusal of answers.refusals()) context.refused?.add(refusal);
      if (bug !== null) return bug;
      // The slow retry says less than the login it repeats, and nothing new when all of it was refused.
      if (context.onlyProven && before !== undefined && notes.accepted.length === 0) return before.error;
      const error = failureNow();
      failures.set(name, { error, notes });
      return error;
    },
    finish(succeeded) {
      finished = true;
      ring?.agent?.close();
      if (scene?.begun === true) lasts.delete(name);
      if (!succeeded) return;
      failures.delete(name);
      const { accepted, refused, firstMethods, methods } = notes;
      if (accepted.length > 0)
        lasts.set(name, { refused: new Set(refused), methods: firstMethods ?? methods });
      const how = accepted.length > 0 ? ` with ${accepted.join(', ')}` : `: ${withoutCredential}`;
      log('info', 'login', `logged in to ${formatLogin(host)}${how}`);
    },
  };
}

/** What an earlier login was refused is part of why this one fails, though it is not offered again. How much it was. */
function recall(notes: Notes, before: Notes): number {
  notes.secretRefused = before.secretRefused;
  notes.sha1 = before.sha1;
  notes.refusedFiles.push(...before.refusedFiles);
  return notes.refused.push(...before.refused);
}

/** True when something may do that is neither a key nor stored: a person, this machine's own key, nothing at all. */
function hasOther(host: Host, context: DialContext, spurned: ReadonlySet<string>): boolean {
  return host.auth.some((method) => {
    if (method === 'password' || method === 'keyboard-interactive') return context.personPresent();
    return method === 'none' || (method === 'hostbased' && !spurned.has(refusalOfHost));
  });
}

/** The credential under way when the server hung up counts as refused: OpenSSH ends a login that way (MaxAuthTries). */
function hungUpOn(scene: Scene): void {
  const { current, notes, context } = scene;
  scene.current = null;
  if (current?.words == null || !notes.hungUp) return;
  notes.refused.push(current.words);
  if (current.key !== null) context.refused?.add(current.key.refusal);
}
