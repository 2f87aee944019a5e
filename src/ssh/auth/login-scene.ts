// The scene of one login: what every step of it works with, how it asks a person and tells what became of a credential.
import { asTunnelError, TunnelError } from '../../errors.ts';
import type { Secret, SecretKind } from '../../model/secret.ts';
import { formatLogin, type Host } from '../../model/host.ts';
import type { Clock } from '../../model/clock.ts';
import { shellWord } from '../../model/shell-word.ts';
import type { QuestionKind } from '../../model/question.ts';
import type { CallerEnvironment, DialContext } from '../../model/session.ts';
import type { AuthReply, AuthWire } from '../ssh2/auth.ts';
import type { SecretReader, StoredRef } from '../../secrets/read.ts';
import type { Unlock } from '../../keys/unlock.ts';
import type { Notes } from './login-notes.ts';
import type { Proven } from './proven.ts';
import type { Remembered } from './remembered.ts';
import type { SpentCodes } from './spent-codes.ts';

/** What the daemon hands in, once. */
export interface CredentialParts {
  readonly secrets: Pick<SecretReader, 'read' | 'circumstances'>;
  readonly proven: Proven;
  readonly spentCodes: SpentCodes;
  readonly clock: Clock;
  readonly log: (
    level: 'debug' | 'info' | 'warn',
    event: string,
    message: string,
    facts?: Record<string, unknown>,
  ) => void;
  /** Ours; null where files have no modes. */
  readonly uid: number | null;
  /** This machine's name, for host-based logins. */
  readonly hostname: string;
  /** Our user's name here, for host-based logins. */
  readonly localUser: string;
  /** Opens encrypted keys; by default in a thread of its own. */
  readonly unlock?: Unlock;
}

export interface Scene {
  readonly host: Host;
  readonly context: DialContext;
  readonly wire: AuthWire;
  readonly parts: CredentialParts;
  readonly remembered: Remembered;
  readonly notes: Notes;
  /** Names of what is not offered: it was refused before, and only what is new is worth another try. */
  readonly spurned: ReadonlySet<string>;
  /** The last login here, when it needed a credential and nothing has gone wrong since: `none` is not asked first then. */
  readonly last: LastLogin | null;
  /** A request was sent: how this login ends says something of the server. */
  begun: boolean;
  /** Words of the credential under way: what a success in the next packet is written down for. */
  current: Current | null;
}

/** What a login is remembered by, for the one that follows a loss of its link. */
export interface LastLogin {
  readonly refused: ReadonlySet<string>;
  /** What the server said it takes, in answer to the first request; null when it never did. */
  readonly methods: readonly string[] | null;
}

/** What the server's yes to the `none` request is called. It proves nothing, and nothing is offered (RFC 4252 5.2). */
export const withoutCredential = 'let in without a credential';

export interface Current {
  /** Null for the `none` request. */
  readonly words: string | null;
  readonly startedMs: number;
  /** Null for what is no key. */
  readonly key: OfferedKey | null;
}

/** A key or certificate on the wire. */
export interface OfferedKey {
  readonly method: 'publickey' | 'hostbased';
  /** Its name among the proven ones; null where none is kept. */
  readonly credential: string | null;
  /** Its name among the refused ones. */
  readonly refusal: string;
}

/** How a step ended: with the server's word, by nothing being offered, or by a person who does not want to go on. */
export type StepEnd =
  | Extract<AuthReply, { kind: 'success' | 'failure' }>
  | { readonly kind: 'skipped' }
  | { readonly kind: 'stop' };

/** Opens the book on a credential: what the server says next is about it. */
export function begin(scene: Scene, words: string | null, key: OfferedKey | null = null): void {
  scene.begun = true;
  scene.current = { words, startedMs: scene.parts.clock.monotonic(), key };
}

/** Writes down what the server said about the credential under way. Idempotent until the next `begin`. */
export function settle(
  scene: Scene,
  reply: { kind: 'success' } | { kind: 'failure'; methods: readonly string[]; partial: boolean },
): void {
  const { current, notes } = scene;
  if (current === null) return;
  scene.current = null;
  const taken = reply.kind === 'success' || reply.partial;
  if (current.words === null) {
    if (taken) report(scene, true, withoutCredential, current.startedMs);
    return;
  }
  (taken ? notes.accepted : notes.refused).push(current.words);
  if (current.key !== null) judge(scene, current.key, taken, reply);
  const more =
    reply.kind === 'failure' ? `; the server takes ${reply.methods.join(',') || 'nothing else'}` : '';
  const said = taken ? (reply.kind === 'success' ? 'accepted' : 'accepted, more is wanted') : 'refused';
  report(scene, taken, `${current.words}: ${said}${more}`, current.startedMs);
}

/** A method that is not wanted now says nothing of the key (AuthenticationMethods password,publickey). */
function judge(
  { host, context, parts }: Scene,
  key: OfferedKey,
  taken: boolean,
  reply: { kind: 'success' } | { kind: 'failure'; methods: readonly string[] },
): void {
  if (!taken && reply.kind === 'failure' && reply.methods.includes(key.method))
    context.refused?.add(key.refusal);
  if (taken && key.credential !== null) parts.proven.add(formatLogin(host), key.credential);
}

/** A credential that could not be offered, or the trouble with it. */
export function remark(scene: Scene, words: string): void {
  if (!scene.notes.remarks.includes(words)) scene.notes.remarks.push(words);
  tell(scene, words);
}

/** For `why` alone. */
export function tell(scene: Scene, words: string): void {
  report(scene, false, words, scene.parts.clock.monotonic());
}

/** A word on the login under way, for `why`. */
export function report(scene: Scene, ok: boolean, detail: string, startedMs: number): void {
  const ms = Math.max(0, scene.parts.clock.monotonic() - startedMs);
  scene.context.step({ hop: scene.host.name, layer: 'auth', status: ok ? 'ok' : 'failed', ms, detail });
}

/** What became of a question: the answer, a person who declined, or nobody there. */
export type Asked =
  | { readonly kind: 'answer'; readonly secret: Secret }
  | { readonly kind: 'declined' }
  | { readonly kind: 'nobody' };

/** `text` must be clean. */
export async function ask(
  scene: Scene,
  question: { kind: QuestionKind; text: string; echo: boolean; fromServer: boolean; tries: number },
): Promise<Asked> {
  const { host, context } = scene;
  try {
    const secret = await context.ask({
      ...question,
      host: host.name,
      endpoint: formatLogin(host),
      fingerprint: null,
      keyType: null,
      randomart: [],
    });
    return secret === null ? { kind: 'declined' } : { kind: 'answer', secret };
  } catch {
    return { kind: 'nobody' }; // how an absent person shows (DialContext.ask)
  }
}

/** A path as a person writes it: ~ for the home of whoever asked. */
export function shownPath(path: string, environment: CallerEnvironment): string {
  const home = environment.variables['HOME'] ?? '';
  return home.length > 1 && path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
}

/** The same, as a shell takes it. */
export function pastedPath(path: string, environment: CallerEnvironment): string {
  const shown = shownPath(path, environment);
  return /^[\w~./@%+:-]+$/.test(shown) ? shown : shellWord(path);
}

/** What reading a source takes of a scene. */
export type Reading = Pick<Scene, 'host' | 'context' | 'parts' | 'notes'>;

/** Reads a source; what stands in the way is written down, and null is the answer. */
export async function readSource(
  scene: Reading,
  ref: StoredRef,
  kind: SecretKind,
  file?: string,
): Promise<Secret | null> {
  try {
    return file === undefined
      ? await readFor(scene, ref, kind, null)
      : await readPassphrase(scene, ref, file);
  } catch (error) {
    if (!(error instanceof TunnelError)) throw error;
    scene.notes.obstacles.push({
      code: 'SECRET_MISSING',
      why: error.message,
      hint: error.hint,
      question: questionFor(scene, kind, file),
      decisive: true,
    });
    return null;
  }
}

function readFor(scene: Reading, ref: StoredRef, kind: SecretKind, file: string | null): Promise<Secret> {
  const { host, context, parts } = scene;
  const owner =
    file === null ? { name: host.name, endpoint: formatLogin(host) } : { name: file, endpoint: null };
  return parts.secrets.read({
    ref,
    kind,
    ...owner,
    environment: context.environment,
    signal: context.signal,
  });
}

/** In a keychain a passphrase stands under its key file's path, or under the host's name (SPEC 4, `secret set`). */
async function readPassphrase(scene: Reading, ref: StoredRef, file: string): Promise<Secret> {
  if (ref.from !== 'keychain') return readFor(scene, ref, 'passphrase', file);
  try {
    return await readFor(scene, ref, 'passphrase', file);
  } catch (error) {
    return readFor(scene, ref, 'passphrase', null).catch(() => Promise.reject(asTunnelError(error)));
  }
}

function questionFor(
  scene: Reading,
  kind: SecretKind,
  file: string | undefined,
): { kind: QuestionKind; text: string } {
  const login = formatLogin(scene.host);
  switch (kind) {
    case 'passphrase':
      return { kind, text: `Passphrase for ${shownPath(file ?? 'the key', scene.context.environment)}` };
    case 'password':
      return { kind, text: `Password for ${login}` };
    case 'totp':
      return { kind: 'prompt', text: `One-time code for ${login}` };
  }
}
